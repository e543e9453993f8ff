"""Computes the outputs of the layers of an old model, with the real Keras 2.3.1."""

import numpy

from . import custom_objects, layers_of


def outputs(task):
    """Compute the outputs of all layers.

    task: config: the architecture as JSON. weights: the path of the HDF5 file. custom: the path of the user's
        file, or None. inputs: the path of the inputs. result: the path that the outputs are written to.
        probes: how often everything is computed again with inputs and weights that are one rounding away.
    Returns the fields of the event: layers, a list with the name and the shape of each output, and `grown`, the
    greatest distance of a probe.
    """
    import keras

    custom = custom_objects(task["custom"])
    model = keras.models.model_from_json(task["config"], custom_objects=custom)
    model.load_weights(task["weights"])
    arrays = layers_of.read(task["inputs"])
    tensors, names = _tensors(model)
    stateful = bool(getattr(model, "stateful", False))
    values = layers_of.predicted(model, tensors, arrays, stateful)
    said, kept = layers_of.listed(values, names)
    grown = [0.0] * len(values)
    weights = model.get_weights()
    for probe in range(1, task["probes"] + 1):
        stream = numpy.random.RandomState(probe)
        model.set_weights([_moved(weight, stream) for weight in weights])
        moved = layers_of.predicted(model, tensors, [_moved(array, stream) for array in arrays], stateful)
        for number, (value, other) in enumerate(zip(values, moved)):
            if value.size:
                distance = numpy.abs(other.astype("float64") - value.astype("float64")).max()
                grown[number] = max(grown[number], float(distance))
    for entry, distance in zip(said, grown):
        entry["grown"] = distance
    numpy.savez(task["result"], **kept)
    return {"layers": said}


def _tensors(model):
    """Return the outputs of all layers of the model's graph, and the names of each."""
    tensors, names = [], []
    for layer in model.layers:
        if type(layer).__name__ == "InputLayer":
            continue
        call = 0
        for number, node in enumerate(layer._inbound_nodes):
            if model._node_key(layer, number) not in model._network_nodes:
                continue
            for place, tensor in enumerate(node.output_tensors):
                tensors.append(tensor)
                names.append((layer.name, call, place))
            call += 1
    return tensors, names


def _moved(array, stream):
    """Move each number by one rounding, up or down, except for whole numbers.

    Those are often indices, or the value that masks a step.
    """
    if array.dtype.kind != "f":
        return array
    signs = stream.randint(2, size=array.shape) * 2 - 1
    moved = (array + signs * numpy.spacing(array)).astype(array.dtype)
    return numpy.where(array == numpy.rint(array), array, moved)
