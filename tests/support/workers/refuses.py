"""Cannot serve the backend, and says so."""

from speech import say

say("refused", kind="engine_missing", message="backend 'jax' cannot be imported: No module named 'jax'")
