"""The subcommands of `backendexp`. Each is a module of this package with `main(arguments) -> exit code`.

A command is found by the name of its module, which is imported only when a user asks for the command.
"""
