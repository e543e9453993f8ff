"""Whatever is done a thousand times, the memory does not grow."""

import gc
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from keras import layers
from pytensor.graph.basic import Apply

import keras_theano
from keras_theano.execution import programs, steps
from keras_theano.execution.threads import one_thread
from oracles import rounds

X = np.random.default_rng(0).random((64, 4), dtype="float32")


def of_lengths(name: str) -> Any:
    """A model of sequences. Each length is a kind of batch of its own."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((None, 1)), layers.GlobalAveragePooling1D(), layers.Dense(1)], name=name
    )
    model.compile("sgd", "mse")
    return model


def live(*kinds: type) -> list[int]:
    """Count the objects of each kind."""
    gc.collect()
    # A weak proxy would ask its object for its class, and the object may be gone.
    types = Counter(map(type, gc.get_objects()))
    return [sum(n for kind, n in types.items() if issubclass(kind, wanted)) for wanted in kinds]


def test_fifty_fits_record_the_step_once_and_leave_nothing() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, "relu"), layers.Dense(1)], name="fifty")
    model.compile("adam", "mse", metrics=["mae"])
    counts = []
    for _ in range(3):
        for _ in range(25):
            model.fit(X, X[:, :1], batch_size=32, verbose=0)
        counts.append(live(Apply, np.ndarray, programs.Program))
    assert counts[1] == counts[2]
    assert sum(ran.name == "train fifty" for ran in keras_theano.report()) == 1


def test_dropped_models_leave_no_graph() -> None:
    def used() -> None:
        model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
        model.compile("adam", "mse")
        model.fit(X, X[:, :2], verbose=0)
        model.predict(X, verbose=0)

    used()
    before = live(Apply, programs.Program, keras.Variable)
    for _ in range(5):
        used()
    assert live(Apply, programs.Program, keras.Variable) == before


def test_programs_of_many_kinds_of_batches_are_dropped_and_recorded_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    series = np.random.default_rng(0).random((3, 40, 1), dtype="float32")
    free = of_lengths("free")
    losses = [float(free.train_on_batch(series[:, :length], X[:3, :1])) for length in [*range(2, 40), 2]]
    ran = [ran for ran in keras_theano.report() if ran.name == "train free"]
    assert len(ran) == 38
    # Only the first lengths are compiled when they come for the first time.
    assert sum("native" in each.calls for each in ran) == steps.COMPILED_AT_ONCE
    for _ in range(10):
        free.train_on_batch(series[:, :39], X[:3, :1])
    assert sum("native" in each.ran().calls for each in programs._programs) > steps.COMPILED_AT_ONCE

    few = of_lengths("few")
    few.train_on_batch(series[:, :1], X[:3, :1])
    (program,) = [program for program in programs._programs if program.ran().name == "train few"]
    monkeypatch.setattr(steps, "KEPT_NODES", 10 * program.nodes)
    few.set_weights(of_lengths("start").get_weights())
    again = [float(few.train_on_batch(series[:, :length], X[:3, :1])) for length in [*range(2, 40), 2]]
    assert again == pytest.approx(losses, rel=1e-5)
    del program
    gc.collect()
    kept = [program.nodes for program in programs._programs if program.ran().name == "train few"]
    assert len(kept) >= 9
    assert sum(kept) <= steps.KEPT_NODES


def test_program_that_was_used_last_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    series = np.random.default_rng(0).random((3, 9, 1), dtype="float32")
    model = of_lengths("often")
    model.predict_on_batch(series[:, :1])
    (often,) = [program for program in programs._programs if program.ran().name == "predict often"]
    monkeypatch.setattr(steps, "KEPT_NODES", 3 * often.nodes)
    for length in range(2, 9):
        model.predict_on_batch(series[:, :length])
        model.predict_on_batch(series[:, :1])
    assert sum(often.ran().calls.values()) == 8


def test_step_that_is_larger_than_the_bound_is_kept_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "KEPT_NODES", 1)
    model = of_lengths("alone")
    for _ in range(3):
        model.predict_on_batch(np.ones((3, 2, 1), "float32"))
    assert sum(ran.name == "predict alone" for ran in keras_theano.report()) == 1


def test_sizes_of_batches_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_KEPT_SIZES", 10)
    monkeypatch.setattr(type(one_thread), "changes_something", True)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)], name="sizes")
    for size in range(2, 60):
        model.predict_on_batch(X[:size])
    (program,) = [program for program in programs._programs if program.ran().name == "predict sizes"]
    assert 0 < len(program._limits) <= 10


# -- a thousand rounds ------------------------------------------------------------------------------------

# A node of a recorded graph takes about 7 kB, and a model of five layers half a megabyte. So a round that
# leaves anything which belongs to a recording is far above these bounds.
MOST_BYTES_A_ROUND = 1000
MOST_BLOCKS_A_ROUND = 0.5  # a leaked object is at least one block


class Growth(NamedTuple):
    """By how much a process grows with each round. The first half of the rounds does not count, because
    allocators and caches fill up to their bounds in it.

    resident_bytes: the median of the differences between measurements. The heap of the C library grows by
        some megabytes once in many hundred rounds, and then stays. What is leaked comes in every round.
    blocks: of Python's memory, from the first to the last measurement.
    """

    resident_bytes: float
    blocks: float


def growth(case: str, folder: Path, count: int = 1000) -> Growth:
    environment = {
        **os.environ,
        "KERAS_BACKEND": "theano",
        "KERAS_HOME": str(folder),
        "PYTENSOR_FLAGS": f"base_compiledir={folder}",
    }
    answer = subprocess.run(
        [sys.executable, rounds.__file__, case, str(count)], env=environment, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    resident, blocks = np.diff(found[len(found) // 2 :], axis=0).T / (count / rounds.MEASUREMENTS)
    return Growth(float(np.median(resident)), float(np.mean(blocks)))


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Growth:
    """The growth of a process that only makes and drops arrays: how exact the measurement is."""
    return growth("nothing", tmp_path_factory.mktemp("control"))


@pytest.fixture(scope="module")
def leak(tmp_path_factory: pytest.TempPathFactory) -> Growth:
    """The growth of a process that keeps 2 kB of an array and an object in each round."""
    return growth("leak", tmp_path_factory.mktemp("leak"))


@pytest.mark.slow
@pytest.mark.extended
def test_leaks_are_measured_and_nothing_else_is(control: Growth, leak: Growth) -> None:
    assert abs(control.blocks) < MOST_BLOCKS_A_ROUND / 2
    assert abs(control.resident_bytes) < MOST_BYTES_A_ROUND / 2
    assert leak.blocks > 2 * MOST_BLOCKS_A_ROUND
    assert leak.resident_bytes > 1.5 * MOST_BYTES_A_ROUND


@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("case", [name for name in rounds.ROUNDS if name not in ("nothing", "leak")])
def test_memory_does_not_grow_over_a_thousand_rounds(case: str, tmp_path: Path) -> None:
    found = growth(case, tmp_path)
    assert found.blocks < MOST_BLOCKS_A_ROUND, found
    assert found.resident_bytes < MOST_BYTES_A_ROUND, found
