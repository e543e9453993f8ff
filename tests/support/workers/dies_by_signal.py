"""Is killed after its second epoch, together with everything that it has started."""

import os
import signal

from speech import next_order, say_epoch, say_ready, say_up_to_fit

say_ready()
next_order()
say_up_to_fit(os.getpid(), "spawn")
say_epoch(1, 0.5)
say_epoch(2, 0.4)
os.kill(os.getpid(), signal.SIGKILL)
