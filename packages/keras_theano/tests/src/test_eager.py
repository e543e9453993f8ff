"""Eager tensors are used as on other backends: ops leave their arguments as they are, and masks, strings and
operators in place work as there.
"""

import inspect
import operator
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
from keras import tree
from keras.src import backend

from keras_theano.src.ops import core, image, linalg, math, nn
from keras_theano.src.ops import numpy as ops
from oracles.edges import CASES, EXCEPTIONS, OF_MATRICES, Case
from oracles.processes import lean
from oracles.tracing import traced

MODULES = {core: "core", image: "image", linalg: "linalg", math: "math", nn: "nn", ops: "numpy"}

RNG = np.random.default_rng(0)
VECTOR = RNG.normal(size=6).astype("float32")
MATRIX = RNG.normal(size=(4, 4)).astype("float32")
IMAGES = RNG.random((2, 5, 6, 3)).astype("float32")
POSITIVE_DEFINITE = np.array([[2, 1], [1, 3]], "float32")
TRANSFORM = np.array([1, 0.1, 0, 0, 1, 0, 0, 0], "float32")
WHOLE = np.array([4, 6, 9], "int32")
CORNERS = np.array([[[0, 0], [0, 5], [4, 0], [4, 5]]], "float32")
TURNED = CORNERS[:, ::-1].copy()
LABELS = np.array([[1, 2]], "int32")

# Arguments for the ops that need special ones, and that have no case among the edge cases.
SPECIAL: dict[ModuleType, dict[str, Case]] = {
    core: {
        "convert_to_numpy": (lambda x: core.convert_to_numpy(x) + 1, (VECTOR,)),
    },
    image: {
        "affine_transform": (
            image.affine_transform,
            (IMAGES[0], TRANSFORM),
        ),
        "compute_homography_matrix": (image.compute_homography_matrix, (CORNERS, TURNED)),
        "elastic_transform": (lambda x: image.elastic_transform(x, seed=1), (IMAGES,)),
        "gaussian_blur": (lambda x: image.gaussian_blur(x, (3, 3), (1.0, 1.0)), (IMAGES,)),
        "map_coordinates": (lambda x, c: image.map_coordinates(x, c, 1), (MATRIX, MATRIX[:2] + 1)),
        "perspective_transform": (
            image.perspective_transform,
            (IMAGES[:1], CORNERS, TURNED),
        ),
        "scale_and_translate": (
            lambda x, s, t: image.scale_and_translate(x, (4, 4), s, t, (0, 1), "linear"),
            (MATRIX, np.array([1, 2], "float32"), np.array([0, 1], "float32")),
        ),
        **{
            name: (getattr(image, name), (IMAGES,))
            for name in ("hsv_to_rgb", "rgb_to_hsv", "rgb_to_grayscale", "sobel_edges")
        },
    },
    linalg: {"eig": (linalg.eig, (MATRIX,))},
    math: {
        **{
            name: (lambda x, y, name=name: getattr(math, name)((x, y)), (MATRIX, MATRIX.T.copy()))
            for name in ("fft", "fft2", "ifft2", "irfft")
        },
        "istft": (
            lambda x, y: math.istft((x, y), 6, 3, 6),
            (MATRIX, MATRIX.T.copy()),
        ),
        "stft": (lambda x: math.stft(x, 4, 2, 4), (VECTOR,)),
    },
    nn: {
        "ctc_decode": (lambda x, n: nn.ctc_decode(x, n), (MATRIX[None], np.array([4], "int32"))),
        "ctc_loss": (
            nn.ctc_loss,
            (LABELS, MATRIX[None], np.array([2], "int32"), np.array([4], "int32")),
        ),
        "fold": (lambda x: nn.fold(x, (4, 4), 2, stride=2), (RNG.normal(size=(1, 4, 4)),)),
        "unfold": (lambda x: nn.unfold(x, 2), (IMAGES,)),
    },
    ops: {
        **{name: (getattr(ops, name), (WHOLE, WHOLE[::-1].copy())) for name in ("gcd", "lcm")},
        "view": (lambda x: ops.view(x, "int32"), (VECTOR,)),
    },
}
NO_ARRAYS = {
    "device_scope": "gives the name of a device",
    "jvp": "raises, because eager code has no derivatives",
    "vectorize": "returns a function",
}


