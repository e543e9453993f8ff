"""The command line: what a user types, and what the process answers with."""
