"""Traced control flow, scatter and slices agree with their eager twins, and so do their gradients."""

import keras
import numpy as np
import pytensor
import pytest
from keras import ops
from pytensor.graph.traversal import io_toposort

import keras_theano.symbolic.core as under_test
from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.ops import core
from keras_theano.tracing import trace
from keras_theano.tracing.tensor import Tensor
from oracles.cases import agrees, gradients, in_64_bits, ops_of
from oracles.tracing import INTERPRETED, gradient_of, traced

eager = numpy_ops("core")

RNG = np.random.default_rng(0)


def floats(*shape):
    return RNG.uniform(-2.0, 2.0, shape).astype("float32")


X = floats(3, 4)
ROWS = np.array([[0], [2], [0]])
CELLS = np.array([[0, 1], [2, 3], [0, 1], [1, -1]])
WHOLE = np.arange(12).reshape(3, 4)
YES, NO = np.array(True), np.array(False)


def running(carry, x):
    return carry * 0.5 + x, carry - x


def pairs(carry, x):
    total, count = carry
    return (total + x["a"] * x["b"], count + 1), {"total": total, "count": count}


# Calls of each function, as the positional arguments and the named ones.
CASES = {
    "cond": [
        ((NO, lambda: {"a": X, "b": None}, lambda: {"a": 2 * X, "b": None}), {}),
        (
            (
                np.array(0.0, "float32"),
                lambda: (X, WHOLE.astype("int32")),
                lambda: (X + 1, -WHOLE.astype("int32")),
            ),
            {},
        ),
    ],
    "switch": [
        ((np.array(n), [lambda x: x + 1, lambda x: x * 2, lambda x: -x], X), {}) for n in (-3, 0, 1, 2, 5)
    ],
    "scan": [
        ((running, floats(4), X), {}),
        ((running, floats(4), X), {"reverse": True}),
        ((running, floats(4), floats(1, 4)), {}),
        ((lambda c, _: (c * 2, c), floats(4)), {"length": 5}),
        ((pairs, (np.zeros(4, "float32"), np.array(0)), {"a": X, "b": floats(3, 4)}), {}),
    ],
    "map": [
        ((lambda x: x * 2 + 1, X), {}),
        ((lambda x: {"a": x[0] @ x[1], "b": x[0] + 1}, (X, floats(3, 4))), {}),
    ],
    "vectorized_map": [
        ((lambda x: ops.sum(ops.softmax(x) * x), X), {}),
        ((lambda x: ops.matmul(x[0], x[1]), [floats(3, 2, 4), floats(3, 4, 2)]), {}),
    ],
    "associative_scan": [
        ((lambda a, b: a + b, floats(7, 2)), {"axis": 1}),
        ((lambda a, b: a * b, floats(2, 7)), {"axis": -1}),
        ((lambda a, b: a * b, floats(2, 8)), {"axis": 1, "reverse": True}),
        ((lambda a, b: (a[0] * b[0], a[1] * b[0] + b[1]), (floats(2, 5), floats(2, 5))), {"axis": 1}),
    ],
    "while_loop": [
        ((lambda x, n: n < 4, lambda x, n: (x * 2, n + 1), (X, np.array(1))), {"maximum_iterations": limit})
        for limit in (0, 2, 3, 9)
    ]
    + [((lambda x: ops.sum(x) < 10, lambda x: x + 1, X), {"maximum_iterations": 20})]
    + [((lambda x: ops.sum(x) < -99, lambda x: x + 1, X), {"maximum_iterations": 20})],
    "fori_loop": [
        ((0, 3, lambda n, x: x * 2 + n, X), {}),
        ((np.array(1), np.array(4), lambda n, x: x * 2 + ops.cast(n, "float32"), X), {}),
        ((np.array(4), np.array(2), lambda n, x: x * 2, X), {}),
        ((0, 0, lambda n, x: x * 2, X), {}),
    ],
    "scatter": [
        ((ROWS, X, (5, 4)), {}),
        ((CELLS[:3], X[0, :3], (3, 4)), {}),
        ((CELLS[:, None], floats(4, 1, 2), (3, 4, 2)), {}),
    ],
    "scatter_update": [
        *[((X, CELLS, floats(4), kind), {}) for kind in (None, "add", "max", "min", "mul")],
        *[((X, ROWS, floats(3, 4), kind), {}) for kind in (None, "add", "max", "min", "mul")],
        *[((WHOLE, CELLS, np.array([5, -7, 3, 2])), {"reduction": kind}) for kind in ("max", "min", "mul")],
    ],
    "slice": [
        ((X, (1, 2), (2, 1)), {}),
        ((X, np.array([1, 0]), (2, 3)), {}),
        ((X, (-2, -3), (2, 2)), {}),
        ((floats(3, 4, 2), (np.array(1), 2, 0), (1, 2, 2)), {}),
    ],
    "slice_update": [
        ((X, (1, 2), floats(2, 1)), {}),
        ((X, np.array([1, 0]), floats(2, 3)), {}),
        ((X, (-2, -3), floats(2, 2)), {}),
    ],
    "stop_gradient": [((X,), {})],
    "unstack": [((X,), {"num": 3}), ((X,), {"axis": 1}), ((X, 4, -1), {})],
}

