"""Runs a part of Keras's own tests on the Theano backend, with the bounds of conformance/run.py."""

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


def test_a_fast_part_of_keras_own_tests_passes(tmp_path: Path) -> None:
    ended = run(["activations", "constraints"], tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.slow
def test_keras_own_tests_of_training_pass(tmp_path: Path) -> None:
    ended = run(["losses", "optimizers", "layers/normalization"], tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
