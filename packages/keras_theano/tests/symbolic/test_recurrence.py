"""Recurrence against its eager twin, JAX's scan and differences."""

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from keras import layers, ops

import keras_theano
from keras_theano.execution.interpreter import INTERPRETED
from keras_theano.src.rnn import gru, lstm, rnn  # type: ignore[attr-defined]
from keras_theano.tracing import trace
from keras_theano.tracing.tensor import Tensor, as_node
from oracles.cases import agrees, in_64_bits
from oracles.tracing import gradient_of, traced

RNG = np.random.default_rng(0)
Array = np.ndarray[Any, Any]


def floats(*shape: int) -> Array:
    return RNG.uniform(-1, 1, shape).astype("float32")


X, H, W, U, B = floats(2, 5, 3), floats(2, 4), floats(3, 4), floats(4, 4), floats(4)
MASK = np.array([[True, False, True, True, False], [False, True, True, False, False]])


def simple(w: Any, u: Any, b: Any) -> Any:
    def step(x: Any, states: Any) -> Any:
        h = ops.tanh(ops.matmul(x, w) + ops.matmul(states[0], u) + b)
        return h, [h]

    return step


def gated(w: Any, u: Any, b: Any) -> Any:
    """A cell with two states, of which only one is the output."""

    def step(x: Any, states: Any) -> Any:
        h, c = states
        z = ops.matmul(x, w) + ops.matmul(h, u) + b
        c = ops.sigmoid(z) * c + ops.tanh(z)
        h = ops.sigmoid(h) * ops.tanh(c)
        return h, [h, c]

    return step


OPTIONS: list[dict[str, Any]] = [
    {},
    {"go_backwards": True},
    {"unroll": True},
    {"unroll": True, "go_backwards": True, "return_all_outputs": False},
    {"mask": MASK},
    {"mask": MASK, "go_backwards": True, "zero_output_for_mask": True},
    {"mask": MASK, "unroll": True},
    {"mask": MASK[..., None] & np.array([True, False]), "zero_output_for_mask": True},
]


@pytest.mark.parametrize("named", OPTIONS)
@pytest.mark.parametrize("cell", [simple, gated])
def test_traced_as_eager(cell: Any, named: dict[str, Any]) -> None:
    def run(x: Any, h: Any, w: Any, u: Any, b: Any) -> Any:
        return rnn(cell(w, u, b), x, [h] if cell is simple else [h, h + 1], **named)

    agrees(run, (X, H, W, U, B), {}, batches=(False,))
    agrees(lambda x, h: run(x, h, W, U, B), (X, H), {}, batches=(True,))
    gradient_of(run, X, H, W, U, B, unknown_batch=False)


def test_values_and_gradients_are_those_of_a_scan_in_jax() -> None:
    def total(x: Any, h: Any, w: Any, u: Any, b: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            h, c = carry
            z = x @ w + h @ u + b
            c = jax.nn.sigmoid(z) * c + jnp.tanh(z)
            h = jax.nn.sigmoid(h) * jnp.tanh(c)
            return (h, c), h

        _, outputs = jax.lax.scan(step, (h, h + 1), jnp.swapaxes(x, 0, 1))
        return jnp.sum(jnp.swapaxes(outputs, 0, 1) * jnp.cos(jnp.arange(40).reshape(2, 5, 4)))

    inputs = [pt.tensor(dtype="float32", shape=(None, *part.shape[1:])) for part in (X, H)]
    inputs += [pt.tensor(dtype="float32", shape=part.shape) for part in (W, U, B)]
    with trace.opened(trace.Trace()):
        x, h, w, u, b = map(Tensor, inputs)
        outputs = rnn(gated(w, u, b), x, [h, h + 1])[1]
        loss = pt.sum(as_node(outputs) * pt.cos(pt.arange(40, dtype="float32").reshape((2, 5, 4))))
    function = pytensor.function(inputs, [loss, *pytensor.grad(loss, inputs)], mode=INTERPRETED)
    found = function(X, H, W, U, B)
    expected = total(X, H, W, U, B), *jax.grad(total, argnums=range(5))(X, H, W, U, B)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-6)


def test_nested_inputs_constants_and_time_first() -> None:
    def step(x: Any, states: Any) -> Any:
        (h,), (scale,) = states[:1], states[1:]
        h = ops.tanh(h + x["a"] * scale - ops.sum(x["b"], axis=-1))
        return h, [h]

    def run(a: Any, b: Any, h: Any, scale: Any) -> Any:
        return rnn(step, {"a": a, "b": b}, [h], constants=[scale], time_major=True)

    args = floats(5, 2, 4), floats(5, 2, 4, 3), floats(2, 4), floats(4)
    agrees(run, args, {}, batches=(False,))
    gradient_of(run, *args, unknown_batch=False)


def test_gradient_of_a_gradient() -> None:
    def slope(x: Any, h: Any) -> Any:
        outputs = rnn(gated(*in_64_bits([W, U, B])), x, [h, h])[1]
        return Tensor(pytensor.grad(pt.sum(outputs.node**2), h.node))

    gradient_of(slope, X, H, unknown_batch=False)


