"""The arrays of a run are the same on every machine and with every numpy."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendexp.worker import arrays, batches, contract, data, drawing, environment
from support.arrays import _add_text, good_arrays

SIZES = {"samples": 100, "features": 5, "test_samples": 40}
RANDOM = {"kind": "random", **SIZES, "classes": 2}
SIGNAL = {"kind": "signal", **SIZES, "noise": 0.1}


@pytest.mark.parametrize("wanted", [RANDOM, SIGNAL], ids=["random", "signal"])
def test_arrays_have_the_shapes_and_dtype_of_the_plan(wanted: dict[str, Any]) -> None:
    made = data.make_data(wanted, seed=0)
    assert made.x_train.shape == (100, 5)
    assert made.y_train.shape == (100, 1)
    assert made.x_test.shape == (40, 5)
    assert made.y_test.shape == (40, 1)
    assert {array.dtype for array in made} == {np.dtype("float32")}
    assert set(np.unique(made.y_train)) == {0.0, 1.0}


@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.integers(1, 50))
def test_inputs_are_uniform_below_one(seed: int, rows: int, columns: int) -> None:
    x = drawing.uniform(np.random.RandomState(seed), (rows, columns))
    assert x.dtype == np.float32
    assert (x >= 0).all()
    assert (x < 1).all()


def test_number_that_rounds_up_to_one_stays_below_it() -> None:
    class NextToOne:
        def random_sample(self, shape: tuple[int, ...]) -> Any:
            return np.full(shape, np.nextafter(1.0, 0.0))

    assert np.float32(np.nextafter(1.0, 0.0)) == 1
    assert (drawing.uniform(NextToOne(), (2, 2)) == np.nextafter(np.float32(1), np.float32(0))).all()


@given(st.integers(0, 2**32 - 1))
def test_seed_decides_the_data(seed: int) -> None:
    first, again = (arrays.digest(data.make_data(RANDOM, seed)) for _ in range(2))
    assert first == again
    assert first != arrays.digest(data.make_data(RANDOM, (seed + 1) % 2**32))


def test_digests_do_not_change_between_releases() -> None:
    """The runs of earlier releases had the same data."""
    assert (
        arrays.digest(data.make_data(RANDOM, 0))
        == "6c9268959a9d581f2b200f069d59df3db6936c4badb36d1b3f3f50b28b4bbfaf"
    )
    assert (
        arrays.digest(data.make_data(SIGNAL, 0))
        == "34ca97a5c65927fee12346c88930f37d974fc3bc7ca8dae608c2ab192712849d"
    )


def test_labels_of_signal_follow_from_x_and_half_of_them_are_ones() -> None:
    clean = data.make_data({**SIGNAL, "noise": 0.0, "samples": 1000}, 0)
    assert clean.y_train.mean() == 0.5
    noisy = data.make_data({**SIGNAL, "noise": 0.2, "samples": 1000}, 0)
    assert (clean.x_train == noisy.x_train).all()
    flipped = (clean.y_train != noisy.y_train).mean()
    assert 0.15 < flipped < 0.25


def test_training_and_test_labels_of_signal_come_from_one_rule() -> None:
    """A linear fit on the training data predicts the test data better than chance."""
    made = data.make_data({**SIGNAL, "noise": 0.0, "samples": 4000, "test_samples": 1000}, 0)
    fit, *_ = np.linalg.lstsq(made.x_train - 0.5, made.y_train - 0.5, rcond=None)
    assert (((made.x_test - 0.5) @ fit > 0) == made.y_test).mean() > 0.6


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([[0], [1], [1]], {"low": 0.0, "high": 1.0, "zeros_and_ones": True, "alike": False}),
        ([[1], [1]], {"low": 1.0, "high": 1.0, "zeros_and_ones": True, "alike": True}),
        ([[0], [0.5], [1]], {"low": 0.0, "high": 1.0, "zeros_and_ones": False, "alike": False}),
        ([[-1], [1]], {"low": -1.0, "high": 1.0, "zeros_and_ones": False, "alike": False}),
        ([[0, 1], [1, 0]], {"low": 0.0, "high": 1.0, "zeros_and_ones": True, "alike": False}),
        ([[0, 1], [0, 1]], {"low": 0.0, "high": 1.0, "zeros_and_ones": True, "alike": True}),
    ],
)
def test_labels_are_described(labels: list[list[float]], expected: dict[str, Any]) -> None:
    assert arrays.describe_labels(np.array(labels, np.float32)) == expected


def test_digest_depends_on_values_shape_dtype_and_order() -> None:
    x = np.arange(6, dtype=np.float32)
    others = [x + 1, x.reshape(2, 3), x.astype(np.float64), x[::-1], x.reshape(3, 2).T]
    digests = {arrays.digest([array]) for array in [x, *others]}
    assert len(digests) == len(others) + 1
    assert arrays.digest([x, x + 1]) != arrays.digest([x + 1, x])


def test_digest_does_not_depend_on_the_memory_layout() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert arrays.digest([x]) == arrays.digest([np.asfortranarray(x)])


@given(st.integers(0, 2**32 - 1), st.integers(0, 100), st.integers(1, 200))
def test_the_order_of_an_epoch_contains_every_sample_once(seed: int, epoch: int, samples: int) -> None:
    order = batches._permutation(samples, seed, epoch)
    assert sorted(order) == list(range(samples))


def test_every_epoch_has_a_different_order() -> None:
    orders = {tuple(batches._permutation(50, seed, epoch)) for seed in (0, 1) for epoch in range(10)}
    assert len(orders) == 20


# -- both Pythons ------------------------------------------------------------------------------------

# The digests of everything that the worker computes without an engine.
SCRIPT = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import numpy
from worker import arrays, batches, contract, data, environment, weights

seeds = [0, 1, 7, 2 ** 32 - 1]
plans = json.loads(sys.argv[2])
answer = {
    "data": [arrays.digest(data.make_data(plan, seed)) for plan in plans for seed in seeds],
    "weights": [
        arrays.digest([drawn(numpy.random.RandomState(seed), shape)])
        for drawn in (
            lambda stream, shape: weights._orthogonal(stream, shape, 1.5),
            lambda stream, shape: weights._cut_normal(stream, 0.0, 0.3, shape),
        )
        for shape in [(1, 1), (20, 64), (64, 20), (7, 3, 11)]
        for seed in seeds
    ],
    "file": arrays.digest(data.make_data({"kind": "npz", "path": sys.argv[3]}, 0)),
    "labels": [arrays.describe_labels(data.make_data(plans[0], seed).y_train) for seed in seeds],
    "order": [arrays.digest([batches._permutation(97, seed, epoch)]) for seed in seeds for epoch in range(5)],
    "line": contract._line("epoch", {"time": 1.5, "loss": 0.1, "text": u"gr\\u00f6\\u00dfer"}).decode(),
    "version": contract.VERSION,
    "cache": [environment.compile_cache_state(name) for name in ("jax", "theano")],
    "numpy": __import__("numpy").__version__.split(".")[0],
    "python": "%d.%d" % sys.version_info[:2],
}
json.dump(answer, sys.stdout, sort_keys=True)
"""


