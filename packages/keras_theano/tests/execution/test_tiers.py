"""The interpreter and the compilers compute the same, and a compiled step replaces an interpreted one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

# Trains 60 steps, and longer in mode auto, until Numba has run some. Prints what ran, and the weights after
# 60 steps.
TRAIN = """
import json, sys, time
import keras, numpy as np
import keras_theano, keras_theano.execution.programs as programs

programs._WORTH_COMPILING_S = 0.0
x = np.random.default_rng(0).random((64, 4), dtype="float32")
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.layers.Dense(3, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(1)])
model.compile("sgd", "mse")
until = time.monotonic() + float(sys.argv[1])
calls = {}
n = 0
while n < 60 or time.monotonic() < until and calls.get("numba", 0) < 20:
    model.train_on_batch(x, x[:, :1])
    n += 1
    if n == 60:
        weights = [w.tolist() for w in model.get_weights()]
    (ran,) = keras_theano.report()
    calls = ran.calls
    time.sleep(0.05 if n > 30 else 0)
print(json.dumps({"calls": calls, "tier": ran.tier, "weights": weights}))
"""


def start(folder: Path, mode: str, seconds: float = 0) -> "subprocess.Popen[str]":
    environment = {**os.environ, "KERAS_BACKEND": "theano", "KERAS_THEANO_MODE": mode, "OMP_NUM_THREADS": "1"}
    environment.update(KERAS_HOME=str(folder), PYTENSOR_FLAGS=f"base_compiledir={folder / 'compiled'}")
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN, str(seconds)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def outcome(process: "subprocess.Popen[str]") -> Any:
    out, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors
    return json.loads(out)


def assert_same_weights(ours: Any, expected: Any) -> None:
    for a, b in zip(ours["weights"], expected["weights"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return outcome(start(tmp_path_factory.mktemp("interpreted"), "interpreter"))


@pytest.mark.parametrize("tier", ["native", "numba", pytest.param("c", marks=pytest.mark.extended)])
def test_pinned_compiler_trains_to_the_same_weights_as_the_interpreter(
    tier: str, interpreted: Any, tmp_path: Path
) -> None:
    ran = outcome(start(tmp_path, tier))
    assert ran["calls"] == {tier: 60}
    assert_same_weights(ran, interpreted)


def test_two_processes_start_at_once_compile_in_the_background_and_continue_compiled(
    interpreted: Any, tmp_path: Path
) -> None:
    """They share an empty cache, into which another process was compiling when it was killed."""
    killed = start(tmp_path, "auto", seconds=20)
    ahead = wait_for_child(killed.pid)
    time.sleep(4)  # it is compiling now
    os.kill(ahead, signal.SIGKILL)
    _, errors = killed.communicate(timeout=400)
    assert "stays in the interpreter: compiling ahead ended with -9" in errors

    both = [start(tmp_path, "auto", seconds=400) for _ in range(2)]
    for ran in map(outcome, both):
        assert ran["tier"] == "numba"
        assert ran["calls"]["interpreter"] > 0
        assert ran["calls"]["numba"] >= 20
        assert_same_weights(ran, interpreted)


def test_process_that_compiles_ahead_dies_with_the_one_that_started_it(tmp_path: Path) -> None:
    parent = start(tmp_path, "auto", seconds=300)
    ahead = wait_for_child(parent.pid)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{ahead}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{ahead}").exists() or "Z" in Path(f"/proc/{ahead}/stat").read_text().split()[2]


def wait_for_child(parent: int) -> int:
    """Return the process id of the child of `parent` that runs `python -m keras_theano.execution.ahead`."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for child in children:
            if "keras_theano.execution.ahead" in Path(f"/proc/{child}/cmdline").read_text():
                return int(child)
        time.sleep(0.05)
    raise AssertionError("no process compiles ahead")
