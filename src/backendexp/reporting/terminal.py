"""Prints tables to stdout, for a person at a terminal or into a file."""

import sys

from backendexp.reporting.tables import Table


def print_table(table: Table) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Drawn

    drawn = Drawn(*table.titles, box=SIMPLE)
    for row in table.rows:
        drawn.add_row(*map(escape, row))
    # A terminal limits the width of a table; a file does not.
    console = Console() if sys.stdout.isatty() else Console(width=240)
    console.print(drawn)
