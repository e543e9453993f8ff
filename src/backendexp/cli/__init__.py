"""Reads the command line that the user types, and prints what the program answers."""
