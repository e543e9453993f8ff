"""`backendexp port` refuses bad input within seconds, before anything slow is imported."""

import time
from pathlib import Path

import pytest

from backendexp.cli.commands import port
from backendexp.errors import UserError
from support import old_files
from support.command import Command
from support.imported import HEAVY, WATCHED, split


@pytest.fixture
def small(project: Path) -> Path:
    return old_files.small(project / "model.h5")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.h5"], r"nowhere\.h5 does not exist"),
        (["model.h5", "--weights", "model.h5"], "is one too many"),
        (["model.h5", "-o", "new.h5"], r"does not end with \.keras"),
        (["model.h5", "-o", "nowhere/new.keras"], "nowhere is no folder"),
        (["model.h5", "--backends", "tensorflw"], "Did you mean 'tensorflow'"),
        (["model.h5", "--old-backends", "jax"], "Expected some of tensorflow, theano"),
        (["model.h5", "--custom", "mine.py"], r"mine\.py does not exist"),
        (["model.h5", "--inputs", "x.npz"], r"x\.npz does not exist"),
        (["model.h5", "--threads", "0"], "Expected 1 or more"),
        (["model.h5", "--timeout", "0"], "above 0"),
        (["model.h5", "--seed", "-1"], "--seed is -1"),
        (["model.h5", "--uri", "nonsense://x"], "nonsense"),
    ],
)
def test_bad_arguments_are_refused(arguments: list[str], said: str, small: Path) -> None:
    with pytest.raises(UserError, match=said):
        port.main(arguments)
    assert not (small.parent / "outputs").exists()


def test_file_that_exists_is_not_replaced(small: Path) -> None:
    small.with_suffix(".keras").write_text("mine")
    with pytest.raises(
        UserError, match=r"model\.keras exists\. Choose another file with -o, or .*--overwrite"
    ):
        port.main([str(small)])


def test_own_file_that_is_not_python_is_refused(small: Path) -> None:
    (small.parent / "mine.py").write_text("def f(:")
    with pytest.raises(UserError, match=r"mine\.py is not Python"):
        port.main([str(small), "--custom", "mine.py"])


def test_damaged_file_ends_with_2_in_seconds_and_loads_no_engine(small: Path, backendexp: Command) -> None:
    small.write_bytes(small.read_bytes()[:3000])
    began = time.monotonic()
    ended = backendexp("port", "model.h5", env=WATCHED)
    imported, said = split(ended.stderr)
    assert ended.returncode == 2
    assert said.startswith("backendexp: model.h5 is a damaged HDF5 file")
    assert len(said.splitlines()) == 1
    assert not imported & HEAVY
    assert time.monotonic() - began < 20
