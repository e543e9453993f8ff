"""Rows to sort: many equal elements, and every special number."""

from typing import Any

import numpy as np

DTYPES = ("bool", "int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "float32", "float64")


def rows(dtype: str, length: int) -> Any:
    """Return rows with many equal elements, NaN, infinities, zeros of both signs, and greatest numbers."""
    rng = np.random.default_rng(length)
    if dtype.startswith("float"):
        special = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -1.5])
        found = np.where(
            rng.random((4, length)) < 0.5, rng.choice(special, (4, length)), rng.normal(size=length)
        )
        found[1] = np.nan
        found[2] = rng.normal(size=length)
        return found.astype(dtype)
    if dtype == "bool":
        return rng.random((4, length)) < 0.5
    limits = np.iinfo(dtype)
    found = rng.integers(limits.min, limits.max, (4, length), dtype, endpoint=True)
    found[:2] %= 5
    found[2, 0], found[3, -1] = limits.max, limits.min
    return found
