"""Where backendexp keeps what can be made again: built runtimes and compiled code."""

import hashlib
import os
from pathlib import Path

import platformdirs


def folder(*parts: str) -> Path:
    """A folder below the cache: $BACKENDEXP_CACHE, or the user's cache directory. Not created."""
    root = os.environ.get("BACKENDEXP_CACHE") or platformdirs.user_cache_dir("backendexp", False)
    return Path(root).absolute().joinpath(*parts)


def lock_file(of: str) -> Path:
    """A file to lock while one process at a time works on `of`, whatever that names. Its folder is there."""
    locks = folder("locks")
    locks.mkdir(parents=True, exist_ok=True)
    return locks / f"{hashlib.sha256(of.encode()).hexdigest()[:16]}.lock"
