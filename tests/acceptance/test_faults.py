"""Sweeps under random faults: nothing is lost, and nothing is there twice. benchmarks/faults.py does more."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.extended]

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "faults.py"


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("store", ["server", "sqlite"])
def test_sweep_under_random_faults_loses_nothing_and_has_nothing_twice(store: str) -> None:
    words = ["--runs", "30", "--sweep", "30", "--faults", "10", "--stores", store]
    answer = subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, timeout=580
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    for what in ("lost", "twice", "other problems"):
        assert f"| **{what}** | 0 |" in answer.stdout
