"""Compiles a ported model as it was compiled, and restores the state of the optimizer where it can."""

import numpy

# For each optimizer, its arguments in Keras 3, and the attributes of Keras 3 that hold its state, in the
# order in which Keras 2 keeps them: one array a weight for the first, then one a weight for the second.
_KNOWN = {
    "SGD": (("momentum", "nesterov"), ("momentums",)),
    "RMSprop": (("rho", "epsilon"), ("_velocities",)),
    "Adagrad": (("epsilon",), ("_accumulators",)),
    "Adadelta": (("rho", "epsilon"), ("_accumulated_grads", "_accumulated_delta_vars")),
    "Adam": (("beta_1", "beta_2", "epsilon", "amsgrad"), ("_momentums", "_velocities")),
    "Adamax": (("beta_1", "beta_2", "epsilon"), ("_m", "_u")),
    "Nadam": (("beta_1", "beta_2", "epsilon"), ("_momentums", "_velocities")),
}
_UNLIKE = {
    "RMSprop": "Keras 2 adds epsilon outside the square root, Keras 3 inside",
    "Adagrad": "Keras 2 adds epsilon outside the square root, Keras 3 inside",
    "Nadam": "Keras 2 has another momentum schedule, so that its state is not carried over",
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
    if kind not in _KNOWN:
        return ["the optimizer %s is not one of Keras 2.3.1, so the model is not compiled" % kind]
    arguments, states = _KNOWN[kind]
    given = {key: config[key] for key in arguments if config.get(key) is not None}
    rate = config.get("learning_rate", config.get("lr"))
    if kind == "Adagrad":
        given["initial_accumulator_value"] = 0.0
    if config.get("decay"):
        rate = keras.optimizers.schedules.InverseTimeDecay(rate, 1, config["decay"])
    if config.get("clipnorm"):
        given["clipnorm"] = config["clipnorm"]
    if config.get("clipvalue"):
        given["clipvalue"] = config["clipvalue"]
    made = getattr(keras.optimizers, kind)(learning_rate=rate, **given)
    try:
        model.compile(
            optimizer=made,
            loss=_renamed(training["loss"]),
            metrics=_renamed(training["metrics"]) or None,
            loss_weights=training["loss_weights"],
        )
    except Exception as error:
        return ["the model is not compiled: %s" % str(error).splitlines()[0]]
    said = ["%s: %s" % (kind, _UNLIKE[kind])] if kind in _UNLIKE else []
    return said + _restore_state(model, made, kind, training, states, variables, weights)


def _renamed(value):
    if isinstance(value, str):
        return _LOSSES.get(value, value)
    if isinstance(value, list):
        return [_renamed(one) for one in value]
    if isinstance(value, dict):
        return {name: _renamed(one) for name, one in value.items()}
    return value


def _restore_state(model, made, kind, training, states, variables, weights):
    if not training["state"]:
        return ["the file has no state of the optimizer, so %s starts afresh" % kind]
    if kind == "Nadam":
        return []
    made.build(model.trainable_variables)
    made.iterations.assign(training["iterations"])
    if kind == "SGD" and not made.momentum:
        return ["the state of SGD, its number of steps, is carried over"]
    places = {id(variable): number for number, variable in enumerate(model.trainable_variables)}
    lost = 0
    for entry in training["state"]:
        number = places.get(id(variables.get(entry["key"])))
        if number is None:
            lost += 1
            continue
        for attribute, key in zip(states, entry["arrays"]):
            getattr(made, attribute)[number].assign(numpy.asarray(weights[key]))
    done = len(training["state"]) - lost
    said = ["the state of %s is carried over for %d of %d weights" % (kind, done, done + lost)]
    if lost:
        said.append("the others were changed in a way that the state cannot follow, and start at zero")
    return said
