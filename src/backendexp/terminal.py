"""Tables for whoever reads stdout: a person at a terminal, or a file."""

import os
import sys

from backendexp.summary import Table


def leave_if_gone() -> None:
    """Write no more to a terminal that was closed: each write would be an error, and end what goes on."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def print_table(table: Table) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Drawn

    drawn = Drawn(*table.titles, box=SIMPLE)
    for row in table.rows:
        drawn.add_row(*map(escape, row))
    # Piped into a file, a table is as wide as it needs to be.
    console = Console() if sys.stdout.isatty() else Console(width=240)
    console.print(drawn)