def answer_of(python: str, empty: Path, file: Path) -> dict[str, Any]:
    package = Path(contract.__file__).parents[1]
    plans = json.dumps([RANDOM, SIGNAL, {**SIGNAL, "features": 1, "noise": 0.49}])
    answer = subprocess.run(
        [python, "-E", "-c", SCRIPT, str(package), plans, str(file)],
        env={"BACKENDEXP_COMPILE_CACHE": str(empty)},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_python_3_7_computes_the_very_same_data_weights_and_orders(
    keras2_python: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.npz"
    np.savez(file, **good_arrays())  # type: ignore[arg-type]
    with zipfile.ZipFile(file, "a") as archive:
        _add_text(archive)
    old, new = (answer_of(python, tmp_path / "cache", file) for python in (keras2_python, sys.executable))
    assert (old.pop("python"), old.pop("numpy")) == ("3.7", "1")
    assert new.pop("python") != "3.7"
    assert new.pop("numpy") == "2"
    assert old == new


# -- packages and compile caches of the
# interpreter-------------------------------------------------------------------


def test_installed_packages_are_read_from_the_names_of_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("keras-3.15.1.dist-info", "Old_Egg-0.1-py3.7.egg-info", "not_a_package", "tf-2.0.egg-info"):
        (tmp_path / "a" / name).mkdir(parents=True)
    (tmp_path / "b" / "keras-2.3.1.dist-info").mkdir(parents=True)
    path = [str(tmp_path / folder) for folder in ("a", "b", "missing")]
    monkeypatch.setattr(sys, "path", path)
    assert environment.installed_packages() == {"keras": "3.15.1", "Old_Egg": "0.1", "tf": "2.0"}


def test_compile_cache_is_empty_until_the_engine_has_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKENDEXP_COMPILE_CACHE", str(tmp_path))
    assert environment.compile_cache_state("theano") == "empty"
    (tmp_path / "compiledir").mkdir()
    (tmp_path / "compiledir" / "lock").touch()
    assert environment.compile_cache_state("theano") == "empty"
    (tmp_path / "compiledir" / "lazylinker_ext").mkdir()
    (tmp_path / "compiledir" / "lazylinker_ext" / "mod.so").touch()  # importing Theano compiles this
    assert environment.compile_cache_state("theano") == "empty"
    (tmp_path / "compiledir" / "tmpb8x1").mkdir()
    (tmp_path / "compiledir" / "tmpb8x1" / "mod.so").touch()
    assert environment.compile_cache_state("theano") == "filled"
    assert environment.compile_cache_state("jax") is None


def test_theano_on_keras_3_has_a_compile_cache_unless_the_interpreter_is_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKENDEXP_COMPILE_CACHE", str(tmp_path))
    monkeypatch.setenv("PYTENSOR_FLAGS", f"base_compiledir={tmp_path}")
    monkeypatch.setenv("KERAS_THEANO_MODE", "interpreter")
    assert environment.compile_cache_state("theano") is None
    monkeypatch.delenv("KERAS_THEANO_MODE")
    assert environment.compile_cache_state("theano") == "empty"
    (tmp_path / "keras_theano").mkdir()
    (tmp_path / "keras_theano" / "0a1b.native").touch()
    assert environment.compile_cache_state("theano") == "filled"
