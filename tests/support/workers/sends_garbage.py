"""Is ready, then lets something else print where the contract speaks."""

import time

from speech import next_order, say_ready

say_ready()
next_order()
print("WARNING: the engine prints here", flush=True)
time.sleep(600)
