"""Training, evaluating or computing with None raises an error, as on the other backends."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_theano.execution.steps import Step

X = np.random.default_rng(2).random((12, 3), dtype="float32")
Y = X.sum(axis=1, keepdims=True)
REFUSED = "None is not a valid value"


def one(loss: Any = "mse", **options: Any) -> Any:
    model = keras.Sequential([layers.Input((3,)), layers.Dense(1)])
    model.compile("sgd", loss, **options)
    return model


def two(kind: type, loss: Any = "mse", **options: Any) -> Any:
    x = layers.Input((3,))
    outputs = {name: layers.Dense(1, name=name)(x) for name in ("a", "b")}
    model = keras.Model(x, outputs if kind is dict else list(outputs.values()))
    model.compile("sgd", loss, **options)
    return model


def without_labels() -> Iterator[Any]:
    for begin in range(0, 12, 4):
        yield (X[begin : begin + 4],)


class WithoutLabels(keras.utils.PyDataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return 3

    def __getitem__(self, n: int) -> Any:
        return X[4 * n : 4 * n + 4], None


def refused(model: Any, ask: Callable[[Any], Any], match: str = REFUSED) -> None:
    """Check that `ask` raises an error and leaves the weights unchanged."""
    before = model.get_weights()
    with pytest.raises((ValueError, KeyError), match=match):
        ask(model)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


LOSSES = ["mse", "mae", "huber", "poisson", "hinge", "log_cosh", "kl_divergence", "binary_crossentropy"]


@pytest.mark.parametrize("eagerly", [False, True], ids=["recorded", "eagerly"])
@pytest.mark.parametrize("loss", [*LOSSES, "cosine_similarity", "sparse_categorical_crossentropy"])
def test_fit_without_labels_is_refused(loss: str, eagerly: bool) -> None:
    refused(one(loss, run_eagerly=eagerly), lambda model: model.fit(X, verbose=0))


@pytest.mark.parametrize("trained", [False, True], ids=["new", "trained before"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda model: model.fit(without_labels(), shuffle=False, verbose=0),
        lambda model: model.fit(WithoutLabels(), verbose=0),
        lambda model: model.evaluate(X, verbose=0),
        lambda model: model.evaluate(without_labels(), verbose=0),
        lambda model: model.train_on_batch(X),
        lambda model: model.test_on_batch(X),
    ],
)
def test_batches_without_labels_are_refused(ask: Any, trained: bool) -> None:
    for eagerly in (False, True):
        model = one(metrics=["mae"], run_eagerly=eagerly)
        if trained:
            model.fit(X, Y, verbose=0)
        refused(model, ask)


@pytest.mark.parametrize("data", [lambda: (X, None), without_labels, WithoutLabels])
def test_validation_without_labels_is_refused_before_a_value_is_reported(data: Any) -> None:
    reported: list[Any] = []
    report = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: reported.append(logs))
    model = one()
    with pytest.raises(ValueError, match=REFUSED):
        model.fit(X, Y, validation_data=data(), callbacks=[report], verbose=0)
    assert not reported
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("kind", [dict, list])
def test_missing_labels_of_one_of_two_outputs_are_refused(kind: type) -> None:
    labels: Any = {"a": Y, "b": None} if kind is dict else [Y, None]
    refused(two(kind), lambda model: model.fit(X, labels, verbose=0))
    refused(two(kind), lambda model: model.fit(X, verbose=0), match="can't be found")
    # An output without a loss needs no labels.
    only: Any = {"a": "mse"} if kind is dict else ["mse", None]
    assert np.isfinite(two(kind, only).evaluate(X, labels, verbose=0))
    weights = two(kind).fit(
        X,
        {"a": Y, "b": Y} if kind is dict else [Y, Y],
        sample_weight={"a": Y[:, 0], "b": None} if kind is dict else [Y[:, 0], None],
        verbose=0,
    )
    assert np.isfinite(weights.history["loss"]).all()


def test_a_model_whose_loss_needs_no_labels_trains_without_labels() -> None:
    class Adds(layers.Layer):
        def call(self, x: Any) -> Any:
            self.add_loss(ops.mean(x**2))
            return x

    model = keras.Sequential([layers.Input((3,)), layers.Dense(1), Adds()])
    model.compile("sgd")
    losses = model.fit(X, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


# Each function computes with an array and None, or with None alone.
OPS: dict[str, Callable[..., Any]] = {
    "convert": lambda x, none: ops.convert_to_tensor(none, "float32"),
    "convert to bool": lambda x, none: ops.convert_to_tensor([True, none], "bool"),
    "convert a nest": lambda x, none: ops.convert_to_tensor([[1.0, 2.0], [none, 3.0]], "float32"),
    "convert a list with a tensor": lambda x, none: ops.convert_to_tensor([x[0, 0], none], "float32"),
    "cast": lambda x, none: ops.cast(none, "float32"),
    "add": ops.add,
    "equal": ops.equal,
    "equal, swapped": lambda x, none: ops.equal(none, x),
    "equal to a list": lambda x, none: ops.equal(x, [none, none, none]),
    "logical_and": ops.logical_and,
    "not_equal": ops.not_equal,
    "matmul": ops.matmul,
    "isclose": ops.isclose,
    "full_like": ops.full_like,
    "scatter_update": lambda x, none: ops.scatter_update(x, np.array([[0, 0]]), none),
    "slice_update": lambda x, none: ops.slice_update(x, [0, 0], none),
    "take": ops.take,
    "nan_to_num": ops.nan_to_num,
    "leaky_relu": ops.leaky_relu,
    "elu": ops.elu,
    "binary_crossentropy": lambda x, none: ops.binary_crossentropy(none, x),
    "stack": lambda x, none: ops.stack([x, none]),
    "concatenate": lambda x, none: ops.concatenate([x, none]),
    "einsum": lambda x, none: ops.einsum("ij,ij->i", x, none),
    "mean squared error": lambda x, none: keras.losses.mean_squared_error(none, x),
    "a loss": lambda x, none: keras.losses.MeanSquaredError()(none, x),
}


@pytest.mark.parametrize("name", OPS)
def test_an_op_refuses_none_eagerly_and_recorded(name: str) -> None:
    with pytest.raises((ValueError, TypeError), match=r"None|Invalid dtype"):
        OPS[name](X, None)
    with pytest.raises((ValueError, TypeError), match=r"None|Invalid dtype"):
        Step(name, lambda batch: OPS[name](batch, None))(X)


ALONE = ["abs", "any", "all", "exp", "isnan", "logical_not", "max", "mean", "ones_like", "sign", "zeros_like"]


@pytest.mark.parametrize("name", ALONE)
def test_an_op_whose_only_argument_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=REFUSED):
        getattr(ops, name)(None)


def test_full_of_none_and_a_branch_on_none_are_refused() -> None:
    with pytest.raises(ValueError, match=REFUSED):
        ops.full((2,), None)
    with pytest.raises(ValueError, match=REFUSED):
        ops.cond(None, lambda: 1.0, lambda: 2.0)


def test_variables_and_metrics_refuse_none() -> None:
    variable, mean = keras.Variable(1.0), keras.metrics.Mean()
    for change in (variable.assign, variable.assign_add, mean.update_state):
        with pytest.raises(ValueError, match=REFUSED):
            change(None)
    assert float(variable) == 1.0
    assert float(mean.result()) == 0.0


def test_arguments_that_may_be_none_are_accepted() -> None:
    np.testing.assert_array_equal(ops.clip(X, None, 0.5), np.minimum(X, 0.5))
    assert float(ops.sum(X, axis=None)) == pytest.approx(float(X.sum()), rel=1e-6)
    assert ops.moments(X, None)[0].shape == ()
    assert ops.where(X > 2, None, None)[0].shape == (0,)
    assert ops.fori_loop(0, 3, lambda n, carry: carry, None) is None
