"""Reports that it cannot serve the backend."""

from speech import say

say("refused", kind="engine_missing", message="backend 'jax' cannot be imported: No module named 'jax'")
