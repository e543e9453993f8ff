"""Trains one run: data, build, fit and evaluate, each timed by its own clock (`time.perf_counter`)."""

import collections
import math
import os
import time
import traceback

from . import (
    arrays,
    batches,
    compiling,
    data,
    engine,
    formulas,
    inference,
    models,
    objectives,
    randomness,
    tasks,
    user_code,
)
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
        with user_code.watched(spec["timeout_s"] if _users_parts(spec) else None, events):
            _train(spec, directory, events)
    except NonFiniteLoss as error:
        events.send("failed", kind="non_finite_loss", message=str(error), epoch=error.epoch)
        return 1
    except Exception as error:
        events.send("failed", **_failure(error, spec))
        return 1
    events.send("finished")
    return 0


def _failure(error, spec):
    """Return the fields of the event `failed`."""
    fields = {
        "kind": "out_of_memory" if _is_out_of_memory(error) else "exception",
        "message": "%s: %s" % (type(error).__name__, error),
        "traceback": traceback.format_exc(),
    }
    parts = _users_parts(spec)
    if parts and fields["kind"] == "exception":
        backend = spec["backend"]["name"]
        told = user_code.blame(error, parts, backend, engine.others_than(backend))
        if told is not None:
            traceback.print_exc()  # all of it goes to worker.log
            fields.update(kind="user_code", message=told[0], traceback=told[1])
    return fields


def _users_parts(spec):
    """Return the parts of the plan that call a function of the user's, by their names."""
    return {name: spec[name] for name in ("data", "model") if "_target_" in spec.get(name, {})}


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
    user_code.keep(_users_parts(spec).values(), directory)
    engine.limit_threads(backend, spec["threads"])
    engine.set_dtype(training["dtype"])
    engine.set_precision(backend, spec["engine"]["precision"])
    if spec["engine"]["device"] == "gpu":
        engine.require_gpu(backend)

    events.send("phase", name="data")
    with _Stopwatch() as clock:
        dataset = data.make_data(spec["data"], seed)
    if engine.keras_generation() == 2:
        dataset = arrays.with_lists(dataset)
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
        model, notes = _build(spec, dataset)
        engine.synchronise(model)
    weights = initial_weights.current(model)
    events.send(
        "built",
        seconds=clock.seconds,
        weights=int(sum(array.size for array in weights)),
        weights_digest=arrays.digest(weights),
        notes=notes,
        random_layers=randomness.random_layers(model),
        unlike_layers=formulas.unlike_layers(model),
        unlike_engine=formulas.unlike_engine(model, engine.keras_generation(), backend),
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
        qualities = _qualities(model, dataset, training["batch_size"])
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
    """Return the compiled model with its initial weights, and notes about it for the user."""
    network, training, controls = spec["model"], spec["training"], spec["controls"]
    kind = models.kind(network["kind"])
    models.check_input(kind.Settings.from_json(network), dataset)
    if isinstance(dataset.y_train, (dict, tuple, list)) and not getattr(kind, "TAKES_SEVERAL", False):
        raise models.UnfitInput(
            "y consists of several arrays, but model=%s has one output. Use model=custom" % network["kind"]
        )
    compiled = training.get("compile", "auto")  # auto, own, or own_loss for a model with its own loss alone
    own = compiled != "auto"
    goal = objectives.decide(
        _tasks(spec, dataset, own),
        training.get("loss", tasks.AUTO),
        training.get("metrics"),
        network.get("output_activation", tasks.AUTO),
    )
    output = models.Output(goal.units, goal.activation)
    if not controls["dropout"]:
        randomness.switch_off()
    with initial_weights.watched_initializers() as made:
        model = kind.build(network, arrays.sample_shape(dataset.x_train), output)
        outputs = objectives.outputs_of(model, dataset.x_train)
    if not controls["dropout"]:
        randomness.quiet(model)
    notes = compiling.notes_on(model, own)
    losses = model.loss if own else goal.loss
    try:
        objectives.check(*outputs, dataset=dataset, losses=losses)
    except objectives.Mismatch as mismatch:
        raise kind.refused(network, mismatch) if hasattr(kind, "refused") else mismatch from None
    if compiled != "own":
        compiling.compile_model(
            model,
            training["optimizer"],
            training["learning_rate"],
            losses,
            [] if own else goal.metrics,
            engine.keras_generation(),
            execution=dict(spec["engine"], steps_per_execution=training["steps_per_execution"]),
        )
    if controls["initial_weights"]:
        model.set_weights(initial_weights.draw(model, spec["seed"], spec["parity"]["probe"], made))
    return model, notes


def _tasks(spec, dataset, own):
    """Return what the labels ask for, in their structure.

    own: whether the model is compiled already. Then the answer only says how many outputs are expected.
    """
    loss = spec["training"].get("loss", tasks.AUTO)
    try:
        found = data.task_of(spec["data"], dataset, loss)
    except tasks.Unclear:
        if not own:
            raise
        found = data.task_of(spec["data"], dataset, "mean_squared_error")
    if isinstance(dataset.y_train, (tuple, list)):
        return [found[str(number)] for number in range(len(found))]
    return found


def _qualities(model, dataset, batch_size):
    """Return the loss and the metrics on the test data by name."""
    arguments = {"batch_size": batch_size, "verbose": 0}
    if engine.keras_generation() == 2:
        values = model.evaluate(dataset.x_test, dataset.y_test, **arguments)
        values = values if isinstance(values, (list, tuple)) else [values]
        named = dict(zip(model.metrics_names, values))
    else:
        # The list that it would return is not in the order of any list of names.
        named = model.evaluate(dataset.x_test, dataset.y_test, return_dict=True, **arguments)
    return _comparable(model, named)


def _comparable(model, named):
    """Return the loss and the metrics as numbers, without the losses of single outputs.

    Keras averages those over batches of unequal sizes, on JAX and PyTorch by their sizes and elsewhere
    without them, so that equal models would seem to differ.
    """
    outputs = getattr(model, "output_names", None) or []
    left_out = {name + "_loss" for name in outputs} if len(outputs) > 1 else set()
    return {name: float(value) for name, value in named.items() if name not in left_out}


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
            values = _comparable(self.model, logs)
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
