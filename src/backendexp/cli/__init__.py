"""The command line: it reads what the user types and prints what the program answers."""
