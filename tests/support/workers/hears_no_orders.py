"""Is ready, and has closed the pipe that orders come by."""

import os
import time

from speech import say_ready

os.close(0)
say_ready()
time.sleep(1)
