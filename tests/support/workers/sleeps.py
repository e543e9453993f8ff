"""Reports one epoch and then hangs. The process itself is the run, as on systems without fork."""

import os
import time

from speech import next_order, say_epoch, say_ready, say_up_to_fit

say_ready()
next_order()
say_up_to_fit(os.getpid(), "spawn")
say_epoch(1, 0.5)
time.sleep(600)