# These functions are tested below.
OTHERWISE = {"convert_to_numpy"}


@pytest.mark.parametrize("name", [name for name in ops_of(under_test, eager) if name not in OTHERWISE])
def test_traced_function_equals_eager_function(name):
    for args, named in CASES[name]:
        agrees(getattr(core, name), args, named)
    if name not in ("switch", "fori_loop"):  # the interpreter uses NumPy's arithmetic
        agrees(getattr(core, name), in_64_bits(CASES[name][0][0]), CASES[name][0][1], batches=(True,))


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("cond", "stop_gradient")])
def test_gradient_equals_central_differences(name):
    for args, named in CASES[name]:
        if any(isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in keras.tree.flatten(args)):
            gradient_of(lambda *xs, n=named: keras.tree.flatten(getattr(core, name)(*xs, **n)), *args)


# cond


def test_cond_needs_no_python_bool():
    def wrong(x):
        return x if ops.sum(x) > 0 else -x

    with pytest.raises(TypeError, match=r"Use keras\.ops\.cond"):
        traced(wrong, X)


def test_cond_reads_closures_and_chooses_their_gradient():
    def chosen(x, y):
        return ops.cond(ops.sum(x) > 0, lambda: x * y, lambda: x - y)

    for sign in (1, -1):
        agrees(chosen, (sign * np.abs(X), floats(3, 4)), {})
        gradient_of(chosen, sign * np.abs(X), floats(3, 4))


@pytest.mark.parametrize(
    ("risky", "x"),
    [(ops.log, 0.0), (ops.sqrt, -1.0), (lambda x: 1 / x, 0.0), (lambda x: ops.exp(x) ** 3, 500.0)],
)
def test_the_branch_not_taken_puts_no_nan_into_the_gradient(risky, x):
    def safe(x):
        return ops.cond(ops.sum(x) > 1e9, lambda: risky(x), lambda: 3 * x)

    def other_way(x):
        return ops.cond(ops.sum(x) <= 1e9, lambda: 3 * x, lambda: risky(2 * x))

    for function in (safe, other_way):
        (found,) = gradients(lambda x, f=function: f(2 * x), np.array([x]))
        np.testing.assert_array_equal(found, [6.0])


def test_cond_in_cond_keeps_nan_out_too():
    def nested(x):
        return ops.cond(
            ops.sum(x) > 0,
            lambda: ops.cond(ops.sum(x) > 5, lambda: ops.log(x - 1), lambda: x * 2),
            lambda: ops.sqrt(x - 1),
        )

    np.testing.assert_array_equal(gradients(nested, np.array([1.0])), [[2.0]])


def test_cond_does_not_repeat_computations_outside_it():
    def after_a_product(x, w):
        hidden = x @ w
        return ops.cond(ops.sum(hidden) > 0, lambda: (hidden + 1, hidden * 2), lambda: (hidden - 1, hidden))

    with trace.opened(trace.Trace()):
        x, w = Tensor(pytensor.tensor.matrix()), Tensor(pytensor.tensor.matrix())
        outputs = [tensor.node for tensor in after_a_product(x, w)]
    gradient = pytensor.grad(sum(output.sum() for output in outputs), w.node)
    products = [node for node in io_toposort([], [*outputs, gradient]) if "dot" in str(node.op).lower()]
    assert len(products) == 2, products


def test_cond_brings_both_branches_to_one_dtype_and_may_differ_in_length():
    found = traced(lambda p, x: ops.cond(p, lambda: 1, lambda: x), YES, np.array(2.5, "float32"))
    assert found == np.float32(1)
    assert found.dtype == "float32"
    for pred, length in ((YES, 2), (NO, 3)):
        found = traced(lambda p, x: ops.cond(p, lambda: x[:2], lambda: x[:3]), pred, X, unknown_batch=False)
        assert found.shape == (length, 4)


