"""Is ready, but does not tell the version of the contract. It ends by itself, lest a test hang."""

import time

from speech import say

say("ready")
time.sleep(5)
