"""Compiles a ported model as it was compiled, and restores the state of the optimizer where it can."""

import numpy

# The arguments of each optimizer that both generations have.
_KNOWN = {
    "SGD": ("momentum", "nesterov"),
    "RMSprop": ("rho", "epsilon", "momentum", "centered"),
    "Adagrad": ("epsilon",),
    "Adadelta": ("rho", "epsilon"),
    "Adam": ("beta_1", "beta_2", "epsilon", "amsgrad"),
    "Adamax": ("beta_1", "beta_2", "epsilon"),
    "Nadam": ("beta_1", "beta_2", "epsilon"),
}
_EPSILON = (
    "if it is trained further, %s takes steps of a slightly other size, because Keras 2 adds epsilon outside "
    "of the square root, and Keras 3 inside"
)
_UNLIKE = {
    "RMSprop": _EPSILON,
    "Adagrad": _EPSILON,
    "Nadam": "if it is trained further, %s takes other steps, because its momentum grows slower in Keras 2 "
    "than in Keras 3",
}
_LOSSES = {"logcosh": "log_cosh", "kullback_leibler_divergence": "kl_divergence"}


def restore(model, training, variables, weights):
    """Compile the model, and restore the state of its optimizer.

    training: what the file says, see `backendexp.porting.training`, or None.
    variables: the variables of the model by the keys of their weights.
    weights: the arrays of the plan, which hold the state of the optimizer too.
    Returns sentences about what was carried over and what was not.
    """
    if training is None:
        return []
    import keras

    kind, config = training["optimizer"], dict(training["config"])
    if not kind:
        return ["the file does not say which optimizer the model was compiled with, so it is not compiled"]
    if kind not in _KNOWN:
        return ["the optimizer %s is not one of Keras 2.3.1, so the model is not compiled" % kind]
    given = {key: config[key] for key in _KNOWN[kind] if config.get(key) is not None}
    rate = config.get("learning_rate", config.get("lr"))
    if kind == "Adagrad":
        given["initial_accumulator_value"] = config.get("initial_accumulator_value", 0.0)
    if isinstance(rate, dict):
        rate = keras.optimizers.schedules.deserialize(
            {"class_name": rate["class_name"], "config": rate["config"]}
        )
    elif config.get("decay") and kind != "Nadam":  # in tf.keras, that of Nadam is its momentum schedule
        rate = keras.optimizers.schedules.InverseTimeDecay(rate, 1, config["decay"])
    if config.get("clipnorm"):
        given["clipnorm"] = config["clipnorm"]
    if config.get("clipvalue"):
        given["clipvalue"] = config["clipvalue"]
    try:
        made = getattr(keras.optimizers, kind)(learning_rate=rate, **given)
        model.compile(
            optimizer=made,
            loss=_made(training["loss"], keras.losses),
            metrics=_metrics(training["metrics"]),
            loss_weights=training["loss_weights"],
        )
    except Exception as error:
        return ["the model is not compiled: %s" % (str(error).splitlines() or [type(error).__name__])[0]]
    said = _restore_state(model, made, kind, training, variables, weights)
    # The optimizers of TensorFlow 2.11 and later are those of Keras 3.
    if kind in _UNLIKE and config.get("is_legacy_optimizer") is not False:
        said.append(_UNLIKE[kind] % kind)
    return said


def _made(value, known):
    """Return losses or metrics for `compile`: names, or objects where tf.keras keeps their configuration.

    known: keras.losses or keras.metrics.
    """
    if isinstance(value, str):
        return _LOSSES.get(value, value)
    if isinstance(value, list):
        return [_made(one, known) for one in value]
    if isinstance(value, dict) and "class_name" in value and "config" in value:
        return _object(value["class_name"], value["config"], known)
    if isinstance(value, dict):
        return {name: _made(one, known) for name, one in value.items()}
    return value


def _object(kind, config, known):
    import inspect

    if kind in ("MeanMetricWrapper", "LossFunctionWrapper"):
        # What the user called "accuracy" is chosen anew, as Keras chose it.
        name = config["name"] if config.get("name") in ("accuracy", "acc") else config.get("fn")
        return _LOSSES.get(name, name)
    made = getattr(known, kind)
    accepted = inspect.signature(made.__init__).parameters
    given = {key: entry for key, entry in config.items() if key in accepted}
    if given.get("reduction") == "auto":
        given["reduction"] = "sum_over_batch_size"
    return made(**given)


def _metrics(value):
    import keras

    found = _made(value, keras.metrics)
    # tf.keras lists the metrics of each output, also if there is one output.
    if isinstance(found, list) and len(found) == 1 and isinstance(found[0], list):
        found = found[0]
    return found or None


def _restore_state(model, made, kind, training, variables, weights):
    made.build(model.trainable_variables)
    made.iterations.assign(training["iterations"])
    if training["of_keras_1"]:
        made.iterations.assign(0)
        return ["the state of an optimizer of Keras 1 is not carried over, so %s starts afresh" % kind]
    if kind == "SGD" and not made.momentum and training["iterations"]:
        return ["the state of SGD, its number of steps, is carried over"]
    if not training["state"]:
        made.iterations.assign(0)
        return ["the file has no state of the optimizer, so %s starts afresh" % kind]
    if kind == "Nadam":
        made._u_product.assign(_schedule(made, training))
    places = {id(variable): number for number, variable in enumerate(model.trainable_variables)}
    lost = 0
    for entry in training["state"]:
        number = places.get(id(variables.get(entry["key"])))
        if number is None:
            lost += 1
            continue
        for attribute, key in zip(training["attributes"], entry["arrays"]):
            getattr(made, attribute)[number].assign(numpy.asarray(weights[key]))
    done = len(training["state"]) - lost
    said = ["the state of %s is carried over for %d of %d weights" % (kind, done, done + lost)]
    if lost:
        said.append("what the file has for the others does not suit them, so they start at zero")
    return said


def _schedule(made, training):
    """Return the product of the momenta of Nadam's steps: that of the file, or what Keras 3 would have."""
    if training["schedule"] is not None:
        return training["schedule"]
    steps = numpy.arange(1, training["iterations"] + 1)
    return float(numpy.prod(made.beta_1 * (1 - 0.5 * 0.96**steps)))