def cases_of(module: ModuleType) -> dict[str, Case]:
    """Return the cases of edges.py and those above, by a name that begins with the name of the op."""
    found = {**CASES.get(module, {}), **SPECIAL[module]}
    if module in (linalg, ops):
        found |= {name: (function, (POSITIVE_DEFINITE,)) for name, function in OF_MATRICES.items()}
    return found


def op_of(case: str) -> str:
    return case.split()[0].rstrip(",")


def calls() -> Iterator[Any]:
    """Yield a call of each op. An op without a case takes matrices."""
    for module, title in MODULES.items():
        cases = cases_of(module)
        for name, (function, arrays) in cases.items():
            yield pytest.param(function, arrays, id=f"{title} {name}")
        tested = {op_of(name) for name in cases}
        excepted = {op for names in EXCEPTIONS[module].values() for op in names.split()}
        for name, op in sorted(vars(module).items()):
            if not hasattr(op, "__wrapped__") or name in tested | excepted | set(NO_ARRAYS):
                continue
            parameters = inspect.signature(op).parameters.values()
            needed = sum(argument.default is argument.empty for argument in parameters)
            yield pytest.param(op, (np.abs(MATRIX) + 1,) * needed, id=f"{title} {name}")


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(("function", "arrays"), list(calls()))
def test_op_does_not_write_to_its_arguments(function: Callable[..., Any], arrays: tuple[Any, ...]) -> None:
    given = tuple(np.array(array) for array in arrays)
    function(*given)
    for array, before in zip(given, arrays, strict=True):
        np.testing.assert_array_equal(array, before)


def test_updates_return_new_arrays_whatever_is_updated() -> None:
    for zeros in (np.zeros(3, "float32"), keras.ops.zeros(3), [0.0, 0.0, 0.0]):
        x = tree.map_structure(lambda part: part, zeros)
        np.testing.assert_array_equal(keras.ops.slice_update(x, [0], keras.ops.ones(1)), [1, 0, 0])
        np.testing.assert_array_equal(keras.ops.scatter_update(x, [[1]], keras.ops.ones(1)), [0, 1, 0])
        np.testing.assert_array_equal(x, [0, 0, 0])


def test_loop_that_updates_its_carry_leaves_the_start_as_it_is() -> None:
    start = np.zeros((2, 3), "float32")

    def filled(n: int, table: Any) -> Any:
        return keras.ops.slice_update(table, (0, n), keras.ops.ones((2, 1)))

    np.testing.assert_array_equal(keras.ops.fori_loop(0, 3, filled, start), np.ones((2, 3)))
    np.testing.assert_array_equal(start, np.zeros((2, 3)))


# Tensors.


def test_ops_return_tensors_that_take_attributes() -> None:
    x = keras.ops.ones((2, 3))
    results = [
        x,
        x + 1,
        x[0],
        keras.ops.sum(x),
        keras.ops.split(x, 3, axis=1)[1],
        keras.ops.linalg.svd(x)[0],
        keras.ops.convert_to_tensor([1, 2]),
        keras.ops.cast(x, "int32"),
        keras.random.normal((2,), seed=1),
        keras.random.gamma((2,), 1.0, seed=1),
        keras.Variable(x).value,
        keras.layers.Dense(2)(x),
    ]
    for result in results:
        assert keras.ops.is_tensor(result)
        assert isinstance(result, np.ndarray)
        result._keras_mask = "mask"
        assert not hasattr(result + 1, "_keras_mask")


