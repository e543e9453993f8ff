"""Says that it is ready, but not which version of the contract it uses. It ends by itself, so that a test
cannot hang.
"""

import time

from speech import say

say("ready")
time.sleep(5)
