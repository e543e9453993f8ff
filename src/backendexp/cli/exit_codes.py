"""The exit codes of `backendexp`."""

OK, RUN_FAILED, BAD_INPUT, NOT_TRACKED = 0, 1, 2, 3
# By the signal that ended it: 128 and its number, as a shell has it.
HUNG_UP, INTERRUPTED, TERMINATED = 129, 130, 143
