"""The words of the command line that are not settings, and what the process answers with."""

# Each is a module with `main(arguments) -> exit code`, imported only when it is asked for.
COMMANDS = ("compare", "doctor", "sync", "ui")

OK, RUN_FAILED, BAD_INPUT, NOT_TRACKED = 0, 1, 2, 3
# By the signal that ended it: 128 and its number, as a shell has it.
HUNG_UP, INTERRUPTED, TERMINATED = 129, 130, 143
