"""A server whose run has ended by itself, and which has not reported this yet."""

import subprocess
import sys
import time

from speech import next_order, say_ready, say_up_to_fit

say_ready()
next_order()
run = subprocess.Popen([sys.executable, "-c", ""])
run.wait()
say_up_to_fit(run.pid, "fork")
time.sleep(600)
