"""Arguments with NaN, infinities, zeros and numbers that overflow, for the ops of the traced namespaces.

Most functions of one or two numbers have a table in the module that tests them. Every other op is listed
here, either in CASES or in EXCEPTIONS, which gives the reason why it has no such arguments.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_theano.src.ops import core, image, linalg, math, nn
from keras_theano.src.ops import numpy as ops

# A function and the arrays to call it with.
Case = tuple[Callable[..., Any], tuple[Any, ...]]


def floats(*numbers: Any) -> Any:
    return np.array(numbers, "float32")


def whole(*numbers: Any) -> Any:
    return np.array(numbers, "int32")


NAN, INF = np.nan, np.inf
EDGES = floats(NAN, INF, -INF, 0, -0.0, 1.5, -2.5, 1e38, -1e38, 0, 0, 2, NAN, INF, -INF, INF)
OTHERS = floats(1, NAN, 2, 0, 0, -0.0, 0, 1e38, 3, 2, -0.0, -1, NAN, INF, 0, -INF)
# Each row has other special values, because a reduction over all of them together would always be NaN.
ROWS = floats(
    [1, NAN, 2, -INF],
    [INF, 1, -3, 2],
    [INF, 1, -INF, 2],
    [-INF, -1, 0, -0.0],
    [NAN, NAN, NAN, NAN],
    [-INF, -INF, -INF, -INF],
    [INF, INF, 2, INF],
    [3e38, 3e38, 1, 2],
    [0, 0, 0, 0],
    [3, 1, 2, 2],
)
# No 0 is on the diagonal, where it would stand for a missing divisor, and no row consists of NaN.
SQUARE = floats([1, NAN, 2], [0, 3, -INF], [INF, 1, 1e38])
FINITE = floats([2, 0, 1], [0, 3, 1], [1, 0, 4])
STEPS = whole(0, 1, 2, 3, 0, 1, 2, 3, 0, 1)
BITS = whole(0, 1, -1, 2**31 - 1, -(2**31), 5, -7)
OTHER_BITS = whole(0, -1, 1, 3, 31, 40, -3)
PROBABILITIES = floats([0, 1, 0], [0.5, NAN, 0.5], [1, INF, 0], [0, 0, 0], [-1, 2, 0])
ONE_OF_3 = floats([0, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0])
LABELS = whole(-1, 1, 1, 2, 2)
IMAGE = np.resize(EDGES, (1, 4, 4, 2)).astype("float32")
# Colors are near 1. Six times 1e38 would overflow in NumPy, but not where a compiler divides first.
COLORS = np.resize(EDGES[abs(EDGES) != np.float32(1e38)], (1, 4, 4, 3)).astype("float32")
TURNED = floats([0.8, 0.6, 0.3, -0.6, 0.8, 1.7, 0, 0])
PLACES = floats([0.5, NAN, INF, 2.5, 9], [1.5, 0, 1, -INF, 1e30])
CORNERS = floats([[0, 0], [3, 0], [0, 3], [3, 3]])
PIXELS = np.resize(floats(1, 2, INF, 3, -1, 0, NAN, 4), (2, 4, 4, 2)).astype("float32")
WINDOW = np.resize(floats(1, -1, 0.5), (2, 2, 2, 3)).astype("float32")
HEADS = np.resize(ROWS, (1, 10, 2, 2)).astype("float32")


def _named(module: Any, arrays: tuple[Any, ...], names: str, **named: Any) -> dict[str, Case]:
    def call(name: str) -> Callable[..., Any]:
        return lambda *xs: getattr(module, name)(*xs, **named)

    return {name: (call(name), arrays) for name in names.split()}


def _halves(x: Any) -> list[Any]:
    return [x[:5], x[5:]]


CASES: dict[Any, dict[str, Case]] = {
    ops: {
        **_named(
            ops,
            (EDGES,),
            "absolute angle array conj conjugate copy diag diagflat fabs flip flipud imag isneginf "
            "isposinf isreal ones_like rad2deg ravel real signbit squeeze transpose vander zeros_like",
        ),
        **_named(
            ops,
            (ROWS,),
            "all any argmax argmin average count_nonzero cumprod cumsum diff max mean median min "
            "nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanprod nanstd nansum "
            "nanvar prod ptp sort std sum trapezoid var",
            axis=1,
        ),
        **_named(ops, (ROWS,), "corrcoef diagonal fliplr rot90 trace tril triu"),
        **_named(
            ops,
            (EDGES, OTHERS),
            "allclose append dot inner isin kron logaddexp2 outer true_divide vdot",
        ),
        **_named(
            ops,
            (BITS, OTHER_BITS),
            "bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor gcd lcm left_shift "
            "right_shift",
        ),
        **_named(ops, (BITS,), "bitwise_invert bitwise_not"),
        "arange": (lambda x: ops.arange(x, 3.0, 0.5), (np.float32(-0.0),)),
        "argpartition": (lambda x: ops.take_along_axis(x, ops.argpartition(x, 2, axis=1), 1), (ROWS,)),
        "argsort": (lambda x: ops.take_along_axis(x, ops.argsort(x, axis=1), 1), (ROWS,)),
        "array_split": (lambda x: ops.array_split(x, 3, axis=1), (ROWS,)),
        "bincount": (lambda i, x: ops.bincount(i, weights=x), (STEPS[:5], floats(NAN, 1, INF, 2, 3))),
        "broadcast_to": (lambda x: ops.broadcast_to(x, (2, 10, 4)), (ROWS,)),
        "clip": (lambda x: [ops.clip(x, -2.0, 2.0), ops.clip(x, -INF, NAN)], (EDGES,)),
        "concatenate": (lambda x, y: ops.concatenate([x, y]), (EDGES, OTHERS)),
        "correlate": (ops.correlate, (floats(1, INF, 2, NAN, 0, 3), floats(1, 2))),
        "cross": (ops.cross, (ROWS[:, :3], ROWS[::-1, 1:].copy())),
        "digitize": (lambda x: ops.digitize(x, floats(-INF, -1, 0, 2, INF)), (EDGES,)),
        "dsplit": (lambda x: ops.dsplit(ops.reshape(x, (5, 2, 4)), 2), (ROWS,)),
        "dstack": (lambda x, y: ops.dstack([x, y]), (EDGES, OTHERS)),
        "einsum": (lambda x, y: ops.einsum("ij,kj->ik", x, y), (ROWS, ROWS[::-1].copy())),
        "expand_dims": (lambda x: ops.expand_dims(x, 1), (EDGES,)),
        "full": (lambda x: ops.full((2, 3), x), (np.float32(NAN),)),
        "full_like": (lambda x: ops.full_like(x, INF), (EDGES,)),
        "geomspace": (lambda x: ops.geomspace(x, 8.0, 4), (floats(1, INF, NAN),)),
        "histogram": (lambda x: ops.histogram(x, 4, (-3.0, 3.0)), (floats(-3, 3, 0, 1.5, 7, -INF, INF, 2),)),
        "hsplit": (lambda x: ops.hsplit(x, 2), (ROWS,)),
        "hstack": (lambda x, y: ops.hstack([x, y]), (ROWS, ROWS)),
        "ldexp": (ops.ldexp, (EDGES[:7], whole(1, 1, -1, 200, -200, -3, 100))),
        "linspace": (lambda x: ops.linspace(x, 8.0, 4), (floats(1, INF, NAN, -INF, 1e38),)),
        "logspace": (lambda x: ops.logspace(x, 2.0, 4), (floats(1, INF, NAN, -INF, 50),)),
        "matmul": (lambda x, y: ops.matmul(x, ops.transpose(y)), (ROWS, ROWS[::-1].copy())),
        "meshgrid": (lambda x, y: ops.meshgrid(x, y), (EDGES, OTHERS)),
        "nextafter": (ops.nextafter, (EDGES, OTHERS)),
        "nonzero": (ops.nonzero, (ROWS,)),
        "moveaxis": (lambda x: ops.moveaxis(x, 0, 1), (ROWS,)),
        "nanpercentile": (lambda x: ops.nanpercentile(x, 30.0, axis=1), (ROWS,)),
        "nanquantile": (lambda x: ops.nanquantile(x, 0.3, axis=1), (ROWS,)),
        "pad": (lambda x: [ops.pad(x, 1, constant_values=NAN), ops.pad(x, 2, "reflect")], (ROWS,)),
        "percentile": (lambda x: ops.percentile(x, 30.0, axis=1), (ROWS,)),
        "quantile": (lambda x: ops.quantile(x, 0.3, axis=1), (ROWS,)),
        "repeat": (lambda x: ops.repeat(x, 2, axis=1), (ROWS,)),
        "reshape": (lambda x: ops.reshape(x, (-1, 2)), (ROWS,)),
        "roll": (lambda x: ops.roll(x, 1, axis=1), (ROWS,)),
        "searchsorted": (lambda x: ops.searchsorted(floats(-INF, -1, 0, 2, INF, NAN), x), (EDGES,)),
        "select": (lambda x: ops.select([x > 1, ops.isnan(x)], [x, ops.zeros_like(x)], 7.0), (EDGES,)),
        "split": (lambda x: ops.split(x, 2, axis=1), (ROWS,)),
        "stack": (lambda x, y: ops.stack([x, y]), (EDGES, OTHERS)),
        "swapaxes": (lambda x: ops.swapaxes(x, 0, 1), (ROWS,)),
        "take": (lambda x, i: ops.take(x, i, axis=1), (ROWS, whole(3, -4))),
        "take_along_axis": (lambda x, i: ops.take_along_axis(x, i[:, None], axis=1), (ROWS, STEPS)),
        "tensordot": (lambda x, y: ops.tensordot(x, y, [[1], [1]]), (ROWS, ROWS[::-1].copy())),
        "tile": (lambda x: ops.tile(x, (2, 1)), (ROWS,)),
        "unique": (lambda x: ops.unique(x, return_index=True, return_counts=True, size=20), (EDGES,)),
        "view": (lambda x: ops.view(x, "int32"), (EDGES,)),
        "vsplit": (lambda x: ops.vsplit(x[:4], [2]), (ROWS,)),
        "vstack": (lambda x, y: ops.vstack([x, y]), (EDGES, OTHERS)),
        "where": (lambda x, y: ops.where(x, x, y), (EDGES, OTHERS)),
        **{
            f"{name} of {count}": (lambda n, name=name: getattr(ops, name)(n), (np.int32(count),))
            for name in ("bartlett", "blackman", "hamming", "hanning")
            for count in (0, 1, 5)
        },
        "kaiser": (lambda n, x: [ops.kaiser(n, x), ops.kaiser(1, x)], (np.int32(5), np.float32(0))),
        "unravel_index": (lambda i: ops.unravel_index(i, (2, 2)), (STEPS,)),
        "slogdet": (ops.slogdet, (FINITE,)),
    },
    nn: {
        **_named(
            nn,
            (EDGES,),
            "glu sparse_plus sparse_sigmoid squareplus tanh",
        ),
        **_named(nn, (ROWS,), "log_softmax softmax"),
        "sparsemax": (nn.sparsemax, (ROWS,)),
        "threshold": (lambda x: nn.threshold(x, 1.0, NAN), (EDGES,)),
        "moments": (lambda x: nn.moments(x, 1), (ROWS,)),
        "batch_normalization": (
            lambda x, mean, variance: nn.batch_normalization(x, mean, variance, 1, mean, variance),
            (ROWS, floats(0, INF, NAN, 1), floats(0, INF, 1, -1)),
        ),
        "binary_crossentropy": (
            lambda t, x, y: [nn.binary_crossentropy(t, x), nn.binary_crossentropy(t, y, from_logits=True)],
            (
                ONE_OF_3,
                PROBABILITIES,
                floats([0, 1, 0], [NAN, 0.5, -0.0], [5, -4, 3], [3, 4, -5], [NAN, 2, 0]),
            ),
        ),
        "categorical_crossentropy": (
            lambda t, x: [nn.categorical_crossentropy(t, x, from_logits=logits) for logits in (False, True)],
            (ONE_OF_3, PROBABILITIES),
        ),
        "sparse_categorical_crossentropy": (
            lambda t, x: [
                nn.sparse_categorical_crossentropy(t, x, from_logits=logits) for logits in (False, True)
            ],
            (LABELS, PROBABILITIES),
        ),
        "conv": (lambda x: nn.conv(x, WINDOW), (PIXELS,)),
        "conv_transpose": (lambda x: nn.conv_transpose(x, WINDOW.swapaxes(2, 3), 2), (PIXELS,)),
        "depthwise_conv": (lambda x: nn.depthwise_conv(x, WINDOW), (PIXELS,)),
        "separable_conv": (
            lambda x: nn.separable_conv(x, WINDOW[..., :1], WINDOW[:1, :1, :, :2]),
            (PIXELS,),
        ),
        **{
            name: (
                lambda x, name=name: [
                    getattr(nn, name)(x, (3, 2), 2, "same"),
                    getattr(nn, name)(x, 2, 1),
                    getattr(nn, name)(x, 2, None, "same", "channels_first"),
                ],
                (PIXELS,),
            )
            for name in ("average_pool", "max_pool")
        },
        **_named(nn, (PIXELS,), "adaptive_average_pool adaptive_max_pool", output_size=(3, 2)),
        "ctc_decode": (lambda x: nn.ctc_decode(x, whole(10)), (ROWS[None],)),
        "fold": (lambda x: nn.fold(ops.reshape(x, (2, 4, 8)), (3, 5), 2), (PIXELS,)),
        "unfold": (lambda x: nn.unfold(x, 2, padding=1, stride=2), (PIXELS,)),
        "depth_to_space": (lambda x: nn.depth_to_space(ops.reshape(x, (-1, 2, 2, 8)), 2), (PIXELS,)),
        "space_to_depth": (lambda x: nn.space_to_depth(x, 2), (PIXELS,)),
        "dot_product_attention": (nn.dot_product_attention, (HEADS, HEADS, HEADS)),
        "multi_hot": (lambda i: nn.multi_hot(i, 3), (LABELS,)),
        "one_hot": (lambda x: nn.one_hot(x, 3), (LABELS,)),
        "psnr": (
            lambda x, y: [nn.psnr(x, y, 1.0), nn.psnr(x, x, 1.0), nn.psnr(y[:2], y[:2], INF)],
            (floats(1, INF, 2), floats(1, 2, 3)),
        ),
    },
    math: {
        **_named(math, (EDGES,), "erfc erfinv"),
        "logsumexp": (lambda x: math.logsumexp(x, axis=1), (ROWS,)),
        "cdist": (math.cdist, (ROWS, ROWS[::-1].copy())),
        "extract_sequences": (lambda x: math.extract_sequences(x, 2, 1), (ROWS,)),
        "fft": (lambda x: math.fft((x, x)), (ROWS,)),
        "fft2": (lambda x: math.fft2((x, 2 * x)), (FINITE,)),
        "ifft2": (lambda x: math.ifft2((x, 2 * x)), (FINITE,)),
        "rfft": (lambda x: math.rfft(x, 3), (ROWS,)),
        "irfft": (lambda x: math.irfft((x, x), 5), (ROWS,)),
        "istft": (lambda x: math.istft((x[:, :3], x[:, :3]), 4, 2, 4), (ROWS,)),
        "in_top_k": (lambda x, i: math.in_top_k(i, x, 2), (ROWS, STEPS)),
        "top_k": (lambda x: math.top_k(x, 2)[0], (ROWS,)),
        "logdet": (math.logdet, (FINITE,)),
        **{
            f"segment_{kind}": (
                lambda x, i, kind=kind: getattr(math, f"segment_{kind}")(x, i, 5),
                (ROWS, whole(0, 0, 1, 1, 2, 2, -1, 3, 3, 0)),
            )
            for kind in ("max", "min", "prod", "sum")
        },
    },
    core: {
        "associative_scan": (lambda x: core.associative_scan(ops.add, x, axis=1), (ROWS,)),
        "cond": (lambda x: core.cond(x[3] > 0, lambda: x, lambda: x / x), (EDGES,)),
        "fori_loop": (lambda x: core.fori_loop(0, 3, lambda n, y: y * x - n, x), (EDGES,)),
        "map": (lambda x: core.map(lambda row: row / ops.sum(row), x), (ROWS,)),
        "scan": (lambda x: core.scan(lambda c, row: (c + row, c * row), x[0], x), (ROWS,)),
        "scatter": (lambda i, x: core.scatter(i[:, None], x, (5,)), (STEPS, EDGES[:10])),
        "slice": (lambda x: core.slice(x, (1, 2), (3, 2)), (ROWS,)),
        "slice_update": (lambda x, y: core.slice_update(x, (1, 2), y), (ROWS, SQUARE[:2, :2].copy())),
        "stop_gradient": (core.stop_gradient, (EDGES,)),
        "switch": (lambda n, x: core.switch(n, [lambda y: y, lambda y: y / y], x), (np.int32(1), EDGES)),
        "unstack": (lambda x: core.unstack(x, axis=1), (ROWS,)),
        "vectorized_map": (lambda x: core.vectorized_map(lambda row: row / ops.sum(row), x), (ROWS,)),
        "while_loop": (
            lambda x: core.while_loop(lambda y: ops.sum(y) < 9, lambda y: y + y, x, maximum_iterations=6),
            (floats(NAN, 1),),
        ),
        **{
            f"scatter_update {kind}": (
                lambda x, i, y, kind=kind: core.scatter_update(x, i[:, None], y, kind),
                (EDGES, STEPS, OTHERS[:10][::-1].copy()),
            )
            for kind in (None, "add", "max", "min", "mul")
        },
    },
    image: {
        **{
            f"resize {way}": (lambda x, way=way: image.resize(x, (3, 6), way), (IMAGE,))
            for way in ("nearest", "bilinear", "bicubic")
        },
        **{
            f"affine_transform {way}": (
                lambda x, t, way=way: image.affine_transform(x, t, way, "reflect"),
                (IMAGE, TURNED),
            )
            for way in ("nearest", "bilinear")
        },
        "map_coordinates": (lambda x, at: image.map_coordinates(x[0, :, :, 0], at, 1), (IMAGE, PLACES)),
        "perspective_transform": (
            lambda x, a, b: image.perspective_transform(x, a, b),
            (IMAGE, CORNERS, CORNERS * floats(0.9)),
        ),
        "compute_homography_matrix": (image.compute_homography_matrix, (CORNERS, CORNERS * floats(0.9))),
        "gaussian_blur": (image.gaussian_blur, (IMAGE,)),
        "sobel_edges": (image.sobel_edges, (IMAGE,)),
        "scale_and_translate": (
            lambda x, s: image.scale_and_translate(x, (1, 3, 4, 2), s, [0.2], (1,), "cubic"),
            (IMAGE, floats(0.7)),
        ),
        **_named(image, (COLORS,), "hsv_to_rgb rgb_to_grayscale rgb_to_hsv"),
    },
    linalg: {
        **{
            f"norm {ord}": (lambda x, ord=ord: linalg.norm(x, ord, axis=1), (ROWS,))
            for ord in (None, 0, 1, 2, 3, -1, INF, -INF)
        },
        **{
            f"norm of a matrix, {ord}": (lambda x, ord=ord: linalg.norm(x, ord), (SQUARE,))
            for ord in ("fro", 1, -1, INF, -INF)
        },
    },
}

# Since Keras 3.16, keras.ops.amax and amin are other names of max and min, which the backend does not see.
if hasattr(ops, "amax"):
    CASES[ops] |= _named(ops, (ROWS,), "amax amin", axis=1)

# Ops that Keras has since 3.16.
if hasattr(ops, "copysign"):
    CASES[ops] |= {
        **_named(ops, (EDGES, OTHERS), "copysign float_power"),
        "cov": (ops.cov, (ROWS,)),
        "column_stack": (lambda x, y: ops.column_stack([x, y]), (EDGES, OTHERS)),
    }
    CASES[math] |= {
        "lgamma": (math.lgamma, (EDGES,)),
        "gammainc": (math.gammainc, (floats(1, 2, 0, INF, NAN, 2), floats(0, INF, 1, 1, 1, NAN))),
    }
    CASES[linalg] |= {"matrix_power": (lambda x: linalg.matrix_power(x, 3), (FINITE,))}

# Of matrices that have no inverse or no factors, each op says so in its own way: with NaN or with an error.
MATRICES = {
    "singular": floats([1, 2], [2, 4]),
    "zero": floats([0, 0], [0, 0]),
    "nan": floats([1, NAN], [NAN, 2]),
    "infinite": floats([INF, 1], [1, 2]),
    "indefinite": floats([1, 3], [3, 1]),
}
_RIGHT = floats([1, 2], [3, 4])
OF_MATRICES: dict[str, Callable[..., Any]] = {
    **{
        name: lambda x, name=name: getattr(linalg, name)(x)
        for name in (
            "cholesky",
            "cholesky_inverse",
            "det",
            "eigh",
            "inv",
            "lu_factor",
            "matrix_rank",
            "pinv",
            "qr",
        )
    },
    "lstsq": lambda x: linalg.lstsq(x, _RIGHT),
    "norm, 2": lambda x: linalg.norm(x, 2),
    "norm, -2": lambda x: linalg.norm(x, -2),
    "norm, nuc": lambda x: linalg.norm(x, "nuc"),
    "slogdet": ops.slogdet,
    "solve": lambda x: linalg.solve(x, _RIGHT),
    "solve for a vector": lambda x: linalg.solve(x, _RIGHT[0]),
    "solve_triangular": lambda x: linalg.solve_triangular(x, _RIGHT),
    "solve_triangular, lower": lambda x: linalg.solve_triangular(x, _RIGHT, lower=True),
    "svd": lambda x: linalg.svd(x, full_matrices=False),
    "svd, values": lambda x: linalg.svd(x, compute_uv=False),
}

# The ops without a case, by namespace and reason.
EXCEPTIONS: dict[Any, dict[str, str]] = {
    ops: {
        "takes sizes, and no numbers": "eye identity ones tri zeros",
        "its numbers are not defined": "empty empty_like",
        "returns what is known of the shape": "ndim size",
    },
    core: {"raises in a trace, which has no numbers yet": "convert_to_numpy"},
    image: {},
    linalg: {
        "always complex in a trace": "eig",
        "takes a function": "jvp",
    },
    math: {"its twin in SciPy spreads NaN between the two parts of a number": "stft"},
    nn: {"sums up logarithms, where the twin in NumPy multiplies infinite ones by 0": "ctc_loss"},
}
