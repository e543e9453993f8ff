"""Models train, in every way in which Keras can build them, feed them and monitor them."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_theano
from keras_theano.execution.graph import NATIVE

RNG = np.random.default_rng(7)
X = RNG.random((200, 6), dtype="float32")
Y = (X.sum(axis=1, keepdims=True) > 3).astype("float32")


def mlp(*, dropout: float = 0.0, norm: bool = False) -> keras.Sequential:
    keras.utils.set_random_seed(3)
    stack: list[Any] = [layers.Input((6,)), layers.Dense(16, "relu")]
    if norm:
        stack.append(layers.BatchNormalization())
    if dropout:
        stack.append(layers.Dropout(dropout))
    return keras.Sequential([*stack, layers.Dense(1, "sigmoid")])


def compiled(model: Any, **options: Any) -> Any:
    model.compile(**{"optimizer": "adam", "loss": "binary_crossentropy", "metrics": ["accuracy"], **options})
    return model


def fitted(model: Any, **options: Any) -> list[float]:
    settings = {"epochs": 3, "batch_size": 32, "verbose": 0, "shuffle": False, **options}
    return [float(loss) for loss in model.fit(X, Y, **settings).history["loss"]]


# -- models learn, and report correct numbers --------------------------------------------------------


def test_training_lowers_the_loss() -> None:
    losses = fitted(compiled(mlp(), optimizer=keras.optimizers.Adam(0.01)), epochs=40)
    assert losses[-1] < 0.5 * losses[0]


def test_evaluate_returns_what_eager_ops_compute() -> None:
    model = compiled(mlp(norm=True, dropout=0.4))
    fitted(model)
    loss, accuracy = model.evaluate(X, Y, verbose=0, batch_size=64)
    eager = model(X, training=False)
    assert isinstance(eager, np.ndarray)
    np.testing.assert_allclose(model.predict(X, verbose=0), eager, rtol=1e-5, atol=1e-6)
    expected = np.mean(keras.losses.binary_crossentropy(Y, eager))
    assert loss == pytest.approx(float(expected), rel=1e-5)
    assert accuracy == pytest.approx(float(np.mean((eager > 0.5) == (Y > 0.5))))


def test_smaller_last_batch_is_weighted_by_its_size() -> None:
    model = compiled(mlp(), optimizer=keras.optimizers.SGD(0.0))
    loss = model.train_on_batch(X, Y)[0]
    assert fitted(model, batch_size=64, epochs=1)[0] == pytest.approx(float(loss), rel=1e-5)


def test_losses_of_single_outputs_are_weighted_by_the_size_of_the_batch() -> None:
    x = keras.Input((6,))
    model = keras.Model(x, {"a": layers.Dense(1, name="a")(x), "b": layers.Dense(2, name="b")(x)})
    model.compile("sgd", {"a": "mse", "b": "mae"})
    y = {"a": np.arange(200.0)[:, None], "b": np.zeros((200, 2))}
    recorded = model.evaluate(X, y, batch_size=150, verbose=0, return_dict=True)
    predicted = model.predict(X, verbose=0)
    expected = {"a_loss": np.mean((y["a"] - predicted["a"]) ** 2), "b_loss": np.mean(np.abs(predicted["b"]))}
    for name, value in expected.items():
        assert recorded[name] == pytest.approx(float(value), rel=1e-5), name
    before = list(model.metrics)
    model.optimizer.learning_rate = 0.0
    history = model.fit(X, y, batch_size=150, verbose=0, shuffle=False).history
    assert history["a_loss"] == pytest.approx([float(expected["a_loss"])], rel=1e-5)
    assert model.metrics == before


def test_same_seed_gives_the_same_weights_and_another_seed_does_not() -> None:
    def weights(seed: int) -> np.ndarray[Any, Any]:
        keras.utils.set_random_seed(seed)
        model = compiled(
            keras.Sequential([layers.Dense(4), layers.Dropout(0.5), layers.Dense(1)]), loss="mse"
        )
        model.fit(X, Y, epochs=2, verbose=0)
        return np.concatenate([w.ravel() for w in model.get_weights()])

    np.testing.assert_array_equal(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))


def test_dropout_draws_new_numbers_in_every_step() -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([layers.Input((6,)), layers.Dropout(0.5)])
    seen = []

    class Seeing(keras.Model):
        def train_step(self, data: Any) -> dict[str, Any]:
            return {"mask": self.drop(ops.ones((4, 5)), training=True)}

    seeing = Seeing()
    seeing.drop = model.layers[0]
    seeing.compile()
    seeing.built = True
    for _ in range(2):
        seen.append(seeing.train_on_batch(X, return_dict=True)["mask"])
    assert set(np.unique(seen)) == {0.0, 2.0}
    assert not np.array_equal(seen[0], seen[1])


# -- optimizers, losses, metrics ---------------------------------------------------------------------

OPTIMIZERS = sorted(
    name
    for name, item in vars(keras.optimizers).items()
    if isinstance(item, type)
    and issubclass(item, keras.optimizers.Optimizer)
    and name not in ("Optimizer", "LossScaleOptimizer", "Muon", "MultiOptimizer")
)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_does_in_a_trace_what_it_does_eagerly(name: str) -> None:
    """Apply the gradients of a traced step op by op in NumPy, and expect the same weights."""
    options = {"clipnorm": 0.5} if name == "Adam" else {}
    start = mlp()
    traced = compiled(mlp(), optimizer=getattr(keras.optimizers, name)(**options))
    eager = getattr(keras.optimizers, name)(**options)
    eager_model = mlp()
    assert all(np.array_equal(a, b) for a, b in zip(traced.get_weights(), start.get_weights(), strict=True))
    for _ in range(3):
        gradients = gradients_of(eager_model)
        eager.apply([ops.convert_to_tensor(g) for g in gradients], eager_model.trainable_weights)
        traced.train_on_batch(X, Y)
    for ours, expected in zip(traced.get_weights(), eager_model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=2e-5, atol=2e-6)


def gradients_of(model: Any) -> list[np.ndarray[Any, Any]]:
    """Return the gradients, using a train step that assigns nothing."""

    class Showing(keras.Model):
        def call(self, x: Any) -> Any:
            return model(x)

        def train_step(self, data: Any) -> dict[str, Any]:
            x, y = data[:2]
            loss = ops.mean(keras.losses.binary_crossentropy(y, model(x, training=True)))
            found = keras_theano.gradients(loss, model.trainable_weights)
            return {str(n): gradient for n, gradient in enumerate(found)}

    showing = Showing()
    showing.compile(loss="mse")
    logs = showing.train_on_batch(X, Y, return_dict=True)
    return [logs[str(n)] for n in range(len(model.trainable_weights))]


@pytest.mark.parametrize(
    "schedule",
    [
        keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5, staircase=True),
        keras.optimizers.schedules.CosineDecay(0.1, 10, warmup_target=0.2, warmup_steps=3),
        keras.optimizers.schedules.CosineDecayRestarts(0.1, 3),
        keras.optimizers.schedules.PiecewiseConstantDecay([2, 4], [0.1, 0.05, 0.01]),
        keras.optimizers.schedules.PolynomialDecay(0.1, 5),
        keras.optimizers.schedules.InverseTimeDecay(0.1, 2, 0.5),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_schedules_follow_the_steps(schedule: Any) -> None:
    model = compiled(mlp(), optimizer=keras.optimizers.SGD(schedule))
    for step in range(7):
        before = float(ops.convert_to_numpy(schedule(step)))
        assert float(ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(before, rel=1e-5)
        model.train_on_batch(X, Y)


def test_gradient_accumulation_updates_every_other_step() -> None:
    model = compiled(mlp(), optimizer=keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
    start = model.get_weights()[0]
    model.train_on_batch(X, Y)
    np.testing.assert_array_equal(model.get_weights()[0], start)
    model.train_on_batch(X, Y)
    assert not np.array_equal(model.get_weights()[0], start)


def test_averaged_weights_replace_the_weights_at_the_end() -> None:
    optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9)
    model = compiled(mlp(), optimizer=optimizer)
    plain = compiled(mlp(), optimizer=keras.optimizers.SGD(0.5))
    fitted(model)
    fitted(plain)
    assert not np.allclose(model.get_weights()[0], plain.get_weights()[0])


LOSSES = ["mse", "mae", "huber", "log_cosh", "hinge", "squared_hinge", "poisson", "kl_divergence", "msle"]


@pytest.mark.parametrize(
    "loss", [*LOSSES, "binary_crossentropy", "binary_focal_crossentropy", "cosine_similarity"]
)
def test_traced_losses_equal_eager_losses(loss: str) -> None:
    model = compiled(mlp(), loss=loss, metrics=[], optimizer=keras.optimizers.SGD(0.0))
    traced = model.train_on_batch(X, Y)
    eager = float(np.mean(keras.losses.get(loss)(Y, model(X))))
    assert float(traced) == pytest.approx(eager, rel=1e-5)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_classification_with_many_classes(loss: str) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([layers.Input((6,)), layers.Dense(5, "softmax")])
    labels = RNG.integers(0, 5, 200)
    y = labels if loss.startswith("sparse") else np.eye(5, dtype="float32")[labels]
    compiled(model, loss=loss, metrics=["accuracy", keras.metrics.F1Score()] if y.ndim == 2 else ["accuracy"])
    history = model.fit(X, y, epochs=30, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    predicted = model.predict(X, verbose=0).argmax(axis=1)
    assert model.evaluate(X, y, verbose=0)[1] == pytest.approx(np.mean(predicted == labels))


def test_traced_metrics_equal_eager_metrics() -> None:
    metrics = lambda: [  # noqa: E731  # new metrics for each use
        keras.metrics.AUC(),
        keras.metrics.Precision(),
        keras.metrics.Recall(),
        keras.metrics.MeanSquaredError(name="mse"),
        keras.metrics.RootMeanSquaredError(),
        keras.metrics.TruePositives(),
        keras.metrics.BinaryIoU(),
        keras.metrics.R2Score(),
    ]
    model = compiled(mlp(), metrics=metrics())
    reported = model.evaluate(X, Y, batch_size=48, verbose=0, return_dict=True)
    predicted = model(X)
    for metric in metrics():
        metric.update_state(Y, predicted)
        name = next(n for n in reported if n.split("_")[0] == metric.name.split("_")[0])
        np.testing.assert_allclose(reported[name], metric.result(), rtol=1e-5)


# -- kinds of models ---------------------------------------------------------------------------------


def test_functional_model_with_several_inputs_and_outputs() -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    joined = layers.concatenate([layers.Dense(4, "tanh")(a), layers.Dense(4, "gelu")(b)])
    model = keras.Model(
        {"a": a, "b": b},
        {"p": layers.Dense(1, name="p")(joined), "q": layers.Dense(2, "softmax", name="q")(joined)},
    )
    model.compile(
        "rmsprop", {"p": "mse", "q": "sparse_categorical_crossentropy"}, loss_weights={"p": 1, "q": 2}
    )
    inputs = {"a": X[:, :3], "b": X[:, 3:]}
    logs = model.fit(inputs, {"p": Y, "q": Y[:, 0].astype("int32")}, 50, 2, verbose=0).history
    assert set(logs) == {"loss", "p_loss", "q_loss"}
    assert logs["loss"][-1] == pytest.approx(logs["p_loss"][-1] + 2 * logs["q_loss"][-1], rel=1e-5)
    outputs = model.predict(inputs, verbose=0)
    assert {name: value.shape for name, value in outputs.items()} == {"p": (200, 1), "q": (200, 2)}


def test_subclassed_model_with_added_losses_and_regularizers() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = layers.Dense(8, kernel_regularizer="l2", activity_regularizer="l1")
            self.out = layers.Dense(1, kernel_constraint=keras.constraints.MaxNorm(0.5))

        def call(self, x: Any, training: bool = False) -> Any:
            hidden = self.hidden(x)
            self.add_loss(0.1 * ops.mean(ops.square(hidden)))
            return self.out(hidden)

    model = Own()
    model.compile("adam", "mse")
    losses = fitted(model)
    assert losses[-1] < losses[0]
    assert np.linalg.norm(model.out.kernel.numpy(), axis=0).max() <= 0.5 + 1e-6


def test_custom_train_step() -> None:
    class Own(keras.Sequential):
        def train_step(self, data: Any) -> dict[str, Any]:
            x, y = data[:2]
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
            gradients = keras_theano.gradients(loss, self.trainable_weights)
            self.optimizer.apply(gradients, self.trainable_weights)
            return {"own": loss}

    own = Own([layers.Input((6,)), layers.Dense(1)])
    own.compile(keras.optimizers.SGD(0.1), "mse")
    values = own.fit(X, Y, epochs=5, verbose=0).history["own"]
    assert values[-1] < values[0]


def test_custom_gradient_replaces_the_derived_one() -> None:
    @ops.custom_gradient
    def doubled_backwards(x: Any) -> Any:
        return x * 1.0, lambda upstream: upstream * 2.0

    class Own(layers.Layer):
        def call(self, x: Any) -> Any:
            return doubled_backwards(x)

    def moved(*after: Any) -> Any:
        keras.utils.set_random_seed(2)
        model = keras.Sequential([layers.Input((6,)), layers.Dense(1), *after])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        start = model.get_weights()[0]
        model.train_on_batch(X, Y)
        return model.get_weights()[0] - start

    np.testing.assert_allclose(moved(Own()), 2 * moved(), rtol=1e-4)


def test_frozen_layers_keep_their_weights_and_others_train() -> None:
    model = mlp()
    model.layers[0].trainable = False
    start = [w.copy() for w in model.get_weights()]
    fitted(compiled(model))
    end = model.get_weights()
    np.testing.assert_array_equal(start[0], end[0])
    assert not np.array_equal(start[2], end[2])


# -- data, weights and callbacks ---------------------------------------------------------------------


def test_sample_weights_and_class_weights_agree() -> None:
    by_class = compiled(mlp())
    by_sample = compiled(mlp())
    a = by_class.fit(X, Y, class_weight={0: 0.2, 1: 3.0}, shuffle=False, verbose=0).history["loss"]
    weights = np.where(Y[:, 0] > 0.5, 3.0, 0.2).astype("float32")
    b = by_sample.fit(X, Y, sample_weight=weights, shuffle=False, verbose=0).history["loss"]
    assert a == pytest.approx(b, rel=1e-6)


def test_validation_split_and_callbacks() -> None:
    seen: list[str] = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            seen.append(",".join(sorted(logs or {})))

    model = compiled(mlp())
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=0, min_delta=10.0)
    model.fit(X, Y, epochs=9, validation_split=0.25, callbacks=[Watch(), stop], verbose=0)
    assert seen == ["accuracy,loss,val_accuracy,val_loss"] * 2


def test_reduced_learning_rate_reaches_the_compiled_step() -> None:
    model = compiled(mlp(), optimizer=keras.optimizers.SGD(0.5))
    model.train_on_batch(X, Y)
    model.optimizer.learning_rate = 0.0
    before = model.get_weights()[0]
    model.train_on_batch(X, Y)
    np.testing.assert_array_equal(model.get_weights()[0], before)


def test_generator_of_batches() -> None:
    def batches() -> Any:
        for begin in range(0, 200, 50):
            yield X[begin : begin + 50], Y[begin : begin + 50]

    model = compiled(mlp())
    plain = compiled(mlp())
    model.fit(batches(), steps_per_epoch=4, shuffle=False, verbose=0)
    fitted(plain, batch_size=50, epochs=1)
    for a, b in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_several_steps_per_execution_train_the_same() -> None:
    one, three = compiled(mlp()), compiled(mlp(), steps_per_execution=3)
    fitted(one)
    fitted(three)
    for a, b in zip(one.get_weights(), three.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert three.predict(X, batch_size=25, verbose=0, steps=6).shape == (150, 1)


def test_run_eagerly_trains_the_same_and_runs_the_python_code_for_each_batch() -> None:
    calls = []

    class Counting(layers.Layer):
        def call(self, x: Any) -> Any:
            calls.append(type(x).__name__)
            return x * 2.0

    def model(eagerly: bool) -> Any:
        keras.utils.set_random_seed(1)
        return compiled(
            keras.Sequential([layers.Input((6,)), Counting(), layers.Dense(1)]),
            loss="mse",
            run_eagerly=eagerly,
        )

    compiled_losses, eager = fitted(model(False)), model(True)
    calls.clear()
    assert fitted(eager) == pytest.approx(compiled_losses, rel=1e-5)
    assert calls.count("Tensor") == 3 * 7
    (ran,) = [ran for ran in keras_theano.report() if ran.name == f"train {eager.name}"]
    assert ran.calls == {"interpreter": 1}  # a program that runs once is not worth compiling
    calls.clear()
    eager.predict(X, batch_size=100, verbose=0)
    assert calls == ["Array"] * 2


def test_saved_model_predicts_and_continues_training_the_same(tmp_path: Path) -> None:
    model = compiled(mlp(norm=True))
    fitted(model)
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    other = mlp(norm=True)
    other.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    np.testing.assert_array_equal(other.predict(X, verbose=0), model.predict(X, verbose=0))
    assert fitted(loaded) == pytest.approx(fitted(model), rel=1e-6)


# -- what is refused ---------------------------------------------------------------------------------


def test_python_branch_on_a_traced_value_is_explained() -> None:
    class Branching(layers.Layer):
        def call(self, x: Any) -> Any:
            return x if ops.sum(x) > 0 else -x

    model = compiled(keras.Sequential([layers.Input((6,)), Branching(), layers.Dense(1)]), loss="mse")
    with pytest.warns(RuntimeWarning, match="predict runs op by op"):
        assert model.predict(X, verbose=0).shape == (200, 1)
    with pytest.raises(TypeError, match=r"keras\.ops\.cond or keras\.ops\.where instead of Python's `if`"):
        model.train_on_batch(X, Y)


def untraceable() -> Any:
    """A model with an op that has no symbolic counterpart."""
    padded = layers.Lambda(lambda x: ops.pad(x, ((0, 0), (1, 1)), "mean"), output_shape=(5,))
    model = keras.Sequential([layers.Input((3,)), padded, layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_op_that_cannot_be_traced_is_named() -> None:
    with pytest.raises(NotImplementedError, match=r"cannot trace keras\.ops\.pad with another mode"):
        untraceable().train_on_batch(np.ones((4, 3), "float32"), np.ones((4, 1), "float32"))


def test_predict_runs_op_by_op_if_a_step_cannot_be_recorded() -> None:
    model = untraceable()
    x = RNG.random((5, 3), dtype="float32")
    with pytest.warns(RuntimeWarning, match=r"(?s)predict runs op by op: .* keras\.ops\.pad"):
        predicted = model.predict(x, batch_size=2, verbose=0)
    np.testing.assert_allclose(predicted, model(x), rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_in_float32(policy: str) -> None:
    def losses(policy: str) -> list[float]:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([layers.Input((6,)), layers.Dense(8, "relu", dtype=policy), layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        history = fitted(model)
        assert {weight.dtype.name for weight in model.get_weights()} == {"float32"}
        return history

    assert losses(policy) == losses("float32")


def test_mixed_float16_trains_with_a_scaled_loss() -> None:
    keras.utils.set_random_seed(0)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = keras.Sequential([layers.Input((6,)), layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.1), "mse")
    finally:
        keras.config.set_dtype_policy(policy)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    losses = fitted(model)
    assert losses[-1] < losses[0]


def test_double_precision_trains() -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([layers.Input((6,), dtype="float64"), layers.Dense(1, dtype="float64")])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    losses = fitted(model)
    assert losses[-1] < losses[0]
    assert model.get_weights()[0].dtype == "float64"


def test_report_names_the_steps_and_what_ran_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERAS_THEANO_MODE", raising=False)
    model = compiled(mlp())
    model.fit(X, Y, batch_size=50, epochs=2, verbose=0)
    ran = [ran for ran in keras_theano.report() if ran.name == f"train {model.name}"]
    assert [(r.tier, r.calls, r.outside) for r in ran] == [(NATIVE, {NATIVE: 8}, {})]
    assert ran[0].compile_s[NATIVE] > 0


def test_unknown_mode_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = r"Expected auto, native or interpreter\."
    gone = rf"{expected} The modes numba and c are gone, because native is faster\."
    for mode, message in {"fast": rf"'fast'\. {expected}$", "numba": gone, "c": gone}.items():
        monkeypatch.setenv("KERAS_THEANO_MODE", mode)
        with pytest.raises(ValueError, match=message):
            compiled(mlp()).fit(X, Y, verbose=0)
