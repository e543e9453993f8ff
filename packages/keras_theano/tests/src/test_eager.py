"""Eager ops leave their arguments as they are, as ops do on backends whose arrays cannot be changed."""

import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
from keras import tree

from keras_theano.src.ops import core, image, linalg, math, nn
from keras_theano.src.ops import numpy as ops
from oracles.edges import CASES, EXCEPTIONS, OF_MATRICES, Case

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