def test_mask_over_images() -> None:
    def step(x: Any, states: Any) -> Any:
        h = ops.tanh(x + states[0])
        return h, [h]

    agrees(lambda x, h: rnn(step, x, [h], mask=MASK), (floats(2, 5, 4, 3, 2), floats(2, 4, 3, 2)), {})


def test_dropout_in_a_user_s_cell_differs_from_step_to_step() -> None:
    class Cell(keras.layers.Layer):  # type: ignore[misc]
        state_size = 200
        drop = layers.Dropout(0.5, seed=1)

        def call(self, x: Any, states: Any, training: bool = False) -> Any:
            return self.drop(x, training=training), states

    layer = layers.RNN(Cell(), return_sequences=True)
    before = Cell.drop.seed_generator.state.numpy().tolist()
    with trace.opened(trace.Trace()) as _:
        recorded = trace.current()
        assert recorded is not None
        outputs = as_node(layer(Tensor(pt.ones((1, 3, 200), dtype="float32")), training=True))
        (update,) = recorded.updates
    dropped, seed = pytensor.function([], [outputs, as_node(update[1])], mode=INTERPRETED)()
    assert len({tuple(row) for row in dropped[0]}) == 3
    assert seed.tolist() == [before[0], before[1] + 3]


def test_stateful_layer_goes_on_where_it_stopped() -> None:
    layer = layers.LSTM(3, stateful=True, return_sequences=True)
    model = keras.Sequential([keras.Input(batch_shape=(2, 5, 3)), layer])
    whole = model.predict(X, verbose=0)
    assert not np.allclose(model.predict(X, verbose=0), whole)
    layer.reset_states()
    np.testing.assert_allclose(model.predict(X, verbose=0), whole)


def test_states_are_returned() -> None:
    inputs = keras.Input((5, 3))
    model = keras.Model(inputs, layers.LSTM(4, return_state=True)(inputs))
    for ours, eager in zip(model.predict(X, verbose=0), model(X), strict=True):
        np.testing.assert_allclose(ours, eager, rtol=1e-5, atol=1e-6)


def test_lstm_and_gru_leave_their_layers_to_rnn() -> None:
    for function in (lstm, gru):
        with pytest.raises(NotImplementedError):
            traced(lambda x, function=function: function(x, x, None), X)


def test_sequences_without_elements_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one time step"):
        traced(lambda x: rnn(simple(W, U, B), x, [H])[1], X[:, :0])
    with pytest.raises(ValueError, match="at least one time step"):
        rnn(simple(W, U, B), X[:, :0], [H])


def test_cell_that_returns_other_states_is_refused() -> None:
    with pytest.raises(ValueError, match="takes 1 states and returns 2"):
        traced(lambda x: rnn(lambda x, states: (x, [x, x]), x, [H])[1], X)


def test_long_sequences_are_recorded_once_and_compiled() -> None:
    model = keras.Sequential([keras.Input((2048, 2)), layers.LSTM(4), layers.Dense(1)])
    model.compile("sgd", "mse")
    for _ in range(3):
        model.train_on_batch(np.ones((2, 2048, 2), "float32"), np.ones((2, 1), "float32"))
    (ran,) = [ran for ran in keras_theano.report() if ran.name == f"train {model.name}"]
    assert ran.calls == {"native": 3}
    assert ran.outside == {}


def test_shapes_of_long_sequences_are_found_with_one_step() -> None:
    steps: list[Any] = []

    def step(x: Any, states: Any) -> Any:
        steps.append(x)
        h = ops.concatenate([x, states[0]], axis=-1)
        return h, [h[:, :4]]

    def run(x: Any, h: Any) -> Any:
        return rnn(step, x, [h], mask=np.ones((2, 5), "bool"), zero_output_for_mask=True)

    last, outputs, states = keras.src.backend.compute_output_spec(
        run, keras.KerasTensor((2, 5, 3)), keras.KerasTensor((2, 4))
    )
    assert len(steps) == 1
    assert (last.shape, outputs.shape, states[0].shape) == ((2, 7), (2, 5, 7), (2, 4))


def test_step_checks_the_shapes_of_its_arrays_once() -> None:
    def step(x: Any, states: Any) -> Any:
        h = ops.tanh(x + states[0])
        return h, [h]

    x, h = pt.tensor3(dtype="float32"), pt.matrix(dtype="float32")
    with trace.opened(trace.Trace()):
        outputs = as_node(rnn(step, Tensor(x), [Tensor(h)])[1])
    run = pytensor.function([x, h], outputs, mode=INTERPRETED)
    np.testing.assert_allclose(run(X, H[:, :3])[:, 0], np.tanh(X[:, 0] + H[:, :3]), rtol=1e-6)
    for wrong in (H[:1, :3], H[:, :1], H):
        with pytest.raises(ValueError, match="do not fit each other"):
            run(X, wrong)
