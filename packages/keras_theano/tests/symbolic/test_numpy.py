"""Every op of keras_theano.symbolic.numpy computes what Keras's NumPy backend computes."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import pytest
from numpy.lib import NumpyVersion

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.ops import numpy as ops
from keras_theano.symbolic import numpy as symbolic
from oracles.tracing import gradient_of, traced

eager = numpy_ops("numpy")

NUMBERS = ("float32", "float64", "int32", "int8", "uint8")
FLOATS = ("float32", "float64")
REALS = (*FLOATS, "int32")
WHOLE = ("int32", "int8", "uint8")
ANY = (*NUMBERS, "bool")
PAIRS = (*NUMBERS, ("float32", "int32"), ("int32", "float32"), ("uint8", "int32"), ("float64", "float32"))


@dataclass
class Case:
    """One call of an op.

    arguments: the positional arguments. Float32 arrays among them and in lists are cast to `dtypes`.
    dtypes: the dtypes to test in turn. An entry that is a tuple has one dtype for each array.
    smooth: whether the op is differentiable at these arguments.
    known: whether all sizes have to be known before the call.
    """

    arguments: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)
    dtypes: tuple[Any, ...] = FLOATS
    smooth: bool = True
    known: bool = False
    call: Callable[..., Any] | None = None

    def run(self, op: Callable[..., Any], arguments: Any) -> Any:
        return (self.call or (lambda op, *a, **k: op(*a, **k)))(op, *arguments, **self.options)


def case(
    *arguments: Any,
    dtypes: Any = FLOATS,
    smooth: bool = True,
    known: bool = False,
    call: Any = None,
    **options: Any,
) -> Case:
    return Case(arguments, options, dtypes, smooth, known, call)


def numbers(*shape: int, low: float = -3, high: float = 3, seed: int = 0) -> Any:
    """Return an array in which no two numbers are equal, and none is a multiple of a half."""
    count = int(np.prod(shape))
    steps = np.random.default_rng([seed, count]).permutation(count) + 0.37 + 0.013 * seed
    return (low + (high - low) * steps / max(count, 1)).reshape(shape).astype("float32")


def nans(*shape: int, seed: int = 0) -> Any:
    x = numbers(*shape, seed=seed)
    x.ravel()[::5] = np.nan
    return x


X, Y = numbers(4, 3), numbers(4, 3, seed=1)
POSITIVE = numbers(4, 3, low=1, high=5)
INSIDE = numbers(4, 3, low=-0.9, high=0.9)
CUBE = numbers(4, 3, 2)
ROW = numbers(3, seed=2)
NAN = nans(4, 3)
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.5], "float32")
WHOLE_NUMBERS = np.array([[5, 3, 7], [1, 2, 6], [4, 0, 2], [3, 3, 1]], "float32")
MASK = np.array([[True, False, True], [False, False, True], [True, True, True], [False, False, False]])

AXES = [{}, {"axis": 0}, {"axis": -1}, {"axis": (0, 1)}, {"axis": [0], "keepdims": True}, {"keepdims": True}]
TUPLES = [option for option in AXES if not isinstance(option.get("axis"), list)]
ONE_AXIS = [{}, {"axis": 0}, {"axis": -1}, {"axis": 1, "keepdims": True}, {"keepdims": True}]


def names(text: str) -> list[str]:
    return text.split()


def unary(x: Any = X, dtypes: Any = ANY) -> list[Case]:
    return [case(x, dtypes=dtypes), case(x[0, 0], dtypes=("float32",))]


def binary(x: Any = X, y: Any = Y, dtypes: Any = PAIRS, number: Any = 2) -> list[Case]:
    """Return cases with two arrays, with broadcasting, and with a Python number."""
    return [
        case(x, y, dtypes=dtypes),
        case(x, np.abs(y[:1]) if (y > 0).all() else y[:1], dtypes=("float32",)),
        case(numbers(4, 1, 3, low=x.min(), high=x.max()), numbers(5, 1, low=y.min(), high=y.max())),
        case(x, number, dtypes=("float32", "int32")),
        case(x, float(number), dtypes=("float32", "int32")),
        case(number, y, dtypes=("float32", "int32")),
    ]


def reductions(x: Any = X, dtypes: Any = ANY, options: Any = AXES, **more: Any) -> list[Case]:
    first, *others = options
    return [
        case(x, dtypes=dtypes, **first, **more),
        *[case(x, dtypes=("float32",), **other, **more) for other in others],
        case(numbers(4, 3, 2), dtypes=("float32",), axis=1, **more),
    ]


CASES: dict[str, list[Case]] = {
    # Ops of one argument.
    **{
        name: unary()
        for name in names(
            "arctan arcsinh ceil cos cosh floor sin sinh tanh exp exp2 expm1 fabs deg2rad rad2deg square "
            "trunc logical_not conj conjugate copy abs absolute cbrt isnan isinf isfinite isposinf isneginf "
            "isreal real imag angle signbit i0 sinc tan array"
        )
    },
    **{name: unary(POSITIVE) for name in names("log log10 log1p log2 sqrt arccosh")},
    **{name: unary(INSIDE) for name in names("arccos arcsin arctanh")},
    "sign": unary(dtypes=NUMBERS),
    "negative": unary(dtypes=NUMBERS),
    "reciprocal": [case(POSITIVE, dtypes=NUMBERS), case(-POSITIVE, dtypes=("int32", "int8"))],
    **{name: [case(X, dtypes=(*WHOLE, "bool"))] for name in ("bitwise_not", "bitwise_invert")},
    "round": [
        *unary(dtypes=NUMBERS),
        case(np.array([0.5, 1.5, 2.5, -0.5], "float32"), smooth=False),
        case(X * 7, 1),
        case(X * 100, decimals=-1, dtypes=(*FLOATS, "int32")),
    ],
    "nan_to_num": [
        case(SPECIAL, smooth=False),
        case(SPECIAL, nan=1.0, posinf=2.0, neginf=-3.0, smooth=False),
        case(X, dtypes=ANY),
    ],
    "clip": [
        case(X, -1, 1, dtypes=(*REALS, "int8", "bool")),
        case(X, 0, 2, dtypes=("uint8",)),
        case(X, -1.25, 1.25, dtypes=REALS),
        case(X, -1.0, None),
        case(X, None, 1.0),
        case(X, -np.abs(Y), np.abs(ROW) + 1, dtypes=("float32",)),
    ],
    # Ops of two arguments.
    **{
        name: binary(dtypes=(*PAIRS, "bool"))
        for name in names(
            "add multiply maximum minimum fmax fmin logaddexp logaddexp2 arctan2 logical_and logical_or "
            "logical_xor equal not_equal less less_equal greater greater_equal heaviside hypot isclose "
            "allclose"
        )
    },
    "subtract": binary(),
    **{name: binary(y=POSITIVE) for name in names("divide true_divide floor_divide mod fmod")},
    "divide_no_nan": [*binary(y=POSITIVE), case(X, np.where(MASK, X, 0).astype("float32"), smooth=False)],
    "power": [
        *binary(POSITIVE, POSITIVE[::-1], number=3),
        case(X, 2),
        case(X, 2.0),
        case(MASK, MASK[::-1]),
    ],
    **{
        name: [
            case(X, Y, dtypes=("int32", "int8", "uint8", "bool", ("uint8", "int32"))),
            case(X, 3, dtypes=("int32",)),
        ]
        for name in names("bitwise_and bitwise_or bitwise_xor")
    },
    **{
        name: [
            case(WHOLE_NUMBERS * 9 - 20, WHOLE_NUMBERS, dtypes=("int32", "int8", ("int8", "int32"))),
            case(WHOLE_NUMBERS, 3, dtypes=WHOLE),
        ]
        for name in names("left_shift right_shift bitwise_left_shift bitwise_right_shift")
    },
    "ldexp": [case(X, WHOLE_NUMBERS, dtypes=(("float32", "int32"), ("int32", "int32")))],
    "isin": [
        case(WHOLE_NUMBERS, np.array([1, 3, 9], "float32"), dtypes=NUMBERS),
        case(WHOLE_NUMBERS, np.array([1, 3], "float32"), invert=True),
    ],
    "where": [
        case(MASK, X, Y, dtypes=(*PAIRS, "bool")),
        case(MASK, X, 0.0),
        case(MASK, 1, X, dtypes=("float32", "int8", "bool")),
        case(WHOLE_NUMBERS.astype("int32"), X, ROW),
        case(MASK),
        case(X, dtypes=("float32", "int32"), smooth=False),
    ],
    "select": [
        case([MASK, MASK[::-1]], [X, Y], dtypes=(*NUMBERS, ("float32", "int32"))),
        case([MASK, MASK[::-1]], [X, Y], default=3),
        case([MASK], [X], 0.5, dtypes=("float32", "int32")),
    ],
    # Reductions.
    **{name: reductions() for name in names("sum mean max min amax amin all any prod std var")},
    "ptp": reductions(dtypes=NUMBERS, options=TUPLES),
    "average": [
        case(X, dtypes=ANY),
        case(X, axis=0),
        case(X, axis=1, weights=np.abs(ROW) + 1, dtypes=REALS),
        case(X, weights=POSITIVE),
        case(X, axis=0, weights=POSITIVE, dtypes=("float32", ("int32", "float32"))),
        case(CUBE, axis=(0, 2), weights=numbers(4, 2, low=1)),
    ],
    "count_nonzero": [case(X, dtypes=ANY), case(X, axis=0), case(X, axis=(0, 1)), case(X, axis=-1)],
    **{name: reductions(options=ONE_AXIS) for name in names("argmax argmin")},
    **{
        name: [case(X, dtypes=ANY), case(X, axis=0), case(X, axis=-1, dtypes=ANY), case(X, 0, "float64")]
        for name in names("cumsum cumprod")
    },
    **{
        name: [*reductions(NAN, FLOATS, TUPLES), case(X, dtypes=ANY), case(X, axis=1, dtypes=("int32",))]
        for name in names("nansum nanmean nanstd nanvar nanprod nanmax nanmin")
    },
    **{
        name: [
            *reductions(NAN, FLOATS, ONE_AXIS),
            case(X, dtypes=("int32", "float32")),
            case(np.array([[np.nan, np.nan], [1, 2]], "float32"), axis=0, smooth=False),
        ]
        for name in names("nanargmax nanargmin")
    },
    **{
        name: [case(NAN), case(NAN, axis=0), case(NAN, axis=-1), case(X, dtypes=ANY)]
        for name in names("nancumsum nancumprod")
    },
    # Sorting and counting.
    "sort": [case(X, dtypes=NUMBERS), case(X, axis=0), case(X, axis=None)],
    "argsort": [case(X), case(X, axis=0), case(X, axis=None)],
    # Only the element at that index of each row is compared, because the order of the others is unspecified.
    "argpartition": [
        case(X, 1, call=lambda op, x, kth: ops.take_along_axis(x, op(x, kth), axis=-1)[:, kth]),
    ],
    "median": [case(X, dtypes=ANY), case(X, axis=0), case(CUBE, axis=(0, 2), keepdims=True)],
    "nanmedian": [case(NAN), case(NAN, axis=0), case(X, axis=[0], keepdims=True), case(X, dtypes=ANY)],
    "quantile": [
        case(X, 0.3, dtypes=ANY),
        case(X, q=0.3, axis=[0], keepdims=True),
        case(X, [0.1, 0.5, 0.9], axis=1),
        case(X, [0.1, 0.5], axis=(0, 1), keepdims=True),
        *[case(X, 0.4, axis=0, method=method) for method in names("linear lower higher midpoint nearest")],
        case(NAN, 0.5, axis=1, smooth=False),
    ],
    "percentile": [case(X, 30, dtypes=ANY), case(X, [10, 50], axis=1), case(X, 45.0, method="lower")],
    "nanquantile": [case(NAN, 0.3), case(X, 0.2, dtypes=ANY), case(NAN, [0.1, 0.9], axis=0)],
    "nanpercentile": [case(NAN, 30), case(CUBE, 30, axis=(0, 2), keepdims=True), case(X, 20, dtypes=ANY)],
    "searchsorted": [
        case(np.sort(numbers(7)), X, side="left", dtypes=(*REALS, ("int32", "float32"))),
        case(np.sort(numbers(7)), X, side="right"),
    ],
    "digitize": [
        case(X, np.sort(numbers(7)), dtypes=REALS),
        case(X, [-1.0, 0.5, 2.0]),
        case(X, call=lambda op, x: op(x, np.array([2.0, 0.5, -1.0], "float32"))),
    ],
    "bincount": [
        case(WHOLE_NUMBERS[:, 0], dtypes=("int32", "uint8")),
        case(WHOLE_NUMBERS[:, 0], minlength=9, dtypes=("int32",)),
        case(WHOLE_NUMBERS[:, 0], weights=POSITIVE[:, 0], dtypes=(("int32", "float32"), "int32")),
        case(WHOLE_NUMBERS, minlength=9, dtypes=("int32",)),
        case(WHOLE_NUMBERS, POSITIVE, 9, dtypes=(("int32", "float32"),)),
    ],
    "histogram": [
        case(X, dtypes=REALS, smooth=False),
        case(X, 4, range=(-1.5, 2.0), dtypes=FLOATS),
        case(X, np.sort(numbers(5)), smooth=False),
    ],
    # Creation.
    **{
        name: [case(X, dtypes=ANY), case(X, dtype="int32"), case(np.float32(3.0))]
        for name in names("zeros_like ones_like")
    },
    "empty_like": [
        case(X, call=lambda op, x: ops.zeros_like(op(x))),
        case(X, call=lambda op, x: ops.zeros_like(op(x, dtype="int32"))),
    ],
    "full_like": [case(X, 3, dtypes=ANY), case(X, 2.5, dtype="float32", dtypes=REALS), case(X, ROW)],
    **{
        name: [
            case(X, call=lambda op, x: op(keras.ops.shape(x))),
            case(X, call=lambda op, x: op((keras.ops.shape(x)[0], 2), dtype="int32")),
        ]
        for name in names("zeros ones")
    },
    "empty": [case(X, call=lambda op, x: op(keras.ops.shape(x)) * 0)],
    "full": [
        case(X, call=lambda op, x: op(keras.ops.shape(x), 2)),
        case(X, ROW, call=lambda op, x, row: op(keras.ops.shape(x), row, dtype="float64")),
        case(np.float32(4.5), call=lambda op, x: op((2, 3), x, "float64")),
    ],
    "arange": [
        case(X, call=lambda op, x: op(keras.ops.shape(x)[0])),
        case(X, call=lambda op, x: op(1, keras.ops.shape(x)[0], 2, dtype="float32")),
        case(np.float32(1.0), np.float32(7.0), np.float32(1.5), smooth=False),
    ],
    **{
        name: [
            case(np.float32(1.0), np.float32(5.0), dtypes=REALS, num=7, smooth=False),
            case(np.float32(1.0), np.float32(5.0), dtype="float64"),
            case(ROW + 4, POSITIVE[:, :1], num=4, endpoint=False, axis=-1, dtype="float64"),
            case(POSITIVE[0], 7, num=5, axis=1, smooth=False),
            case(POSITIVE[0], 7.0, num=1, smooth=False),
        ]
        for name in names("linspace logspace geomspace")
    },
    "eye": [
        case(X, call=lambda op, x: op(keras.ops.shape(x)[0])),
        case(X, call=lambda op, x: op(3, keras.ops.shape(x)[0], 1, "int32")),
    ],
    "identity": [case(X, call=lambda op, x: op(keras.ops.shape(x)[0]))],
    "tri": [
        case(X, call=lambda op, x: op(keras.ops.shape(x)[0])),
        case(X, call=lambda op, x: op(3, keras.ops.shape(x)[0], -1, "int32")),
    ],
    **{name: [case(X, dtypes=ANY), case(X, 1), case(CUBE, k=-1), case(ROW)] for name in names("tril triu")},
    "vander": [
        case(ROW, dtypes=REALS),
        case(ROW, N=4, increasing=True),
        case(POSITIVE[0], 2),
    ],
    **{
        name: [case(np.array(n, "int32")) for n in (5, 6, 1)]
        for name in names("bartlett hamming hanning blackman")
    },
    "kaiser": [case(np.array(n, "int32"), 2.5) for n in (5, 6)],
    # Shape.
    "ndim": [case(X, call=lambda op, x: np.int32(op(x)))],
    "size": [case(X, call=lambda op, x: keras.ops.cast(op(x), "int32"))],
    "reshape": [
        case(X, (3, 4), dtypes=ANY),
        case(X, -1),
        case(X, (-1, 3, 1)),
        case(CUBE, call=lambda op, x: op(x, (keras.ops.shape(x)[0], 6))),
        case(CUBE, call=lambda op, x: op(x, (keras.ops.shape(x)[0], -1))),
    ],
    "ravel": [case(X, dtypes=ANY), case(ROW), case(np.float32(2.5))],
    "broadcast_to": [
        case(ROW, (4, 3), dtypes=ANY),
        case(X, CUBE, call=lambda op, x, y: op(x, (2, keras.ops.shape(y)[0], 3))),
    ],
    "expand_dims": [case(X, 0, dtypes=ANY), case(X, -1), case(X, (0, 2)), case(X, [1, -1])],
    "squeeze": [
        case(numbers(4, 1, 3, 1)),
        case(numbers(4, 1, 3, 1), axis=1),
        case(numbers(4, 1, 3, 1), axis=(1, -1)),
        case(numbers(4, 1, 3, 1), [-1]),
    ],
    "transpose": [case(X, dtypes=ANY), case(CUBE), case(CUBE, (1, 0, 2)), case(CUBE, axes=[-1, 0, 1])],
    "swapaxes": [case(CUBE, 0, -1), case(X, 1, 0)],
    "moveaxis": [case(CUBE, 0, -1), case(CUBE, [0, 1], [-1, 0]), case(CUBE, (2,), (0,))],
    "flip": [case(X, dtypes=ANY), case(CUBE, 1), case(CUBE, axis=(0, -1))],
    "fliplr": [case(X), case(CUBE)],
    "flipud": [case(X), case(CUBE)],
    "rot90": [case(X), *[case(CUBE, k=k, axes=(0, 2)) for k in (0, 1, 2, 3, -1)], case(X, 1, (1, 0))],
    "roll": [
        case(X, 2, dtypes=ANY),
        case(X, 1, axis=0),
        case(X, -4, axis=1),
        case(X, 0, axis=1),
        case(CUBE, (1, 2), axis=(0, 1)),
        case(CUBE, 1, axis=[1, 2]),
    ],
    "repeat": [
        case(X, 2, dtypes=ANY),
        case(X, 3, axis=0),
        case(X, 2, axis=-1),
        case(X, [1, 0, 2], axis=1),
        case(X, [1, 0, 2, 1], axis=0),
        case(X, [3], axis=0),
        case(X, np.array([1, 0, 2, 1]), axis=0),
    ],
    "tile": [case(X, 2, dtypes=ANY), case(X, (2, 1)), case(X, [2, 1, 3]), case(CUBE, (3,))],
    "meshgrid": [
        case(ROW, POSITIVE[0], dtypes=REALS),
        case(ROW, X[:, 0], indexing="ij"),
        case(ROW, X[:, 0], POSITIVE[0, :2]),
        case(ROW),
    ],
    "concatenate": [
        case([X, Y], dtypes=(*ANY, ("float32", "int32"))),
        case([X, Y[:, :2]], axis=1),
        case([X, CUBE], axis=None),
        case([CUBE, CUBE, CUBE], axis=-1),
    ],
    "stack": [
        case([X, Y], dtypes=(*ANY, ("float32", "int32"))),
        case([X, Y], axis=1),
        case([X, Y], axis=-1),
        case([np.float32(1.5), np.float32(2.5)]),
    ],
    **{
        name: [case([X, Y], dtypes=(*ANY, ("float32", "int32"))), case([ROW, ROW]), case([CUBE, CUBE])]
        for name in names("hstack vstack dstack")
    },
    "append": [case(X, Y, dtypes=PAIRS), case(X, ROW), case(X, Y, axis=0), case(X, Y, axis=-1)],
    "split": [
        case(X, 2, dtypes=ANY),
        case(X, 3, axis=1),
        case(X, [1, 2], axis=-1),
        case(X, (1, 3)),
        case(X, 1),
    ],
    "array_split": [case(X, 3), case(X, 2, axis=1), case(X, [1], axis=1), case(numbers(7), 3)],
    "vsplit": [case(X, 2), case(X, [1])],
    "hsplit": [case(X, 3), case(X, [1]), case(numbers(6), 3)],
    "dsplit": [case(CUBE, 2), case(CUBE, [1])],
    "pad": [
        case(X, 1, dtypes=NUMBERS),
        case(X, (1, 2)),
        case(X, ((0, 0), (1, 2)), constant_values=2.5),
        case(X, ((2, 0), (0, 1)), "constant", constant_values=3, dtypes=REALS),
        *[case(X, ((0, 0), (2, 1)), mode=mode) for mode in names("reflect symmetric edge wrap")],
        *[case(X, ((2, 1), (0, 1)), mode=mode) for mode in names("reflect symmetric edge")],
    ],
    # Elements.
    "take": [
        case(X, np.array([2, 0, -1]), axis=0, dtypes=ANY),
        case(X, np.array([[2, 0, -1], [1, 1, 2]]), axis=0),
        case(X, np.array([[2, 0, -1], [1, 1, 2]]), axis=-1),
        case(X, np.array([2, 0, 7])),
        case(X, 1, axis=1),
        case(X, [0, 2], axis=1),
    ],
    "take_along_axis": [
        case(X, np.array([[2, 0], [1, 1], [0, -1], [2, 2]]), axis=1, dtypes=ANY),
        case(X, np.array([[2, 0, 1]]), axis=0),
        case(X, np.array([7, 2]), axis=None),
        case(CUBE, np.array([[[1], [0], [-1]]] * 4), axis=-1),
    ],
    "unravel_index": [
        case(np.array([[5, 0, 11]]).astype(dtype), (4, 3)) for dtype in ("int32", "uint8", "int64")
    ],
    "diagonal": [
        case(X, dtypes=ANY),
        case(X, offset=1),
        case(X, -1),
        case(CUBE, 0, 1, 2),
        case(CUBE, 1, -1, 0),
    ],
    "diag": [case(X, dtypes=ANY), case(X, 1), case(ROW), case(ROW, k=-2)],
    "diagflat": [case(X), case(ROW, 1)],
    "trace": [case(X, dtypes=ANY), case(X, 1), case(CUBE, 0, 1, 2)],
    "diff": [case(X, dtypes=(*ANY,)), case(X, n=2, axis=0), case(X, axis=0)],
    "trapezoid": [
        case(X, dtypes=REALS),
        case(X, axis=0, dx=0.5),
        case(X, ROW),
        case(X, Y, axis=0),
    ],
    # Products.
    "matmul": [
        case(X, numbers(3, 2), dtypes=(*NUMBERS, ("float32", "int32"))),
        case(CUBE, numbers(2, 5)),
        case(CUBE, numbers(4, 2, 5)),
        case(CUBE, numbers(1, 2, 5)),
        case(X, CUBE.transpose(0, 1, 2)),
        case(X, ROW),
        case(X[:, 0], X),
        case(ROW, ROW),
        case(ROW, CUBE),
        case(numbers(5, 4, 3, 2), numbers(2)),
    ],
    "dot": [
        case(X, numbers(3, 2), dtypes=PAIRS),
        case(CUBE, numbers(5, 2, 6)),
        case(ROW, ROW),
        case(X, ROW),
        case(X, 2.0),
        case(CUBE, numbers(2, 5)),
    ],
    "inner": [
        case(X, Y, dtypes=PAIRS),
        case(ROW, X),
        case(ROW, ROW),
        case(X, 3.0),
        case(CUBE, numbers(5, 2)),
    ],
    "vdot": [case(X, Y, dtypes=PAIRS), case(ROW, ROW)],
    "outer": [case(X, ROW, dtypes=PAIRS), case(ROW, ROW)],
    "tensordot": [
        case(X, numbers(3, 2), axes=1, dtypes=PAIRS),
        case(X, Y),
        case(CUBE, numbers(2, 3), axes=[[1, 2], [1, 0]]),
        case(CUBE, numbers(4, 5), axes=(0, 0)),
        case(ROW, ROW, axes=0),
    ],
    "einsum": [
        case("ij,jk->ik", X, numbers(3, 2), dtypes=(*NUMBERS, ("float32", "int32"))),
        case("ij,jk", X, numbers(3, 2)),
        case("abc,cde->abde", CUBE, numbers(2, 3, 5)),
        case("aecd,abcd->acbe", numbers(4, 5, 2, 3), numbers(4, 6, 2, 3)),
        case("acbe,aecd->abcd", numbers(4, 2, 6, 5), numbers(4, 5, 2, 3)),
        case("bij,bjk->bik", CUBE, numbers(4, 2, 5)),
        case("...ij,jk->...ik", CUBE, numbers(2, 5)),
        case("...x,xy->...y", X, numbers(3, 5)),
        case("ij->ji", X),
        case("ij->", X),
        case("ij->i", X),
        case("ii->i", numbers(3, 3)),
        case("ii", numbers(3, 3)),
        case("i,j->ij", ROW, X[:, 0]),
        case("ij,ij->ij", X, Y),
        case("ab,bc,cd->ad", X, numbers(3, 2), numbers(2, 5), optimize="optimal"),
    ],
    "kron": [
        case(X, numbers(2, 3), dtypes=PAIRS),
        case(ROW, X),
        case(ROW, X[:, 0]),
    ],
    "cross": [
        case(X, Y, dtypes=(*REALS, ("float32", "int32"))),
        case(X, ROW, known=True),
        case(X.T.copy(), numbers(3, 4), axis=0, known=True),
        case(X, numbers(4, 3), axisc=0),
        # NumPy 2.5 no longer accepts vectors of two elements.
        *([case(X, numbers(4, 2), dtypes=("float32",))] if NumpyVersion(np.__version__) < "2.5.0" else []),
    ],
    "corrcoef": [case(X, dtypes=(*REALS, "int64")), case(CUBE[:, 0], smooth=False)],
    "correlate": [
        case(numbers(7), ROW, dtypes=(*REALS, "int64", ("float32", "int32"))),
        case(ROW, numbers(7), mode="full"),
        *[
            case(x, y, "same", known=True)
            for x, y in ((numbers(7), ROW), (numbers(7), numbers(4)), (numbers(4), numbers(7)), (ROW, ROW))
        ],
    ],
    "gcd": [case(12 * X, 8 * Y, dtypes=(*WHOLE, ("int32", "uint8"))), case(X, ROW, dtypes=("int32",))],
    "lcm": [case(12 * X, 8 * Y, dtypes=(*WHOLE, ("int32", "uint8"))), case(12 * X, 10, dtypes=("int32",))],
    "nextafter": [
        case(X, Y, dtypes=("float32", ("float64", "float32"), "int32")),
        case(X, X, smooth=False),
        case(SPECIAL, 0.0, smooth=False),
    ],
    "nonzero": [
        case(X * (X > 0), dtypes=ANY, smooth=False),
        case(np.round(CUBE), smooth=False),
    ],
    "unique": [
        case(np.array([3, 1, 2, 1, 3], "float32"), dtypes=ANY, smooth=False),
        case(X),
        case(np.round(X), return_index=True, return_inverse=True, return_counts=True, smooth=False),
        case(X, size=4),
        case(X, size=20, fill_value=7.0, return_counts=True, return_index=True),
        case(X, axis=1, return_inverse=True),
        case(np.round(X[[0, 1, 0]]), axis=0, size=4, smooth=False),
    ],
    "view": [
        *[case(X, dtype, smooth=False) for dtype in ("int32", "uint8", "int16")],
        case(numbers(2, 4), "float64", smooth=False, dtypes=("float32", "int32")),
        case(X, "float32", dtypes=("float32",), smooth=False),
        case(X, "int8", dtypes=("uint8",), smooth=False),
    ],
    "slogdet": [case(numbers(3, 3), dtypes=("float32",)), case(numbers(4, 3, 3), dtypes=("float32",))],
}


NEW_IN_KERAS_3_16: dict[str, list[Case]] = {
    "copysign": [
        *binary(dtypes=(*FLOATS, "int32")),
        case(np.array([0.0, -0.0, 2.0], "float32"), np.array([-0.0, 1.0, -np.inf], "float32"), smooth=False),
    ],
    "float_power": [case(POSITIVE, X, dtypes=(*REALS, ("float32", "int32"))), case(POSITIVE, 2)],
    "column_stack": [
        case([X, X[:, 0], X]),
        case([ROW, numbers(3, seed=2)]),
        case([X, X[:, 0]], dtypes=("int32",)),
    ],
    "cov": [case(X, dtypes=REALS), case(ROW), case(X[:1])],
}
CASES |= NEW_IN_KERAS_3_16


OPS = sorted(
    name
    for name, value in vars(symbolic).items()
    if callable(value) and not name.startswith("_") and hasattr(eager, name) and name in vars(ops)
)


def with_dtypes(arguments: Any, dtypes: Any) -> Any:
    """Cast the float32 arrays in `arguments`. `dtypes` is one dtype for all of them, or a tuple with one for
    each.
    """
    left = iter(dtypes) if isinstance(dtypes, tuple) else None

    def convert(x: Any) -> Any:
        if isinstance(x, (list, tuple)) and any(isinstance(part, (np.ndarray, np.generic)) for part in x):
            return [convert(part) for part in x]
        if not isinstance(x, (np.ndarray, np.generic)) or x.dtype != "float32":
            return x
        x, dtype = np.asarray(x), next(left) if left else dtypes
        if dtype == "bool":
            return np.asarray(x > 0)
        return np.asarray(np.abs(x) if dtype == "uint8" else x).astype(dtype)

    return tuple(convert(argument) for argument in arguments)


def flat(result: Any) -> list[Any]:
    return [part for item in result for part in flat(item)] if isinstance(result, (list, tuple)) else [result]


def compute(op: Any, one: Case, arguments: Any) -> list[Any]:
    with np.errstate(all="ignore"):
        return [np.asarray(part) for part in flat(one.run(op, arguments))]


@dataclass
class Variant:
    """A case with its arrays in certain dtypes. `about` describes it in a failure message."""

    case: Case
    arguments: Any
    about: str


def variants(name: str, unknown_batch: bool) -> list[Variant]:
    assert name in CASES, f"{name} is traced, and no case here tests it"
    return [
        Variant(one, with_dtypes(one.arguments, dtypes), f"{name}, case {number}, {dtypes}")
        for number, one in enumerate(CASES[name])
        if not (unknown_batch and one.known)
        for dtypes in (one.dtypes if unknown_batch or one.known else one.dtypes[:1])
    ]


def run_all(op: Any, chosen: list[Variant]) -> Callable[..., list[Any]]:
    """Return one function that runs all of them, because each function has to be compiled."""

    def run(*arguments: Any) -> list[Any]:
        return [one.case.run(op, its) for one, its in zip(chosen, arguments, strict=True)]

    return run


# NumPy warns of divisions by zero, and of Keras's cross products of vectors of two elements.
pytestmark = pytest.mark.filterwarnings(
    "ignore::RuntimeWarning", "ignore:Arrays of 2-dimensional:DeprecationWarning"
)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("unknown_batch", [True, False], ids=["unknown batch", "known sizes"])
def test_traced_op_equals_eager_op(name: str, unknown_batch: bool) -> None:
    chosen = variants(name, unknown_batch)
    inputs = [one.arguments for one in chosen]
    found = traced(run_all(getattr(ops, name), chosen), *inputs, unknown_batch=unknown_batch)
    for one, result in zip(chosen, found, strict=True):
        expected = compute(getattr(eager, name), one.case, one.arguments)
        assert len(flat(result)) == len(expected), one.about
        for ours, theirs in zip(flat(result), expected, strict=True):
            assert isinstance(ours, (np.ndarray, np.generic)), one.about
            assert (str(ours.dtype), ours.shape) == (str(theirs.dtype), theirs.shape), one.about
            # NumPy computes with small integers in float16.
            near = 2e-3 if one.about.endswith(("int8", "bool")) and theirs.dtype.kind == "f" else 2e-5
            np.testing.assert_allclose(ours, theirs, rtol=near, atol=near / 10, err_msg=one.about)


@pytest.mark.parametrize("name", OPS)
def test_gradient_equals_central_differences(name: str) -> None:
    chosen = [
        Variant(one, with_dtypes(one.arguments, "float64"), name)
        for one in CASES[name]
        if one.smooth and not one.known and "float32" in one.dtypes
    ]
    results = [part for one in chosen for part in compute(getattr(eager, name), one.case, one.arguments)]
    if any(result.dtype.kind == "f" for result in results):
        gradient_of(run_all(getattr(ops, name), chosen), *[one.arguments for one in chosen])


@pytest.mark.parametrize("name", OPS)
def test_arguments_have_the_names_of_the_eager_op(name: str) -> None:
    ours, theirs = [inspect.signature(getattr(module, name)).parameters for module in (symbolic, eager)]
    assert list(ours) == list(theirs)


def test_every_op_is_traced() -> None:
    public = {
        name
        for name, function in inspect.getmembers(eager, inspect.isfunction)
        if function.__module__ == eager.__name__
    }
    assert public - set(OPS) == {"vectorize"}


@pytest.mark.parametrize("name", NEW_IN_KERAS_3_16)
def test_op_of_keras_3_16_equals_that_of_numpy(name: str) -> None:
    op = getattr(symbolic, name)
    for one in NEW_IN_KERAS_3_16[name]:
        for dtypes in one.dtypes:
            arguments = with_dtypes(one.arguments, dtypes)
            found = traced(lambda *xs, run=one.run: run(op, xs), *arguments, unknown_batch=False)
            expected = one.run(getattr(np, name), arguments)
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)
        if one.smooth and one.dtypes[0] == "float32":
            gradient_of(lambda *xs, run=one.run: run(op, xs), *one.arguments, unknown_batch=False)


def test_bytes_read_as_another_dtype_are_those_of_numpy() -> None:
    with pytest.raises(NotImplementedError, match=r"view as floats of 16 bits: .* Received: dtype=float16"):
        traced(lambda x: ops.view(x, "float16"), X)
    with pytest.raises(ValueError, match=r"of uint8 and shape \(None, 3\) cannot be read as int32"):
        traced(lambda x: ops.view(x, "int32"), (X > 0).astype("uint8"))


def test_values_that_are_picked_where_others_are_not_zero_have_a_gradient() -> None:
    def picked(x: Any) -> Any:
        return ops.take(ops.reshape(x, (-1,)), ops.nonzero(ops.reshape(x, (-1,)) > 0)[0]) ** 2

    np.testing.assert_allclose(traced(picked, X), X[X > 0] ** 2, rtol=1e-6)
    gradient_of(picked, X)


VECTORIZED: list[tuple[Any, dict[str, Any], tuple[Any, ...]]] = [
    (lambda x, y: ops.where(x > y, x * y, y), {}, (X, Y)),
    (lambda x, y: (x + y, x), {}, (X, ROW)),
    (lambda x, y: x * y, {}, (numbers(4, 1, 3), numbers(5, 1, seed=1))),
    (
        lambda x, y: ops.dot(x, y),
        {"signature": "(n),(n)->()"},
        (X, numbers(5, 1, 3, seed=1)[:, :, : X.shape[1]]),
    ),
    (lambda x, n: x * n, {"excluded": {1}}, (X, 3)),
]


@pytest.mark.parametrize("number", range(len(VECTORIZED)))
def test_vectorized_function_equals_that_of_numpy(number: int) -> None:
    function, options, arguments = VECTORIZED[number]
    expected = flat(ops.vectorize(function, **options)(*arguments))
    vectorized = ops.vectorize(function, **options)
    found = flat(traced(vectorized, *arguments, unknown_batch=False))
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    gradient_of(vectorized, *arguments, unknown_batch=False)


def test_signature_with_another_number_of_arguments_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has 1 arguments\. Received: 2"):
        traced(ops.vectorize(lambda x, y: x, signature="(n)->()"), X, X)


def test_number_that_does_not_fit_the_dtype_is_compared_by_value() -> None:
    x = np.array([0, 255], "uint8")
    np.testing.assert_array_equal(traced(lambda x: ops.equal(x, -1), x), [False, False])
    np.testing.assert_array_equal(traced(lambda x: ops.less(x, 256), x), [True, True])


def test_variables_numbers_and_lists_can_be_combined_with_traced_tensors() -> None:
    variable = keras.Variable(X, dtype="float32")
    result = traced(lambda y: ops.add(variable, ops.multiply(y, [1, 2, 3])), Y)
    np.testing.assert_allclose(result, X + Y * np.array([1, 2, 3], "float32"), rtol=1e-6)
    assert result.dtype == "float32"