def test_cond_refuses_branches_of_different_structure():
    with pytest.raises(ValueError, match="different structures"):
        traced(lambda p, x: core.cond(p, lambda: (x, x), lambda: x), YES, X)
    with pytest.raises(ValueError, match=r"returns None"):
        traced(lambda p, x: core.cond(p, lambda: None, lambda: x), YES, X)
    with pytest.raises(ValueError, match="different shapes"):
        traced(lambda p, x: core.cond(p, lambda: x[0], lambda: x), YES, X)
    with pytest.raises(ValueError, match="scalar predicate"):
        traced(lambda p, x: core.cond(p > 0, lambda: x, lambda: x), X, X)


@pytest.mark.parametrize("pred", [True, False])
def test_cond_merges_the_assignments_of_its_branches(pred):
    first, second, third = (keras.Variable(np.float32(n)) for n in (1, 2, 3))

    def true_branch():
        first.assign(first + 10)
        second.assign(first * 2)
        third.assign(99.0)

    def false_branch():
        first.assign_add(100)

    def step(pred):
        third.assign(4.0)
        assert ops.cond(pred, true_branch, false_branch) is None
        return first.value, second.value, third.value

    recorded = trace.Trace()
    with trace.opened(recorded):
        symbol = Tensor(pytensor.tensor.scalar(dtype="bool"))
        step(symbol)
    assert {variable.path for variable, _ in recorded.updates} == {v.path for v in (first, second, third)}
    run = pytensor.function(
        [symbol.node], [], updates=[(v.shared, t.node) for v, t in recorded.updates], mode=INTERPRETED
    )
    run(pred)
    expected = (11, 22, 99) if pred else (101, 2, 4)
    assert tuple(float(v.numpy()) for v in (first, second, third)) == expected


def test_gradient_reaches_variables_through_cond():
    weight = keras.Variable(np.float32(3))
    with trace.opened(trace.Trace()):
        symbol = Tensor(pytensor.tensor.scalar(dtype="float32"))
        loss = ops.cond(symbol > 0, lambda: weight * symbol, lambda: ops.sqrt(weight - 3))
        gradient = pytensor.grad(loss.node, weight.shared)
    run = pytensor.function([symbol.node], gradient, mode=INTERPRETED)
    assert run(5) == 5
    with np.errstate(all="ignore"):
        assert run(-5) == np.inf


# Loops


def test_loops_read_closures_and_give_them_gradients():
    def with_weight(x, w):
        hidden = ops.tanh(x @ w)
        carry, outputs = ops.scan(lambda c, row: (ops.tanh(c @ w + row), c), hidden[0] * 0, hidden)
        return carry, outputs, ops.map(lambda row: row @ w, x)

    agrees(with_weight, (X, floats(4, 4)), {})
    gradient_of(with_weight, X, floats(4, 4))


def test_scan_without_output_stacks_zeros():
    agrees(core.scan, (lambda c, x: (c + x, None), floats(4), X), {})


def test_map_repeats_what_does_not_depend_on_the_element():
    agrees(core.map, (lambda x: ops.ones((2,)), X), {})


