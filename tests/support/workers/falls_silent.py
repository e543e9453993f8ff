"""Closes the pipe for its events and keeps running. It ends by itself, so that a test cannot hang."""

import os
import time

from speech import next_order, say_ready

say_ready()
next_order()
os.close(1)
os.close(2)  # stdout is the same pipe
time.sleep(20)
