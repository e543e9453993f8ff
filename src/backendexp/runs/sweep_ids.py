"""The ids of sweeps, as they lie in the sweeps' folders and in the tags of their runs."""

import re
from pathlib import Path

TAG = "sweep"
# In the folder of a sweep: the id of the last one there.
FILE = "sweep.id"
_MARKED = re.compile("(.*)-[0-9a-f]{8}")


def id_in(folder: Path) -> str | None:
    """The id of the last sweep in a folder, or None: there was none, or one of an earlier version."""
    try:
        return (folder / FILE).read_text(encoding="utf-8")
    except OSError:
        return None


def name_of(identity: str) -> str:
    """The name of a sweep's folder and of the one around it, "2026-11-22/10-00-00"."""
    marked = _MARKED.fullmatch(identity)
    return marked[1] if marked else identity
