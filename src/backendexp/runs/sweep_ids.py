"""The ids of sweeps, which stand in the sweeps' folders and in the tags of their runs."""

import re
from pathlib import Path

TAG = "sweep"
# The file in a sweep's folder that holds the id of the last sweep that wrote into the folder.
FILE = "sweep.id"
_MARKED = re.compile("(.*)-[0-9a-f]{8}")


def id_in(folder: Path) -> str | None:
    """The id of the last sweep in a folder; None if there was none, or if an earlier version made it."""
    try:
        return (folder / FILE).read_text(encoding="utf-8")
    except OSError:
        return None


def name_of(identity: str) -> str:
    """The names of a sweep's folder and of its parent folder, such as "2026-11-22/10-00-00"."""
    marked = _MARKED.fullmatch(identity)
    return marked[1] if marked else identity
