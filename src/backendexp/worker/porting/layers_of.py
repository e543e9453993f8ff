"""Collects the outputs of the layers of a model, in either generation of Keras, and computes them."""

import numpy


def predicted(model, tensors, arrays, stateful):
    """Return the values of some tensors of a model for one batch.

    arrays: the inputs, in the order of the model. stateful: whether a layer keeps its state between batches.
        Then the values are those of the second of two equal batches.
    """
    import keras

    samples = len(arrays[0])
    inputs = model.inputs
    probe = keras.models.Model(inputs if len(inputs) > 1 else inputs[0], list(tensors))
    given = list(arrays) if len(arrays) > 1 else arrays[0]
    if stateful:
        _reset(model)
        probe.predict(given, batch_size=samples, verbose=0)
    values = probe.predict(given, batch_size=samples, verbose=0)
    values = values if isinstance(values, (list, tuple)) else [values]
    return [numpy.asarray(value) for value in values]


def _reset(model):
    if hasattr(model, "reset_states"):
        model.reset_states()
        return
    for layer in model.layers:
        if hasattr(layer, "reset_states") and getattr(layer, "stateful", False):
            layer.reset_states()
        elif hasattr(layer, "layers"):
            _reset(layer)


def listed(values, names):
    """Return (what the event says of each output, the arrays by their keys).

    names: (name of the layer, number of the call, number of the output) of each value.
    """
    said, arrays = [], {}
    for number, (value, (layer, call, tensor)) in enumerate(zip(values, names)):
        key = "o%d" % number
        arrays[key] = value
        said.append({"layer": layer, "call": call, "tensor": tensor, "key": key, "shape": list(value.shape)})
    return said, arrays


def read(path):
    """Return the arrays of a file, in the order of their numbers."""
    with numpy.load(path, allow_pickle=False) as stored:
        return [stored["input_%d" % number] for number in range(len(stored.files))]
