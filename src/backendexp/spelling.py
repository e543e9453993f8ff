"""Suggestions for misspelt words."""

import difflib
from collections.abc import Iterable


def nearest(word: str, choices: Iterable[str]) -> str:
    """ "Did you mean ...? " for the choice that is spelt most like `word`, or an empty string."""
    found = difflib.get_close_matches(str(word), list(choices), n=1, cutoff=0.5)
    return f"Did you mean {found[0]!r}? " if found else ""
