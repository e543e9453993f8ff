"""Computes the outputs of the layers of a ported model, loaded from its .keras file as any user loads it."""

import numpy

from . import custom_objects, layers_of


def outputs(task):
    """Compute the outputs of all layers.

    task: model: the path of the .keras file. custom, inputs, result: as in `old`.
    Returns the fields of the event: layers, a list with the name and the shape of each output.
    """
    import keras

    custom = custom_objects(task["custom"])
    model = keras.saving.load_model(task["model"], custom_objects=custom or None, compile=False)
    arrays = layers_of.read(task["inputs"])
    tensors, names = _tensors(model)
    stateful = any(getattr(layer, "stateful", False) for layer in model._flatten_layers())
    values = layers_of.predicted(model, tensors, arrays, stateful)
    said, kept = layers_of.listed(values, names)
    numpy.savez(task["result"], **kept)
    return {"layers": said}


def _tensors(model):
    graph = getattr(model, "_functional", None) or model
    inside = {id(node) for nodes in graph._nodes_by_depth.values() for node in nodes}
    tensors, names = [], []
    for layer in graph.layers:
        if type(layer).__name__ == "InputLayer":
            continue
        nodes = [node for node in layer._inbound_nodes if id(node) in inside]
        for call, node in enumerate(nodes):
            for place, tensor in enumerate(node.outputs):
                tensors.append(tensor)
                names.append((layer.name, call, place))
    return tensors, names
