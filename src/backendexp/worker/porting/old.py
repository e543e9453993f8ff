"""Computes the outputs of the layers of an old model, with the real Keras 2.3.1."""

import numpy

from . import custom_objects, layers_of


def outputs(task):
    """Compute the outputs of all layers.

    task: config: the architecture as JSON. weights: the path of the HDF5 file. custom: the path of the user's
        file, or None. inputs: the path of the inputs. result: the path that the outputs are written to.
        probes: how often everything is computed again with inputs and weights that are one rounding away.
        tf_keras: whether `keras` is tf.keras in this process.
    Returns the fields of the event: layers, a list with the name and the shape of each output, `grown`, the
    greatest distance of a probe, and the key of its mask, or None.
    """
    import keras

    custom = custom_objects(task["custom"])
    if task["tf_keras"]:
        # tf.keras 1.14 has this layer, and does not find it by its name.
        custom.setdefault("Attention", keras.layers.Attention)
    model = keras.models.model_from_json(task["config"], custom_objects=custom)
    model.load_weights(_readable(task["weights"], task["result"] + ".h5"))
    arrays = layers_of.read(task["inputs"])
    tensors, names, masks = _tensors(model)
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
    for number, (entry, distance, mask) in enumerate(zip(said, grown, masks)):
        entry["grown"] = distance
        entry["mask"] = None if mask is None else "m%d" % number
    kept.update(_values_of_masks(model, masks, arrays))
    numpy.savez(task["result"], **kept)
    return {"layers": said}


def _readable(path, copy):
    """Return the path of a file of weights that Keras 2.3.1 can read: the same, or a copy.

    If two weights of a layer have one name, Keras 2.3.1 saves the names as text, and cannot read them again.
    Nor can it read the texts of later versions. tf.keras takes a file for HDF5 after the end of its name.
    """
    import shutil

    import h5py

    with h5py.File(path, "r") as file:
        group = file.get("model_weights", file)
        texts = [
            name
            for name in group
            if any(isinstance(one, str) for one in group[name].attrs.get("weight_names", ()))
        ]
        plain = not texts and not any(isinstance(one, str) for one in _attributes(file, group))
    if plain and path.endswith(".h5"):
        return path
    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        group = file.get("model_weights", file)
        for name in texts:
            attributes = group[name].attrs
            attributes["weight_names"] = [str(one).encode("utf-8") for one in attributes["weight_names"]]
        for place in (file, group):
            for name in ("keras_version", "backend"):
                if isinstance(place.attrs.get(name), str):
                    place.attrs[name] = place.attrs[name].encode("utf-8")
        names = group.attrs.get("layer_names", ())
        if any(isinstance(one, str) for one in names):
            group.attrs["layer_names"] = [str(one).encode("utf-8") for one in names]
    return copy


def _attributes(file, group):
    """Return the attributes of a file that Keras 2.3.1 reads as bytes."""
    found = [place.attrs.get(name) for place in (file, group) for name in ("keras_version", "backend")]
    return found + list(group.attrs.get("layer_names", ()))


def _tensors(model):
    """Return the outputs of all layers of the model, the name of each, and the mask of each or None."""
    tensors, names, masks = [], [], []
    for layer in model.layers:
        if type(layer).__name__ == "InputLayer":
            continue
        call = 0
        for number, node in enumerate(layer._inbound_nodes):
            if "%s_ib-%d" % (layer.name, number) not in model._network_nodes:
                continue
            outputs = node.output_tensors
            for place, tensor in enumerate(outputs if isinstance(outputs, (list, tuple)) else [outputs]):
                tensors.append(tensor)
                names.append((layer.name, call, place))
                masks.append(_mask(node, place, tensor))
            call += 1
    return tensors, names, masks


def _mask(node, place, tensor):
    """Return the mask of an output or None. tf.keras keeps it at the tensor, Keras at the call."""
    if not hasattr(node, "output_masks"):
        return getattr(tensor, "_keras_mask", None)
    return node.output_masks[place] if place < len(node.output_masks) else None


def _values_of_masks(model, masks, arrays):
    """Return the masks of one batch, by their keys."""
    from keras import backend

    numbers = [number for number, mask in enumerate(masks) if mask is not None]
    if not numbers:
        return {}
    # A mask may depend on the phase, as that of a layer with dropout before it.
    compute = backend.function(
        list(model.inputs) + [backend.learning_phase()],
        [backend.cast(masks[one], "float32") for one in numbers],
    )
    values = compute(list(arrays) + [0])
    return {"m%d" % number: numpy.asarray(value) > 0.5 for number, value in zip(numbers, values)}


def _moved(array, stream):
    """Move each number by one rounding, up or down, except for whole numbers.

    Those are often indices, or the value that masks a step.
    """
    if array.dtype.kind != "f":
        return array
    signs = stream.randint(2, size=array.shape) * 2 - 1
    moved = (array + signs * numpy.spacing(array)).astype(array.dtype)
    return numpy.where(array == numpy.rint(array), array, moved)