def test_arrays_of_users_are_no_tensors_and_conversions_of_them_are() -> None:
    array = np.ones((2, 3), "float32")
    assert not keras.ops.is_tensor(array)
    tensor = keras.ops.convert_to_tensor(array)
    assert keras.ops.is_tensor(tensor)
    assert not np.shares_memory(tensor, array)
    assert keras.ops.convert_to_tensor(tensor) is tensor
    assert type(keras.ops.convert_to_numpy(tensor)) is np.ndarray


def test_predictions_are_arrays_of_numpy() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    for eagerly in (False, True):
        model.compile("sgd", "mse", run_eagerly=eagerly)
        assert type(model.predict(np.ones((5, 3)), batch_size=2, verbose=0)) is np.ndarray
        assert type(model.predict(np.ones((2, 3)), verbose=0)) is np.ndarray
        assert type(model.predict_on_batch(np.ones((2, 3)))) is np.ndarray


@pytest.mark.parametrize(
    "change",
    [
        operator.iadd,
        operator.isub,
        operator.imul,
        operator.itruediv,
        operator.ifloordiv,
        operator.imod,
        operator.ipow,
    ],
)
def test_operators_in_place_change_no_other_tensor(change: Callable[..., Any]) -> None:
    x = keras.ops.convert_to_tensor([[4.0, 9.0]])
    same, view = keras.ops.stop_gradient(x), keras.ops.reshape(x, (2,))
    x = change(x, 2.0)
    assert keras.ops.is_tensor(x)
    np.testing.assert_array_equal(same, [[4, 9]])
    view = change(view, 2.0)
    np.testing.assert_array_equal(view, x[0])
    np.testing.assert_array_equal(same, [[4, 9]])


def test_bitwise_operators_in_place_change_no_other_tensor() -> None:
    for change in (operator.iand, operator.ior, operator.ixor, operator.ilshift, operator.irshift):
        x = keras.ops.convert_to_tensor([5, 9])
        changed = change(x, 2)
        assert not np.array_equal(changed, x), change
        np.testing.assert_array_equal(x, [5, 9])
    square = keras.ops.convert_to_tensor([[0.0, 1.0], [1.0, 0.0]])
    np.testing.assert_array_equal(operator.imatmul(square, square), np.eye(2))
    np.testing.assert_array_equal(square, [[0, 1], [1, 0]])


