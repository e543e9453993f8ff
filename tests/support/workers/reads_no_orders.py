"""Says that it is ready, but has closed the pipe for orders."""

import os
import time

from speech import say_ready

os.close(0)
say_ready()
time.sleep(1)
