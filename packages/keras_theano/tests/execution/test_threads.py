"""Matrix products run on one thread unless they are large, in the BLAS of NumPy and in that of SciPy."""

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import scipy.linalg  # noqa: F401  # loads SciPy's library
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.graph.traversal import io_toposort
from pytensor.tensor.math import Dot
from threadpoolctl import ThreadpoolController, threadpool_limits

from keras_theano.execution.products import multiplications
from keras_theano.execution.programs import Program
from keras_theano.execution.threads import one_thread
from keras_theano.src.ops import linalg, nn
from keras_theano.src.ops import numpy as ops
from keras_theano.tracing import trace
from keras_theano.tracing.tensor import Tensor, as_node
from oracles.tracing import INTERPRETED

LIBRARIES = ThreadpoolController().select(user_api="blas").lib_controllers
ALLOWED = [2] * len(LIBRARIES)
ALONE = [1] * len(LIBRARIES)


@pytest.fixture(autouse=True)
def two_threads_are_allowed() -> Iterator[None]:
    with threadpool_limits(2, user_api="blas"):
        assert counts() == ALLOWED
        yield
        assert counts() == ALLOWED, "the threads were not given back"


def counts() -> list[int]:
    return [library.get_num_threads() for library in LIBRARIES]


def ones(*shape: int) -> Any:
    return np.ones(shape, "float32")


class Counting(Op):
    """An op that returns its input and records how many threads are allowed."""

    __props__ = ()

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def make_node(self, x: Any) -> Any:
        return Apply(self, [x], [x.type()])

    def perform(self, node: Any, inputs: Any, outputs: Any) -> None:
        self.seen.append(counts())
        outputs[0][0] = inputs[0]


def test_both_libraries_are_found() -> None:
    """The wheels of NumPy and SciPy each contain a library."""
    folders = {library.filepath.rsplit("/", 2)[-2] for library in LIBRARIES}
    assert len(LIBRARIES) == len(folders) >= 1
    if "numpy.libs" in folders:
        assert "scipy.libs" in folders


# Recorded steps


def seen_by_a_program(*products: tuple[Any, Any]) -> list[list[int]]:
    """Return the thread counts during a program that multiplies these pairs of matrices."""
    probe = Counting()
    inputs = [pt.matrix(dtype="float32", shape=(None, array.shape[1])) for pair in products for array in pair]
    results = [probe(first) @ second for first, second in zip(inputs[::2], inputs[1::2], strict=True)]
    Program("products", inputs, results, [])([array for pair in products for array in pair])
    return probe.seen


SMALL, LARGE = (ones(128, 64), ones(64, 64)), (ones(32, 1024), ones(1024, 1024))


def test_small_product_of_a_step_runs_on_one_thread() -> None:
    assert seen_by_a_program(SMALL) == [ALONE]


def test_large_product_of_a_step_keeps_its_threads() -> None:
    assert seen_by_a_program(LARGE) == [ALLOWED]


def test_step_has_the_threads_of_its_largest_product() -> None:
    assert seen_by_a_program(SMALL, LARGE) == [ALLOWED, ALLOWED]


@pytest.mark.parametrize("tier", ["interpreter", "native"])
def test_every_tier_chooses_its_threads(tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_THEANO_MODE", tier)
    assert seen_by_a_program(SMALL) == [ALONE]
    assert seen_by_a_program(LARGE) == [ALLOWED]


def test_threads_depend_on_the_batch_and_not_only_on_the_program() -> None:
    probe = Counting()
    x, w = pt.matrix(dtype="float32", shape=(None, 1024)), pt.matrix(dtype="float32", shape=(1024, 1024))
    program = Program("products", [x, w], [probe(x) @ w], [])
    for rows in (1, 64, 1):
        program([ones(rows, 1024), ones(1024, 1024)])
    assert probe.seen == [ALONE, ALLOWED, ALONE]


def test_threads_are_restored_after_an_error() -> None:
    x = pt.matrix(dtype="float32", shape=(None, 3))
    program = Program("products", [x], [x[7] @ x.T], [])
    with pytest.raises(IndexError):
        program([ones(2, 3)])
    assert counts() == ALLOWED


def test_a_limit_of_one_thread_is_kept() -> None:
    with threadpool_limits(1, user_api="blas"):
        assert seen_by_a_program(LARGE) == [ALONE]
        assert counts() == ALONE


def test_steps_in_several_python_threads_restore_the_threads_at_the_end() -> None:
    inside, leave = threading.Barrier(2), threading.Event()

    def other() -> None:
        with one_thread:
            inside.wait()
            leave.wait()

    thread = threading.Thread(target=other)
    with one_thread:
        thread.start()
        inside.wait()
    assert counts() == ALONE  # the other thread is still in its step
    leave.set()
    thread.join()
    assert counts() == ALLOWED


# Eager ops


def seen_by_keras(op: Callable[..., Any], *args: Any, **named: Any) -> list[int]:
    """Return the thread counts at the start of Keras's own NumPy function."""
    seen: list[list[int]] = []

    def note(frame: Any, event: str, _: Any) -> None:
        if event == "call" and "/keras/src/backend/numpy/" in frame.f_code.co_filename and not seen:
            seen.append(counts())

    sys.setprofile(note)
    try:
        op(*args, **named)
    finally:
        sys.setprofile(None)
    return seen[0]


def test_small_eager_products_run_on_one_thread() -> None:
    a, cube, signal = ones(64, 64) + np.eye(64, dtype="float32"), ones(3, 8, 8), ones(50)
    heads = ones(2, 5, 4, 8)
    for op, *args in [
        (ops.matmul, a, a),
        (ops.matmul, ones(4000, 64, 64), a),
        (ops.dot, a, a),
        (ops.tensordot, cube, cube, [[0, 1], [0, 1]]),
        (ops.einsum, "bij,bjk->bik", cube, cube),
        *[(op, signal, signal) for op in (ops.inner, ops.vdot, ops.correlate)],
        (ops.corrcoef, a),
        (ops.slogdet, a),
        (linalg.solve, a, a),
        (linalg.solve_triangular, a, a),
        *[(op, a) for op in (linalg.inv, linalg.det, linalg.eigh, linalg.eig, linalg.qr, linalg.svd)],
        *[(op, a) for op in (linalg.cholesky, linalg.lu_factor, linalg.norm, linalg.pinv)],
        (linalg.lstsq, a, a[0]),
        (nn.dot_product_attention, heads, heads, heads),
    ]:
        assert seen_by_keras(op, *args) == ALONE, op


def test_large_eager_products_keep_their_threads() -> None:
    a = ones(1024, 1024)
    for op, *args in [(ops.matmul, a[:64], a), (ops.dot, a, a), (ops.einsum, "ij,jk->ik", a, a)]:
        assert seen_by_keras(op, *args) == ALLOWED, op
    assert seen_by_keras(linalg.inv, a + np.eye(1024)) == ALLOWED


def test_other_eager_ops_do_not_change_the_threads() -> None:
    assert seen_by_keras(ops.add, ones(2), ones(2)) == ALLOWED


# The size of the largest product is found without computing it


class Recurrent(keras.layers.Layer):
    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], shape[-1]))

    def call(self, x: Any) -> Any:
        def step(carry: Any, element: Any) -> Any:
            carry = keras.ops.tanh(keras.ops.matmul(carry, self.kernel) + element)
            return carry, None

        return keras.ops.scan(step, x[:, 0], keras.ops.moveaxis(x, 1, 0))[0]


