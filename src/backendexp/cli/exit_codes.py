"""Names the exit codes of `backendexp`."""

OK, RUN_FAILED, BAD_INPUT, NOT_TRACKED = 0, 1, 2, 3
# If a signal ended the program, the code is 128 plus the signal's number, as in a shell.
HUNG_UP, INTERRUPTED, TERMINATED = 129, 130, 143
