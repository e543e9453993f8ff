"""Keras layers can be parts of PyTensor graphs."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from keras import layers

import keras_theano
from backendexp.runtimes.interpreters import find_python
from keras_theano.execution.interpreter import INTERPRETED

X = np.random.default_rng(3).random((5, 3), dtype="float32")


def model() -> Any:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((3,)), layers.Dense(8, "tanh"), layers.Dense(1)])


def test_graph_of_a_model_computes_what_the_model_computes() -> None:
    keras_model, x = model(), pt.matrix("x", dtype="float32", shape=(None, 3))
    y = keras_theano.to_pytensor(keras_model, x, training=False)
    assert y.type.shape == (None, 1)
    compute = pytensor.function([x], y, mode=INTERPRETED)
    np.testing.assert_allclose(compute(X), keras_model(X), rtol=1e-6)
    keras_model.layers[1].bias.assign([5.0])
    np.testing.assert_allclose(compute(X), keras_model(X), rtol=1e-6)


def test_values_can_replace_weights_and_have_gradients() -> None:
    keras_model, x = model(), pt.matrix("x", dtype="float32", shape=(None, 3))
    kernel = pt.matrix("kernel", dtype="float64", shape=(3, 8))
    y = keras_theano.to_pytensor(keras_model, x, values={keras_model.layers[0].kernel: kernel})
    gradient = pytensor.grad(y.sum(), kernel)
    compute = pytensor.function([x, kernel], [y, gradient], mode=INTERPRETED)
    start = np.asarray(keras_model.layers[0].kernel).astype("float64")
    value, slope = compute(X, start)
    np.testing.assert_allclose(value, keras_model(X), rtol=1e-6)
    step = np.zeros_like(start)
    step[1, 2] = 1e-2
    change = (compute(X, start + step)[0].sum() - compute(X, start - step)[0].sum()) / 2e-2
    assert slope[1, 2] == pytest.approx(change, rel=1e-2)
    keras_model.layers[0].kernel.assign(start * 0)
    np.testing.assert_array_equal(compute(X, start)[0], value)


def test_functions_of_several_tensors_and_nests() -> None:
    a, b = pt.vector("a", dtype="float32"), pt.vector("b", dtype="float32")
    both = keras_theano.to_pytensor(lambda pair: {"sum": keras.ops.add(*pair), "one": pair[0] * 2}, [a, b])
    compute = pytensor.function([a, b], [both["sum"], both["one"]], mode=INTERPRETED)
    total, doubled = compute(X[0], X[1])
    np.testing.assert_allclose(total, X[0] + X[1])
    np.testing.assert_allclose(doubled, 2 * X[0])


def example(word: str) -> str:
    """Return the example in the documentation that converts a model and contains `word`."""
    page = (Path(__file__).parents[3] / "docs" / "keras-theano.md").read_text()
    (found,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        if "to_pytensor" in block and word in block
    ]
    return str(found)


def test_example_in_the_documentation_runs() -> None:
    names: dict[str, Any] = {}
    exec(example("matrix"), names)
    weights = [names["x"], names["kernel"]]
    compute = pytensor.function(weights, names["y"], mode=INTERPRETED)
    assert compute(X.astype("float64"), np.zeros((3, 8))).shape == (5, 1)


@pytest.mark.slow
@pytest.mark.extended
def test_example_for_pymc_finds_the_weights(tmp_path: Path) -> None:
    """Use a separate environment, because no PyMC for Python 3.11 works with PyTensor 3."""
    python = tmp_path / "bin" / "python"
    subprocess.run([find_python("3.12", needed_by="PyMC"), "-m", "venv", tmp_path], check=True)
    install = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, "pymc>=6.4", "pytensor>=3,<4", "keras==3.15.*"], check=True)
    subprocess.run([*install, "--no-deps", Path(__file__).parents[1]], check=True)
    script = example("pymc") + "print(*posterior['kernel'].mean(('chain', 'draw')).values.ravel())"
    answer = subprocess.run(
        [python, "-c", script],
        env={**os.environ, "KERAS_BACKEND": "theano"},
        check=True,
        capture_output=True,
        text=True,
    )
    weights = [float(word) for word in answer.stdout.split()[-3:]]
    # With 60 observations and a deviation of 0.1, the posterior has a width of about 0.1 / sqrt(60).
    assert weights == pytest.approx([1.0, -2.0, 0.5], abs=0.06)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Numba tells which functions it leaves to Python
def test_graphs_compile_in_the_mode_that_pymc_uses() -> None:
    x = pt.matrix("x", dtype="float32", shape=(None, 3))

    def outputs(x: Any) -> Any:
        half = keras.ops.cast(keras.ops.cast(x, "float16"), "float32")
        clipped = keras.ops.custom_gradient(lambda x: (keras.ops.relu(x), lambda upstream: upstream * 3))(x)
        return half, clipped, keras.ops.sign(keras.ops.cast(x, "uint8")), keras.ops.top_k(x, 2)[0]

    results = keras_theano.to_pytensor(outputs, x)
    slope = pytensor.grad(results[1].sum(), x)
    found = pytensor.function([x], [*results, slope])(X * 3 - 1)
    expected = pytensor.function([x], [*results, slope], mode=INTERPRETED)(X * 3 - 1)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(found[-1], np.full_like(X, 3))


def test_function_that_assigns_is_refused() -> None:
    normalize = layers.BatchNormalization()
    normalize.build((None, 3))
    with pytest.raises(ValueError, match=r"assigns to .*moving_mean.*Try training=False"):
        keras_theano.to_pytensor(normalize, pt.matrix(dtype="float32", shape=(None, 3)), training=True)
