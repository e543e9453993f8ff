"""Says that it is ready, and then prints something other than an event to the pipe for events."""

import time

from speech import next_order, say_ready

say_ready()
next_order()
print("WARNING: the engine prints here", flush=True)
time.sleep(600)
