"""Runs a part of Keras's own tests on the Theano backend, with the bounds of conformance/run.py."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFORMANCE = Path(__file__).parents[1] / "conformance"


def run(areas: list[str], tmp_path: Path) -> "subprocess.CompletedProcess[str]":
    """Run the areas against a copy of results.json. The outcomes of the other backends in it limit how many
    tests may be skipped.
    """
    results = tmp_path / "results.json"
    shutil.copy(CONFORMANCE / "results.json", results)
    command = [sys.executable, str(CONFORMANCE / "run.py"), "--results", str(results), "--areas", *areas]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_test_file_of_keras_is_in_an_area_or_belongs_to_another_backend() -> None:
    package = importlib.util.find_spec("keras")
    assert package is not None
    assert package.origin is not None
    source = Path(package.origin).parent / "src"
    spec = importlib.util.spec_from_file_location("conformance_run", CONFORMANCE / "run.py")
    assert spec is not None
    assert spec.loader is not None
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    files = [file.relative_to(source).as_posix() for file in source.rglob("*_test.py")]
    assert len(files) > 250
    for file in files:
        places = [
            name
            for name, area in run.AREAS.items()
            for path in area.paths
            if file == path or file.startswith(f"{path}/")
        ]
        assert len(places) == (0 if file.startswith(run.OTHER_BACKENDS) else 1), (file, places)


def test_a_fast_part_of_keras_own_tests_passes(tmp_path: Path) -> None:
    # The tests of initializers import from a conftest.py.
    ended = run(["initializers", "constraints"], tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "areas",
    [["optimizers"], pytest.param(["losses", "layers/normalization"], marks=pytest.mark.extended)],
    ids=" ".join,
)
def test_keras_own_tests_of_training_pass(areas: list[str], tmp_path: Path) -> None:
    ended = run(areas, tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
