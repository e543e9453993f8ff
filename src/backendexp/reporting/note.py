"""The description of a summary run in MLflow, in Markdown."""

from collections.abc import Sequence

from backendexp.reporting.tables import Table

# What is longer is cut off by the store, in mid-table: https://mlflow.org/docs/latest/rest-api.html#set-tag
LONGEST_NOTE = 8000


def note_of(parts: Sequence[str | Table], more: str) -> str:
    """A Conclusion's note: sentences as bullets, and tables, as many as fit in their order.

    more: where the rest is.
    """
    kept, room = [], LONGEST_NOTE - len(more) - 2
    for part in parts:
        written = f"- {part}\n" if isinstance(part, str) else f"\n{part.markdown()}\n\n"
        if len(written) <= room:
            kept.append(written)
            room -= len(written)
    return "".join([*kept, f"\n{more}\n"]).lstrip("\n")
