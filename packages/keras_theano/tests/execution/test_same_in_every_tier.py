"""A recorded step gives NumPy's result or an error in every tier, even with unusual numbers and indices."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import keras
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from keras import tree

from keras_theano.execution.programs import Program
from keras_theano.execution.steps import Step
from keras_theano.src.ops import core, linalg, math, nn
from keras_theano.src.ops import numpy as ops
from keras_theano.symbolic.linalg import matrix_power
from keras_theano.tracing import trace
from keras_theano.tracing.tensor import Tensor, as_node
from oracles import edges
from oracles.tracing import INTERPRETED

Function = Callable[..., Any]
TIERS = ["interpreter", "native"]


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("KERAS_THEANO_MODE", request.param)
    return str(request.param)


def floats(*numbers: float) -> Any:
    return np.array(numbers, "float32")


def whole(*numbers: Any) -> Any:
    return np.array(numbers, "int32")


X = np.arange(12, dtype="float32").reshape(3, 4)


def compiled(function: Function, *arrays: Any, gradient: bool = False) -> Callable[..., list[Any]]:
    """Compile `function` and, if asked, its gradients with respect to its float arguments."""
    inputs = [pt.tensor(dtype=str(a.dtype), shape=(None, *a.shape[1:]) if a.ndim else ()) for a in arrays]
    with trace.opened(trace.Trace()):
        outputs = [as_node(leaf) for leaf in tree.flatten(function(*map(Tensor, inputs)))]
    if gradient:
        total = sum(pt.sum(output**2) for output in outputs)
        of = [node for node in inputs if node.type.dtype == "float32"]
        outputs = [*outputs, *pytensor.grad(total, of, disconnected_inputs="ignore")]
    program = Program("test", inputs, outputs, [])
    return lambda *values: program([np.array(value) for value in values])


# Indices. Each function takes arrays of floats and, as its last argument, an array of indices. The last index
# is one into an axis of size 4.

Indexing = tuple[Function, tuple[Any, ...], Any]
ROWS = np.ones((2, 3), "float32")
PICKS: dict[str, Indexing] = {
    "take": (lambda x, i: ops.take(x, i, axis=1), (X,), whole(0, 3)),
    "take of a matrix of indices": (lambda x, i: ops.take(x, i, axis=1), (X,), whole([0, 1], [2, 3])),
    "take without an axis": (lambda x, i: ops.take(x, i), (floats(1, 2, 3, 4),), whole(0, 3)),
    "take_along_axis": (
        lambda x, i: ops.take_along_axis(x, i, axis=1),
        (X,),
        whole([0, 1], [1, 2], [0, 3]),
    ),
    "take_along_axis, flat": (lambda x, i: ops.take_along_axis(x, i), (floats(1, 2, 3, 4),), whole(1, 3)),
    "embedding": (lambda x, i: ops.take(x, i, axis=0), (X.T.copy(),), whole([0, 1, 2], [0, 0, 3])),
    "one element": (lambda x, i: x[i[0]], (X.T.copy(),), whole(3)),
    "elements": (lambda x, i: x[i], (X.T.copy(),), whole(1, 3)),
    "scatter": (lambda v, i: core.scatter(i, v, (4, 3)), (ROWS,), whole([0], [3])),
    **{
        f"scatter_update, {kind}": (
            lambda x, v, i, kind=kind: core.scatter_update(x, i, v, kind),
            (X.T.copy(), ROWS + 1),
            whole([0], [3]),
        )
        for kind in (None, "add", "max", "min", "mul")
    },
    "scatter_update of cells": (
        lambda x, v, i: core.scatter_update(x, i, v),
        (X, floats(5, 6)),
        whole([0, 1], [1, 3]),
    ),
    "slice": (lambda x, i: core.slice(x, i, (2, 1)), (X,), whole(0, 3)),
    "slice_update": (
        lambda x, v, i: core.slice_update(x, i, v),
        (X, np.ones((2, 1), "float32")),
        whole(0, 3),
    ),
}
# In these functions, a negative number has a special meaning or none.
COUNTS: dict[str, Indexing] = {
    **{
        f"segment_{kind}": (
            lambda x, i, kind=kind: getattr(math, f"segment_{kind}")(x, i, 4),
            (X,),
            whole(0, -1, 3),
        )
        for kind in ("sum", "max", "min", "prod")
    },
    "sparse_categorical_crossentropy": (
        lambda x, i: nn.sparse_categorical_crossentropy(i, x / 9, from_logits=True),
        (X,),
        whole(0, -1, 3),
    ),
    "unravel_index": (lambda i: ops.unravel_index(i, (2, 2)), (), whole(1, 3)),
    "in_top_k": (lambda x, i: math.in_top_k(i, x, 2), (X,), whole(0, 1, 3)),
}
TOO_GREAT, TOO_SMALL = (4, 7, 400, 1_000_000), (-5, -400, -1_000_000)
NO_GRADIENT = {"unravel_index", "in_top_k"}


@pytest.mark.parametrize("name", [*PICKS, *COUNTS])
def test_index_out_of_bounds_raises_and_changes_nothing(name: str, tier: str) -> None:
    function, arrays, inside = {**PICKS, **COUNTS}[name]
    program = compiled(function, *arrays, inside, gradient=name not in NO_GRADIENT)

    def is_right(indices: Any) -> None:
        expected = tree.flatten(function(*[array.copy() for array in arrays], indices))
        for ours, theirs in zip(program(*arrays, indices), expected, strict=False):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)

    is_right(inside)
    for outside in TOO_GREAT + (TOO_SMALL if name in PICKS or name in NO_GRADIENT else ()):
        wrong = inside.copy()
        wrong.ravel()[-1] = outside
        with pytest.raises((IndexError, ValueError)):
            program(*arrays, wrong)
    is_right(inside)
    if name in PICKS:
        first_of_all = inside.copy()
        first_of_all.ravel()[-1] = -4
        is_right(first_of_all)


def test_class_beyond_the_last_is_all_zeros_in_one_hot(tier: str) -> None:
    hot = compiled(lambda i: (nn.one_hot(i, 4), nn.multi_hot(i, 4)), whole(0))
    for outside in (*TOO_GREAT, *TOO_SMALL):
        one, many = hot(whole(1, outside))
        assert one.tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]
        assert many.tolist() == [0, 1, 0, 0]


def test_negative_number_is_not_counted(tier: str) -> None:
    count = compiled(ops.bincount, whole(0, 1))
    assert count(whole(1, 1, 3))[0].tolist() == [0, 2, 0, 1]
    for number in (-1, -400):
        with pytest.raises(ValueError, match="negative"):
            count(whole(0, 1, number))


@pytest.mark.parametrize("method", ["linear", "nearest"])
def test_quantile_is_between_0_and_1(method: str, tier: str) -> None:
    quantile = compiled(lambda x, q: ops.quantile(x, q, axis=1, method=method), X, np.float32(0))
    np.testing.assert_array_equal(quantile(X, np.float32(1))[0], [3, 7, 11])
    for share in (1.5, -0.5, 1e9, np.nan):
        with pytest.raises(ValueError, match=r"range \[0, 1\]"):
            quantile(X, np.float32(share))


def test_scan_has_an_element_for_each_step(tier: str) -> None:
    def total(x: Any, length: int) -> Any:
        return core.scan(lambda carry, e: (carry + e, carry), np.zeros(4, "float32"), x, length=length)[0]

    program = compiled(lambda x: total(x, 3), X)
    np.testing.assert_allclose(program(X)[0], X.sum(axis=0))
    with pytest.raises(IndexError, match="fewer elements"):
        program(X[:2])


def test_known_index_out_of_bounds_is_refused_when_it_is_recorded() -> None:
    with pytest.raises(IndexError):
        compiled(lambda x: core.slice(x, (0, 3), (2, 2)), X)
    with pytest.raises(IndexError):
        compiled(
            lambda x: core.scan(lambda c, e: (c, e), X[0], ops.take(x, whole(0, 1), axis=0), length=3), X
        )


def test_training_on_an_invalid_label_keeps_the_weights(tier: str) -> None:
    layer = keras.layers.Embedding(4, 3)
    model = keras.Sequential(
        [keras.Input((2,), dtype="int32"), layer, keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = whole([0, 1], [2, 3]), whole([0], [3])
    model.train_on_batch(x, y)
    before = model.get_weights()
    for wrong in ((x + 1, y), (x, y + 1), (x - 400, y)):
        with pytest.raises(IndexError):
            model.train_on_batch(*wrong)
    for ours, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, kept)


# Values

EDGES = floats(
    np.nan, np.inf, -np.inf, 0, -0.0, 1.5, -2.5, 1e38, -1e38, 0, 0, 2, np.nan, np.inf, -np.inf, np.inf
)
OTHERS = floats(1, np.nan, 2, 0, 0, -0.0, 0, 1e38, 3, 2, -0.0, -1, np.nan, np.inf, 0, -np.inf)
ONE, TWO = "one", "two"
OF_FLOATS: dict[tuple[Any, str], str] = {
    (
        ops,
        ONE,
    ): "abs negative sign square sqrt log log2 log10 log1p exp exp2 expm1 sin cos tan sinh cosh tanh arcsin "
    "arccos arctan arcsinh arccosh arctanh ceil floor trunc round cbrt sinc reciprocal isnan isinf isfinite "
    "nan_to_num deg2rad i0 max min argmax argmin sum prod mean std var any all cumsum sort median nanmax "
    "nanmin nansum nanmean nanargmax nanargmin nanmedian count_nonzero logical_not",
    (
        ops,
        TWO,
    ): "add subtract multiply divide floor_divide mod fmod maximum minimum fmax fmin power arctan2 logaddexp "
    "hypot heaviside isclose equal not_equal less less_equal greater greater_equal logical_and logical_or "
    "logical_xor divide_no_nan",
    (nn, ONE): "relu relu6 sigmoid softplus softsign silu gelu elu selu leaky_relu hard_sigmoid hard_silu "
    "log_sigmoid softmax log_softmax celu hard_tanh hard_shrink soft_shrink tanh_shrink",
    (math, ONE): "erf rsqrt logsumexp",
}


# They are tested in groups, because a compiler fuses all ops of a step and takes longer with each.
GROUPS = [
    pytest.param(module, arguments, group, id=" ".join(group))
    for (module, arguments), names in OF_FLOATS.items()
    for group in (names.split()[n : n + 7] for n in range(0, len(names.split()), 7))
]


@pytest.mark.parametrize(("module", "arguments", "names"), GROUPS)
def test_infinities_and_nan_give_numpy_s_results(
    module: Any, arguments: str, names: list[str], tier: str
) -> None:
    arrays = (EDGES, OTHERS) if arguments == TWO else (EDGES,)

    def each(*xs: Any) -> list[Any]:
        return [getattr(module, name)(*xs) for name in names]

    for name, ours, theirs in zip(names, compiled(each, *arrays)(*arrays), each(*arrays), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6, err_msg=name)


# They are tested in groups too. An id names the ops, such as "cumprod", or "norm 2" with an argument.
WIDE_GROUPS = [
    pytest.param(group, id=", ".join(name for name, _ in group))
    for cases in edges.CASES.values()
    for group in (list(cases.items())[n : n + 5] for n in range(0, len(cases), 5))
]


@pytest.mark.filterwarnings("ignore:(All-NaN|Degrees of freedom|Mean of empty):RuntimeWarning")  # NumPy's
@pytest.mark.parametrize("group", WIDE_GROUPS)
def test_every_op_gives_numpy_s_infinities_and_nan(group: list[tuple[str, edges.Case]], tier: str) -> None:
    arrays = [array for _, (_, taken) in group for array in taken]

    def each(*xs: Any) -> list[Any]:
        remaining = iter(xs)
        return [function(*[next(remaining) for _ in taken]) for _, (function, taken) in group]

    found = iter(compiled(each, *arrays)(*arrays))
    # Some of NumPy's functions change their arguments.
    for (name, _), results in zip(group, each(*[array.copy() for array in arrays]), strict=True):
        for theirs in tree.flatten(results):
            np.testing.assert_allclose(next(found), theirs, rtol=1e-5, atol=1e-6, err_msg=name)
    assert not list(found)


@pytest.mark.filterwarnings("ignore::scipy.linalg.LinAlgWarning")  # warnings of the eager twins
@pytest.mark.parametrize("name", edges.OF_MATRICES)
def test_matrix_without_a_result_gives_numpy_s_result_or_nan_or_an_error(name: str, tier: str) -> None:
    function = edges.OF_MATRICES[name]
    program = compiled(function, edges.MATRICES["nan"])
    for kind, matrix in edges.MATRICES.items():
        try:
            with np.errstate(all="ignore"):
                theirs = tree.flatten(function(matrix.copy()))
        except ValueError:  # LinAlgError is a ValueError
            theirs = None
        try:
            ours = program(matrix)
        except ValueError:
            continue
        if theirs is None:
            assert any(np.isnan(part).any() for part in ours) or name in GOES_ON, kind
            continue
        for one, other in zip(ours, theirs, strict=True):
            assert one.shape == np.shape(other), kind
        if not any(np.isnan(part).any() for part in ours):
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5, err_msg=kind)


# The twins in NumPy refuse every matrix with an infinity. A step computes with it, because 1 / inf is 0.
GOES_ON = {"cholesky_inverse", "lu_factor", "solve_triangular", "solve_triangular, lower"}


def test_every_op_has_a_case_or_a_reason() -> None:
    for module, cases in edges.CASES.items():
        name = module.__name__.rsplit(".", 1)[-1]
        symbolic = import_module(f"keras_theano.symbolic.{name}")
        elementwise = [names.split() for (of, _), names in OF_FLOATS.items() if of is module]
        tested = {
            *[op for names in elementwise for op in names],
            *[case.split()[0].rstrip(",") for case in cases],
        }
        if module in (edges.linalg, edges.ops):
            tested |= {case.split()[0].rstrip(",") for case in edges.OF_MATRICES}
        excepted = {op for names in edges.EXCEPTIONS[module].values() for op in names.split()}
        known = {op for op in vars(module.eager) if hasattr(getattr(module, op, None), "__wrapped__")}
        known = {op for op in known if callable(getattr(symbolic, op, None))}
        assert known - tested - excepted == set(), f"{name}: neither a case nor a reason"
        assert excepted <= known, f"{name}: an exception for what is no op"
        assert not excepted & tested, f"{name}: a case and an exception"
        assert {case.split()[0].rstrip(",") for case in cases} <= known, f"{name}: a case of no op"


def test_pseudoinverse_of_a_matrix_without_full_rank_ignores_rounding(tier: str) -> None:
    """A singular value that is nonzero only because of rounding must not be inverted to ten million."""
    x = np.outer([1, 2, 3, 4], [0.1, 0.7, 0.3]).astype("float32")
    right = floats(1, 2, 3, 4)
    expected = np.linalg.pinv(x.astype("float64"), rcond=1e-6)
    found = compiled(lambda x: (linalg.pinv(x), linalg.lstsq(x, right)), x)(x)
    for ours, theirs in zip(found, (expected, expected @ right), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_power_of_two_that_overflows_does_not_spoil_the_product(tier: str) -> None:
    x, by = floats(1e-30, 1e30, 0, 3, np.inf), whole(200, -200, 200, -300, -200)
    np.testing.assert_array_equal(compiled(ops.ldexp, x, by)(x, by)[0], np.ldexp(x, by))


def test_masked_logits_get_no_share_of_sparsemax(tier: str) -> None:
    x = floats([1, -np.inf, 0.5, -np.inf])
    function = compiled(lambda x: nn.sparsemax(x), x, gradient=True)
    found, gradient = function(x)
    np.testing.assert_allclose(found, nn.sparsemax(x), rtol=1e-6)
    assert np.isfinite(gradient).all()


def test_median_is_the_mean_of_the_two_middle_values(tier: str) -> None:
    x = floats([-np.inf, -np.inf, 1, -np.inf], [3e38, 3e38, 3e38, 1], [np.inf, -np.inf, np.inf, -np.inf])
    found = compiled(lambda x: ops.median(x, axis=1), x)(x)[0]
    np.testing.assert_array_equal(found, [-np.inf, np.inf, np.nan])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(found, np.median(x, axis=1))


def test_difference_and_quotient_of_equals_are_computed(tier: str) -> None:
    """PyTensor would replace them with 0, 1 and True, which would hide NaN from code that looks for it."""
    x, y = floats(np.nan, np.inf, 0, 2), floats(0, 3, 0, 4)

    def each(x: Any, y: Any) -> list[Any]:
        return [x - x, x / x, x * y / y, (x + y) - y, x * y / (x * 2), ops.abs(x) / x, x == x, x != x]

    with np.errstate(all="ignore"):
        expected = each(x, y)
    for n, (ours, theirs) in enumerate(zip(compiled(each, x, y)(x, y), expected, strict=True)):
        np.testing.assert_array_equal(ours, theirs, err_msg=str(n))


def test_sum_that_overflows_only_in_between_is_right(tier: str) -> None:
    """32-bit floats are summed in 64 bits."""
    x = floats([3e38, 3e38, -3e38, 1])
    total, mean = compiled(lambda x: (ops.sum(x, axis=1), ops.mean(x, axis=1)), x)(x)
    np.testing.assert_allclose(total, [3e38], rtol=1e-6)
    np.testing.assert_allclose(mean, [7.5e37], rtol=1e-6)


def test_loss_of_a_label_depends_only_on_its_own_probability(tier: str) -> None:
    """The others may be infinite or NaN, as masked ones are. The twin in NumPy multiplies them by 0."""
    labels, shares = whole(0, -1, 0), floats([1, np.inf, 0], [0, 0, 0], [1, 0, 0])
    logits = floats([0, -np.inf, 0], [np.nan, 0, 0], [5, 0, -np.inf])

    def each(i: Any, p: Any, x: Any) -> list[Any]:
        loss = nn.sparse_categorical_crossentropy
        return [loss(i, p), loss(i, x, from_logits=True)]

    of_shares, of_logits = compiled(each, labels, shares, logits)(labels, shares, logits)
    np.testing.assert_allclose(of_shares, [-np.log(1e-7), 0, 0], atol=1e-6)
    np.testing.assert_allclose(of_logits, [np.log(2), 0, np.log1p(np.exp(-5))], rtol=1e-5)


def test_binary_crossentropy_of_an_infinite_logit_is_undefined(tier: str) -> None:
    """The loss is infinity minus infinity or 0 times infinity, as on TensorFlow. Only one case is defined."""
    labels, logits = floats(0, 0, 1, 1), floats(np.inf, -np.inf, np.inf, -np.inf)
    loss = compiled(lambda t, x: nn.binary_crossentropy(t, x, from_logits=True), labels, logits)
    np.testing.assert_array_equal(loss(labels, logits)[0], [np.nan, np.nan, np.nan, np.inf])


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint32"])
def test_integer_arithmetic_equals_numpy_s(dtype: str, tier: str) -> None:
    """Division by 0 gives 0, and the least number divided by -1 gives the least number."""
    limits = np.iinfo(dtype)
    first = np.array([0, 1, 5, -7, -7, limits.min, limits.max, limits.min], "int64").astype(dtype)
    second = np.array([0, 0, 3, 0, 2, -1, -1, 0], "int64").astype(dtype)
    if dtype.startswith("uint"):
        assert limits.max in first
    names = ["floor_divide", "mod", "fmod", "add", "subtract", "multiply", "maximum", "minimum"]

    def each(a: Any, b: Any) -> list[Any]:
        return [*[getattr(ops, name)(a, b) for name in names], ops.sign(a), ops.abs(a), ops.negative(a)]

    ours = compiled(each, first, second)(first, second)
    for name, one, other in zip([*names, "sign", "abs", "negative"], ours, each(first, second), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)


def test_shifts_by_more_bits_than_a_number_has_equal_numpy_s(tier: str) -> None:
    x, by = whole(5, -5, 2**31 - 1, -(2**31), 7, -7), whole(1, 1, 31, 40, -1, -3)

    def each(a: Any, b: Any) -> list[Any]:
        return [ops.left_shift(a, b), ops.right_shift(a, b)]

    for ours, theirs in zip(compiled(each, x, by)(x, by), each(x, by), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_integers_have_no_negative_powers(tier: str) -> None:
    power = compiled(ops.power, whole(1), whole(1))
    assert power(whole(2, -3), whole(5, 0))[0].tolist() == [32, 1]
    with pytest.raises(ValueError, match="negative integer powers"):
        power(whole(2, 1), whole(1, -1))


def test_floats_that_do_not_fit_become_the_same_integers(tier: str) -> None:
    """tests/tracing/test_conversion.py says which."""
    x = floats(np.nan, np.inf, -np.inf, 0, -0.0, 1.5, -2.5, 3e9, -3e9, 1e20, -1e20, 300, -300)
    dtypes = ("int8", "uint8", "int16", "uint16", "int32", "int64", "uint32", "uint64", "bool")
    found = compiled(lambda x: [core.cast(x, dtype) for dtype in dtypes], x)(x)
    for dtype, ours in zip(dtypes, found, strict=True):
        np.testing.assert_array_equal(ours, core.cast(x, dtype), err_msg=dtype)


def test_integers_that_do_not_fit_wrap_around(tier: str) -> None:
    x = whole(300, -1, 70000)
    assert compiled(lambda x: core.cast(x, "uint8"), x)(x)[0].tolist() == [44, 255, 112]
    assert core.cast(core.convert_to_tensor(x), "uint8").tolist() == [44, 255, 112]


# Shapes that broadcast when a step runs


def both_rows(rows: int) -> tuple[list[Any], Any]:
    rng = np.random.default_rng(0)
    context, x = rng.random((1, 3), dtype="float32"), rng.random((rows, 3), dtype="float32")
    return [context, x], rng.random((rows, 2), dtype="float32")


def two_inputs() -> keras.Model:
    keras.utils.set_random_seed(0)
    context, x = keras.Input((3,)), keras.Input((3,))
    hidden = keras.layers.Dense(4, "tanh")(context) + keras.layers.Dense(4)(x)
    model = keras.Model([context, x], keras.layers.Dense(2)(hidden))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def test_one_row_of_context_trains_as_if_it_were_repeated(tier: str) -> None:
    inputs, y = both_rows(50)
    repeated = [np.repeat(inputs[0], 50, axis=0), inputs[1]]
    model, other = two_inputs(), two_inputs()
    for _ in range(3):
        loss = model.train_on_batch(inputs, y)
        np.testing.assert_allclose(loss, other.train_on_batch(repeated, y), rtol=1e-5)
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_batch_of_one_broadcasts_and_one_of_several_does_not(tier: str) -> None:
    """As in NumPy, eight numbers can be multiplied by one row or by eight rows."""
    column = np.arange(8, dtype="float32")[:, None]
    step = Step("times", lambda x: ops.multiply(x, column))
    for rows in (8, 1, 8):
        x = np.full((rows, 2), 3, "float32")
        np.testing.assert_array_equal(step(x), x * column)
    with pytest.raises(ValueError, match=r"(?i)shape|dimension|match"):
        step(np.ones((4, 2), "float32"))


def test_first_and_last_row_of_a_batch_broadcast(tier: str) -> None:
    step = Step("first", lambda x: (x[:1] + x, x[0:1, :2] * x[:, 1:3], x - x[-1:]))
    x = X + 1
    for ours, theirs in zip(step(x), (x[:1] + x, x[0:1, :2] * x[:, 1:3], x - x[-1:]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_unknown_size_that_is_one_when_the_step_runs_is_refused(tier: str) -> None:
    """Its gradient would not be summed over the axis, and the native tier relies on that sum."""
    step = Step("rows", lambda data: data[0][: data[1]] + data[0])
    np.testing.assert_array_equal(step((X, np.array(3))), 2 * X)
    with pytest.raises(ValueError, match=r"(?i)shape|dimension|match"):
        step((X, np.array(1)))


def _signal(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


# Ops whose gradients NumPy computes too, or that run in loops.
LEFT_TO_NUMPY: dict[str, tuple[Function, tuple[Any, ...]]] = {
    "ctc_loss": (
        lambda x: nn.ctc_loss(whole([1, 2], [3, 3]), x, whole(2, 2), whole(4, 6)),
        (_signal(2, 6, 4),),
    ),
    "fold": (lambda x: nn.fold(x, (4, 5), 2), (_signal(2, 8, 12),)),
    "unfold": (lambda x: nn.unfold(x, 2, padding=1, stride=2), (_signal(2, 2, 5, 4),)),
    "fft": (lambda x, y: math.fft((x, y)), (_signal(3, 5), _signal(3, 5) + 1)),
    "rfft": (lambda x: math.rfft(x, 6), (_signal(3, 7),)),
    "irfft": (lambda x, y: math.irfft((x, y), 7), (_signal(3, 5), _signal(3, 5) + 1)),
    "stft": (lambda x: math.stft(x, 6, 3, 8), (_signal(2, 20),)),
    "istft": (lambda x, y: math.istft((x, y), 6, 3, 8), (_signal(2, 4, 5), _signal(2, 4, 5) + 1)),
    "unique": (lambda x: ops.unique(x, axis=1, size=5), (_signal(3, 4),)),
    "nonzero": (lambda x: ops.take(x[0], ops.nonzero(x[0] > 0)[0]), (_signal(3, 4),)),
    "matrix_power": (lambda x: matrix_power(x, 3), (_signal(3, 3),)),
    "scan": (lambda x: core.scan(lambda c, row: (ops.tanh(c + row), c * row), x[0], x), (_signal(4, 3),)),
    "fori_loop": (lambda x: core.fori_loop(0, 20, lambda n, c: c * 0.5 + x, x), (_signal(3, 3),)),
    "while_loop": (
        lambda x: core.while_loop(lambda y: ops.sum(y**2) < 99, lambda y: y * 1.5, x),
        (_signal(3, 3),),
    ),
    "map": (
        lambda x: core.map(lambda row: core.scan(lambda c, a: (c * a, c), row[0], row), x),
        (_signal(3, 4),),
    ),
    "jvp": (lambda x: linalg.jvp(lambda y: ops.sin(y) * y, (x,), (x * 2,)), (_signal(3, 4),)),
}


@pytest.mark.parametrize("name", LEFT_TO_NUMPY)
def test_gradients_that_numpy_computes_are_those_of_python_mode(name: str, tier: str) -> None:
    function, arrays = LEFT_TO_NUMPY[name]
    program = compiled(function, *arrays, gradient=True)
    inputs = [pt.tensor(dtype="float32", shape=array.shape) for array in arrays]
    with trace.opened(trace.Trace()):
        outputs = [as_node(leaf) for leaf in tree.flatten(function(*map(Tensor, inputs)))]
    total = sum(pt.sum(output**2) for output in outputs)
    expected = pytensor.function(inputs, [*outputs, *pytensor.grad(total, inputs)], mode=INTERPRETED)(*arrays)
    found = program(*arrays)
    assert len(found) == len(expected)
    assert all(np.abs(part).max() > 0 for part in found)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5, err_msg=name)