def test_loops_carry_what_they_assign_to_variables():
    total = keras.Variable(np.float32(1))

    def step(carry, x):
        total.assign_add(ops.sum(x))
        return carry + total, total * 2

    def run(x):
        total.assign(1.0)
        return core.scan(step, np.float32(0), x), total.value + 0

    expected = run(X)
    for ours, theirs in zip(keras.tree.flatten(traced(run, X)), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_map_refuses_assignments():
    variable = keras.Variable(0.0, name="total")

    def function(x):
        variable.assign_add(ops.sum(x))
        return x

    with pytest.raises(NotImplementedError, match=r"assigns to variables: .* Received: total"):
        traced(lambda x: core.map(function, x), X)


def test_map_over_a_loop_takes_one_element_at_a_time():
    def cumulated(row):
        return ops.scan(lambda c, x: (c * 0.5 + x, c * x), row[0], row)

    agrees(core.map, (cumulated, X), {})
    gradient_of(lambda x: keras.tree.flatten(core.map(cumulated, x)), X)
    logits = floats(3, 1, 6, 4)
    agrees(lambda x: core.map(lambda part: ops.ctc_loss([[1, 2]], part, [2], [6]), x), (logits,), {})
    gradient_of(lambda x: core.map(lambda part: ops.ctc_loss([[1, 2]], part, [2], [6]), x), logits)


@pytest.mark.parametrize("start", [0.5, 3.0, 200.0])
def test_while_loop_without_a_limit_has_a_gradient(start):
    def doubled(x, w):
        return core.while_loop(lambda x, n: ops.sum(x) < 100.0, lambda x, n: (x * w * 2, n + 1), (x, 0))

    args = np.array([start, 1.0], "float32"), np.array([1.5, 1.25], "float32")
    agrees(doubled, args, {})
    gradient_of(doubled, *args)


def test_body_of_a_while_loop_does_not_run_once_the_condition_fails():
    x = np.array([5, 7, 9], "int32")
    found = traced(
        lambda x: core.while_loop(
            lambda n, t: n < 3, lambda n, t: (n + 1, t + x[n]), (np.array(0), np.array(0))
        ),
        x,
        unknown_batch=False,
    )
    assert [int(part) for part in found] == [3, 21]


def test_loops_without_steps_return_their_start_and_have_a_gradient():
    def none(x, w):
        carry, outputs = core.scan(lambda c, row: (c @ w + row, c @ w), x[0], x[3:])
        return carry, outputs, core.fori_loop(ops.size(x) // 100, 0, lambda n, c: c @ w, x)

    args = X, floats(4, 4)
    carry, outputs, value = traced(none, *args, unknown_batch=False)
    np.testing.assert_array_equal(carry, X[0])
    np.testing.assert_array_equal(value, X)
    assert outputs.shape == (0, 4)
    of_x, of_w = gradient_of(none, *args, unknown_batch=False)
    assert np.count_nonzero(of_x) > 0
    np.testing.assert_array_equal(of_w, np.zeros((4, 4)))


def test_scan_takes_only_as_many_elements_as_it_has_steps():
    agrees(core.scan, (running, floats(4), X), {"length": 2})
    with pytest.raises(IndexError, match="has fewer elements than the scan has steps"):
        traced(lambda x: core.scan(running, np.zeros(4, "float32"), x, length=5), X)


def test_long_loop_is_one_node_and_keeps_the_dtype_of_its_first_step():
    def halved(x):
        return core.fori_loop(0, 1000, lambda n, c: c * 0.5 + x * ops.cast(n, "float32"), 0)

    agrees(halved, (X,), {})
    gradient_of(halved, X)
    with trace.opened(trace.Trace()):
        found = halved(Tensor(pytensor.tensor.matrix(dtype="float32")))
    assert found.dtype == "float32"
    assert len(list(io_toposort([], [found.node]))) < 50


def test_loops_explain_what_they_need():
    with pytest.raises(NotImplementedError, match=r"over an axis of unknown size: .* Received: axis=0"):
        traced(lambda x: core.associative_scan(lambda a, b: a + b, x), X)
    with pytest.raises(ValueError, match="takes 1 values and returns 2"):
        traced(lambda x: core.scan(lambda c, x: ((c, c), x), np.float32(0), x), X)
    with pytest.raises(ValueError, match="Got no `xs`"):
        traced(lambda x: core.scan(lambda c, x: (c, x), x), X)
    for function in (core.scan, core.associative_scan):
        with pytest.raises(TypeError, match="should be a callable"):
            traced(lambda x, f=function: f(None, x), X)


# The rest


def test_stop_gradient_has_no_gradient_and_raises_no_error():
    (found,) = gradients(lambda x: x * ops.stop_gradient(x), np.array([3.0]))
    np.testing.assert_array_equal(found, [3.0])
    (found,) = gradients(core.stop_gradient, np.array([3.0]))
    np.testing.assert_array_equal(found, [0.0])


def test_traced_tensor_has_no_value_to_convert_to_numpy():
    with pytest.raises(TypeError, match="has no value yet"):
        traced(core.convert_to_numpy, X)


def test_unknown_sizes_are_refused():
    with pytest.raises(ValueError, match="unstack needs `num`"):
        traced(core.unstack, X)
    with pytest.raises(ValueError, match="Length of `start_indices`"):
        traced(lambda x: core.slice(x, (0,), (1, 1)), X)
    with pytest.raises(ValueError, match="Unsupported reduction: mean"):
        traced(lambda x: core.scatter_update(x, ROWS, X, "mean"), X)


def test_updates_take_the_dtype_of_what_they_update():
    agrees(core.slice_update, (np.zeros((3, 4), "int32"), (0, 1), floats(2, 2)), {})
    agrees(core.scatter_update, (np.zeros((3, 4), "int32"), CELLS, floats(4)), {})


def test_slices_keep_the_given_sizes():
    with trace.opened(trace.Trace()):
        x, start = Tensor(pytensor.tensor.matrix()), Tensor(pytensor.tensor.lvector())
        assert core.slice(x, (start[0], 0), (2, 3)).shape == (2, 3)
        assert core.unstack(x, 2)[0].shape == (None,)
