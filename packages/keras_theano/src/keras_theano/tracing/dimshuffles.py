"""Lets PyTensor read the C code of its DimShuffle once, and not for each that is recorded.

Every broadcast and every transposition of a step is a DimShuffle, so a deep model makes hundreds of them.
Reading and splitting the file took nine tenths of the time of making one.
"""

from collections.abc import Iterable
from pathlib import Path

from pytensor.tensor.elemwise import DimShuffle

_FIRST = DimShuffle(input_ndim=0, new_order=())


def read_once() -> None:
    """All DimShuffles that are made from now on share the code that has been read."""
    DimShuffle.load_c_code = _load_c_code  # type: ignore[method-assign]


def _load_c_code(self: DimShuffle, func_files: Iterable[Path]) -> None:
    self.func_codes, self.code_sections = list(_FIRST.func_codes), dict(_FIRST.code_sections)
