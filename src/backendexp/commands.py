"""The words of the command line that are not settings, and what the process answers with."""

# Each is a module with `main(arguments) -> exit code`, imported only when it is asked for.
COMMANDS = ("compare", "doctor", "sync", "ui")

OK, RUN_FAILED, BAD_INPUT, HUNG_UP, INTERRUPTED, TERMINATED = 0, 1, 2, 129, 130, 143
