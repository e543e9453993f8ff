"""Where backendexp keeps what can be made again: built runtimes and compiled code."""

import os
from pathlib import Path

import platformdirs


def folder(*parts: str) -> Path:
    """A folder below the cache: $BACKENDEXP_CACHE, or the user's cache directory. Not created."""
    root = os.environ.get("BACKENDEXP_CACHE") or platformdirs.user_cache_dir("backendexp", False)
    return Path(root).absolute().joinpath(*parts)
