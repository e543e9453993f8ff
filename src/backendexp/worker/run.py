"""Trains one run: data, build, fit and evaluate, each timed by its own clock (`time.perf_counter`)."""

import collections
import math
import os
import time
import traceback

from . import arrays, batches, compiling, data, engine, inference, models, tasks
from . import weights as initial_weights


class NonFiniteLoss(Exception):
    def __init__(self, epoch, loss):
        super(NonFiniteLoss, self).__init__(
            "the loss is %r after epoch %d: training diverged. Lower training.learning_rate, or "
            "check the data for extreme values" % (loss, epoch)
        )
        self.epoch = epoch


def execute(spec, directory, events):
    """Train as `spec` says and send an event for every step. Returns the exit code of the process."""
    try:
        _train(spec, directory, events)
    except NonFiniteLoss as error:
        events.send("failed", kind="non_finite_loss", message=str(error), epoch=error.epoch)
        return 1
    except Exception as error:
        events.send(
            "failed",
            kind="out_of_memory" if _is_out_of_memory(error) else "exception",
            message="%s: %s" % (type(error).__name__, error),
            traceback=traceback.format_exc(),
        )
        return 1
    events.send("finished")
    return 0


def _is_out_of_memory(error):
    # Each engine has its own class for this error, which cannot be named without importing the engine.
    return isinstance(error, MemoryError) or (
        type(error).__name__ in ("ResourceExhaustedError", "OutOfMemoryError")
        or "RESOURCE_EXHAUSTED" in str(error)
        or "can't allocate memory" in str(error)
    )


def _train(spec, directory, events):
    backend, seed = spec["backend"]["name"], spec["seed"]
    training, controls = spec["training"], spec["controls"]
    engine.limit_threads(backend, spec["threads"])
    engine.set_dtype(training["dtype"])
    engine.set_precision(backend, spec["engine"]["precision"])
    if spec["engine"]["device"] == "gpu":
        engine.require_gpu(backend)

    events.send("phase", name="data")
    with _Stopwatch() as clock:
        dataset = data.make_data(spec["data"], seed)
    every = collections.OrderedDict(arrays.named(dataset))
    events.send(
        "data",
        seconds=clock.seconds,
        digest=arrays.digest(every.values()),
        shapes={name: list(array.shape) for name, array in every.items()},
        bytes=sum(array.nbytes for array in every.values()),
        labels={
            name: arrays.describe_labels(array) for name, array in every.items() if name.startswith("y_")
        },
    )

    engine.seed_everything(backend, seed)
    events.send("phase", name="build")
    with _Stopwatch() as clock:
        model = _build(spec, dataset)
        engine.synchronise(model)
    weights = model.get_weights()
    events.send(
        "built",
        seconds=clock.seconds,
        weights=int(sum(array.size for array in weights)),
        weights_digest=arrays.digest(weights),
    )

    events.send("phase", name="fit")
    source, callbacks = _batch_source(dataset, training["batch_size"], seed, controls["batch_order"])
    with _Stopwatch() as clock:
        callbacks.append(_epoch_clock(events, clock.began))
        model.fit(epochs=training["epochs"], verbose=0, callbacks=callbacks, **source)
        engine.synchronise(model)
    events.send("trained", seconds=clock.seconds, tiers=engine.tiers(backend))

    events.send("phase", name="evaluate")
    with _Stopwatch() as clock:
        values = model.evaluate(dataset.x_test, dataset.y_test, batch_size=training["batch_size"], verbose=0)
    qualities = _qualities(model, values)
    loss = qualities.pop("loss")
    if not math.isfinite(loss):
        raise NonFiniteLoss(training["epochs"], loss)
    events.send("evaluated", seconds=clock.seconds, loss=loss, metrics=qualities)

    if spec["inference"]:
        events.send("phase", name="predict")
        events.send("predicted", **inference.measure(model, dataset.x_test, training["batch_size"]))
    events.send("device", **engine.device(backend))

    if spec["tracking"]["log_model"]:
        events.send("phase", name="save")
        # Keras 3 writes .keras archives, Keras 2 HDF5.
        extension = "h5" if engine.keras_generation() == 2 else "keras"
        os.mkdir(os.path.join(directory, "model"))
        path = os.path.join("model", "model." + extension)
        model.save(os.path.join(directory, path))
        events.send("saved", path=path, format=extension)


def _build(spec, dataset):
    network, training, controls = spec["model"], spec["training"], spec["controls"]
    task = tasks.of_labels(dataset.y_train)
    loss = tasks.loss_of(task) if training["loss"] == tasks.AUTO else training["loss"]
    metrics = training["metrics"] or tasks.metrics_of(task)
    activation = network["output_activation"]
    if activation == tasks.AUTO:
        activation = tasks.activation_of(task, loss)
    output = models.Output(tasks.units_of(task, loss), activation)
    model = models.kind(network["kind"]).build(network, arrays.sample_shape(dataset.x_train), output)
    compiling.compile_model(
        model,
        training["optimizer"],
        training["learning_rate"],
        loss,
        metrics,
        engine.keras_generation(),
        execution=dict(spec["engine"], steps_per_execution=training["steps_per_execution"]),
    )
    if controls["initial_weights"]:
        model.set_weights(initial_weights.draw(model, spec["seed"], probe=spec["parity"]["probe"]))
    return model


def _qualities(model, values):
    """Return the loss and the metrics by name.

    values: what `evaluate` returned for the model.
    """
    if not isinstance(values, (list, tuple)):
        values = [values]
    keras_2 = engine.keras_generation() == 2
    names = model.metrics_names if keras_2 else list(model.get_metrics_result())
    return {name: float(value) for name, value in zip(names, values)}


def _batch_source(dataset, batch_size, seed, ordered):
    """Return the arguments of `fit` that provide the batches, and the callbacks that they need."""
    if not ordered:
        return {"x": dataset.x_train, "y": dataset.y_train, "batch_size": batch_size}, []
    source, new_order = batches.ordered_batches(dataset.x_train, dataset.y_train, batch_size, seed)
    # Without shuffle=False, both generations would shuffle the order of the batches once more.
    arguments = {"x": source, "shuffle": False}
    if engine.keras_generation() == 2:
        arguments["workers"] = 0  # otherwise Keras 2 fetches the batches in a thread of its own
    return arguments, [new_order]


def _epoch_clock(events, fit_began):
    from keras.callbacks import Callback

    class EpochClock(Callback):
        """Sends the loss of each epoch, and its seconds, counted from the end of the previous epoch."""

        def __init__(self):
            super(EpochClock, self).__init__()
            self._last = fit_began

        def on_epoch_end(self, epoch, logs=None):
            values = {name: float(value) for name, value in logs.items()}
            now = time.perf_counter()
            loss = values.pop("loss")
            if not math.isfinite(loss):
                raise NonFiniteLoss(epoch + 1, loss)
            events.send_soon("epoch", epoch=epoch + 1, seconds=now - self._last, loss=loss, metrics=values)
            self._last = now

    return EpochClock()


class _Stopwatch(object):
    def __enter__(self):
        self.began = time.perf_counter()
        return self

    def __exit__(self, *exception):
        self.seconds = time.perf_counter() - self.began
