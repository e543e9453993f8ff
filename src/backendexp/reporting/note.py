"""The description of a summary run in MLflow, in Markdown."""

from collections.abc import Sequence

from backendexp.reporting.tables import Table

# MLflow cuts off a longer tag, which would end in the middle of a table:
# https://mlflow.org/docs/latest/rest-api.html#set-tag
LONGEST_NOTE = 8000


def note_of(parts: Sequence[str | Table], more: str) -> str:
    """The note of a Conclusion: sentences as bullets, and tables. Parts that do not fit are left out whole.

    more: a last sentence that says where the rest is.
    """
    kept, room = [], LONGEST_NOTE - len(more) - 2
    for part in parts:
        written = f"- {part}\n" if isinstance(part, str) else f"\n{part.markdown()}\n\n"
        if len(written) <= room:
            kept.append(written)
            room -= len(written)
    return "".join([*kept, f"\n{more}\n"]).lstrip("\n")
