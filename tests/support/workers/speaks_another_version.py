"""A worker of another release, which uses another version of the contract."""

import time

from speech import say_ready

say_ready(version=99)
time.sleep(600)