class Attention(keras.layers.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.attention = keras.layers.MultiHeadAttention(3, 5)

    def build(self, shape: Any) -> None:
        self.attention.build(shape, shape)

    def call(self, x: Any) -> Any:
        return self.attention(x, x[:, ::2])


layers = keras.layers
MODELS: dict[str, tuple[tuple[int, ...], list[Any]]] = {
    "dense": ((20,), [layers.Dense(64, "relu"), layers.Dropout(0.5), layers.Dense(70), layers.Dense(1)]),
    "dense on a sequence": ((7, 12), [layers.Dense(9), layers.LayerNormalization(), layers.Flatten()]),
    "convolution": ((9, 8, 2), [layers.Conv2D(6, 3), layers.Conv2D(5, 2, padding="same", strides=2)]),
    "groups": ((9, 8, 4), [layers.Conv2D(6, 3, groups=2), layers.Flatten(), layers.Dense(3)]),
    "attention": ((10, 8), [Attention()]),
    "embedding": ((6,), [layers.Embedding(11, 4), layers.Dense(8), layers.Flatten(), layers.Dense(9)]),
    "reshape": ((12,), [layers.Reshape((3, 4)), layers.Dense(20), layers.Permute((2, 1)), layers.Dense(3)]),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("training", [True, False])
def test_size_equals_that_of_the_computed_products(name: str, training: bool) -> None:
    shape, parts = MODELS[name]
    model = keras.Sequential([keras.Input(shape), *parts])
    x = pt.tensor(dtype="float32", shape=(None, *shape))
    with trace.opened(trace.Trace()):
        loss = keras.ops.mean(model(Tensor(x), training=training) ** 2)
    weights = [weight.shared for weight in model.trainable_weights] if training else []
    outputs = [as_node(loss), *pytensor.grad(as_node(loss), weights)]
    operands = [node.inputs for node in io_toposort([x], outputs) if is_dot(node.op)]
    run = pytensor.function([x], [part for pair in operands for part in pair], mode=INTERPRETED)
    for rows in (13, 2):
        arrays = run(ones(rows, *shape))
        right = max(
            int(np.prod(a.shape[-2:])) * b.shape[-1] for a, b in zip(arrays[::2], arrays[1::2], strict=True)
        )
        assert multiplications([x], outputs, [(rows, *shape)]) == right


def is_dot(op: Any) -> bool:
    return isinstance(getattr(op, "core_op", op), Dot)


def test_products_in_a_loop_count() -> None:
    layer = Recurrent()
    layer.build((None, 5, 600))
    x = pt.tensor(dtype="float32", shape=(None, 5, 600))
    with trace.opened(trace.Trace()):
        node = layer(Tensor(x)).node
    gradient = pytensor.grad(node.sum(), layer.kernel.shared)
    for rows in (2, 60):
        assert multiplications([x], [node], [(rows, 5, 600)]) == rows * 600 * 600
        assert multiplications([x], [node, gradient], [(rows, 5, 600)]) == rows * 600 * 600


def test_decompositions_count() -> None:
    x = pt.tensor(dtype="float32", shape=(None, 300, 300))
    assert multiplications([x], [pt.linalg.inv(x)], [(5, 300, 300)]) == 300**3
    assert multiplications([x], [pt.linalg.svd(x[:, :20], compute_uv=False)], [(5, 300, 300)]) == 300 * 20**2
