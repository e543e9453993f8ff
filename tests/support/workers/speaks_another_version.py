"""A worker of another release."""

import time

from speech import say_ready

say_ready(version=99)
time.sleep(600)