def test_layer_that_adds_in_place_leaves_its_input_as_it_is() -> None:
    class Shifted(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            skipped = x
            x += 1
            return x * skipped

    for x in (np.ones((2, 2), "float32"), keras.ops.ones((2, 2))):
        layer = Shifted()
        np.testing.assert_array_equal(layer(x), np.full((2, 2), 2))
        np.testing.assert_array_equal(x, np.ones((2, 2)))
        model = keras.Sequential([keras.Input((2,)), layer])
        np.testing.assert_array_equal(model.predict(x, verbose=0), layer(x))


# Classes.


@pytest.mark.parametrize(
    "values",
    [
        np.array([0, 1.5, 2, np.nan, -0.0, 3, -1, np.inf], "float32"),
        np.array([True, False]),
        np.array([-1, 0, 2, 3, 400], "int32"),
        np.array([[0, 1], [5, 2]], "uint8"),
        np.array(1, "int32"),
    ],
    ids=lambda values: str(values.dtype),
)
@pytest.mark.parametrize("axis", [-1, 0])
def test_one_hot_gives_zeros_for_what_is_no_class(values: Any, axis: int) -> None:
    expected = [[float(value == n) for n in range(3)] for value in values.ravel()]
    expected = np.moveaxis(np.reshape(expected, (*values.shape, 3)), -1, axis)
    found = nn.one_hot(values, 3, axis)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == "float32"
    np.testing.assert_array_equal(traced(lambda x: nn.one_hot(x, 3, axis), values), expected)


def test_one_hot_and_multi_hot_agree_with_recorded_code_for_every_class() -> None:
    rows = np.array([[0, 1], [5, 2], [-1, 1]], "int32")
    np.testing.assert_array_equal(nn.multi_hot(rows, 3), [[1, 1, 0], [0, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(traced(lambda x: nn.multi_hot(x, 3), rows), nn.multi_hot(rows, 3))
    np.testing.assert_array_equal(nn.one_hot(np.array([0, 2]), None), [[1, 0, 0], [0, 0, 1]])
    with pytest.raises(ValueError, match="always dense"):
        nn.one_hot(rows, 3, sparse=True)


# Masks.


def test_masks_flow_between_eager_layers() -> None:
    ids = np.array([[1, 2, 0], [3, 0, 0]])
    embedded = keras.layers.Embedding(5, 2, mask_zero=True)(ids)
    np.testing.assert_array_equal(embedded._keras_mask, ids != 0)
    dropped = keras.layers.Dropout(0.5)(embedded)
    np.testing.assert_array_equal(dropped._keras_mask, ids != 0)
    layer = keras.layers.GlobalAveragePooling1D()
    expected = [np.asarray(embedded)[n, : 2 - n].mean(axis=0) for n in range(2)]
    np.testing.assert_allclose(layer(dropped), expected, rtol=1e-6)


def test_mask_can_be_set_on_every_result() -> None:
    for result in (keras.ops.sum(np.ones(3)), keras.ops.ones(()), keras.ops.mean(np.ones((2, 2)), axis=0)):
        backend.set_keras_mask(result, True)
        assert backend.get_keras_mask(result) is True


# Strings. Each layer takes them in every form, and gives what it gives on other backends.


STRINGS = [
    ["a", "c"],
    np.array(["a", "c"]),
    np.array(["a", "c"], object),
    np.array([b"a", b"c"]),
]


@pytest.mark.parametrize("given", STRINGS, ids=["list", "str", "object", "bytes"])
def test_layers_take_arrays_of_strings(given: Any) -> None:
    pytest.importorskip("tensorflow")
    lookup = keras.layers.StringLookup(vocabulary=["a", "b"])(given)
    np.testing.assert_array_equal(lookup, [1, 0])
    assert keras.ops.is_tensor(lookup)
    np.testing.assert_array_equal(keras.layers.Hashing(5)(given), [4, 2])
    vectorized = keras.layers.TextVectorization(vocabulary=["a", "b"], output_sequence_length=2)(given)
    np.testing.assert_array_equal(vectorized, [[2, 0], [1, 0]])
    crossed = keras.layers.HashedCrossing(5)((given, np.array([1, 2])))
    np.testing.assert_array_equal(crossed, [0, 3])


def test_layers_learn_a_vocabulary_from_arrays() -> None:
    pytest.importorskip("tensorflow")
    layer = keras.layers.StringLookup()
    layer.adapt(np.array(["b", "a", "b"]))
    np.testing.assert_array_equal(layer(np.array([["b"], ["a"], ["c"]])), [[1], [2], [0]])
    integers = keras.layers.IntegerLookup(vocabulary=[1, 2])
    np.testing.assert_array_equal(integers([1, 5]), [1, 0])
    np.testing.assert_array_equal(integers(np.array([1, 5])), [1, 0])


def test_layer_of_strings_without_tensorflow_says_what_to_install() -> None:
    script = """
import keras
for layer in ("StringLookup", "IntegerLookup", "TextVectorization", "Hashing"):
    try:
        getattr(keras.layers, layer)(*([5] if layer == "Hashing" else []))
    except ImportError as error:
        print(error)
"""
    answer = subprocess.run(
        [sys.executable, "-c", script],
        env=lean({**os.environ, "KERAS_BACKEND": "theano"}, "theano"),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = answer.stdout.splitlines()
    assert len(lines) == 4
    assert all("requires TensorFlow. Install it via `pip install tensorflow`" in line for line in lines)
