"""A DimShuffle has the C code of its file, which is read once."""

from pathlib import Path

import pytest
from pytensor.link.c.op import ExternalCOp
from pytensor.tensor.elemwise import DimShuffle

from keras_theano.tracing import dimshuffles


def test_code_is_that_of_the_file_and_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    dimshuffles.read_once()
    read = DimShuffle(input_ndim=2, new_order=(1, 0))
    ours = read.func_codes, read.code_sections
    read.func_codes, read.code_sections = [], {}
    ExternalCOp.load_c_code(read, read.func_files)
    assert ours == (read.func_codes, read.code_sections)
    assert ours[1]

    def never(*_: object, **__: object) -> str:
        raise AssertionError("a file was read")

    monkeypatch.setattr(Path, "read_text", never)
    first, second = (DimShuffle(input_ndim=2, new_order=(1, "x", 0)) for _ in range(2))
    assert first == second
    first.code_sections.clear()
    assert second.code_sections == ours[1]
