"""Builds a planned model in Keras 3, gives it its weights, and saves it."""

import json

import numpy

from . import BadCustomFile, custom_objects, optimizer

_OBJECTS = {"initializer": "initializers", "regularizer": "regularizers", "constraint": "constraints"}
_LISTS = (
    "target_shape",
    "dims",
    "noise_shape",
    "output_shape",
    "kernel_size",
    "strides",
    "pool_size",
    "size",
)


def build(task):
    """Build and save a model.

    task: plan: the path of the plan, see `backendexp.porting.plan`. weights: the path of its weights.
        custom: the path of the user's file, or None. target: the path of the .keras file.
    Returns the fields of the event: parameters (count), layers (count), compiled (what was carried over).
    """
    with open(task["plan"], encoding="utf-8") as file:
        plan = json.load(file)
    builder = _Builder(custom_objects(task["custom"]))
    with numpy.load(task["weights"], allow_pickle=False) as weights:
        _reserve_names(plan["model"])
        model = builder.model(plan["model"])
        variables = builder.assign(weights)
        said = optimizer.restore(model, plan["training"], variables, weights)
    model.save(task["target"])
    return {"parameters": int(model.count_params()), "layers": len(model.layers), "said": said}


def _reserve_names(plan):
    """Let Keras not choose the name of a planned layer for an operation of its own, as it does for masks."""
    import keras

    for layer in plan["layers"]:
        for piece in layer["pieces"]:
            base, _, number = piece["name"].rpartition("_")
            used = int(number) if base and number.isdigit() else 0
            # It counts the names of each kind from 0: add, add_1, add_2.
            for _ in range(min(used + 1, 10000)):
                keras.backend.get_uid(base if used else piece["name"])
            if piece["model"] is not None:
                _reserve_names(piece["model"])


class _Builder(object):
    """Builds layers and models from a plan.

    custom: what the user's file defines, by name.
    """

    def __init__(self, custom):
        self._custom = custom
        self._filled = []

    def assign(self, weights):
        """Give all layers their weights. Returns the variables by the keys of their weights."""
        found = {}
        for layer, keys, name in self._filled:
            arrays = [weights[key] for key in keys]
            own = list(layer.weights)
            if [tuple(one.shape) for one in own] != [array.shape for array in arrays]:
                raise ValueError(
                    "layer %r has weights of the shapes %s in Keras 3, and %s in the file"
                    % (name, [tuple(one.shape) for one in own], [array.shape for array in arrays])
                )
            layer.set_weights(arrays)
            found.update(zip(keys, own))
        return found

    def model(self, plan):
        import keras

        if plan["sequential"] and plan["layers"] and plan["shape"] is not None:
            inputs = [keras.Input(batch_shape=plan["shape"], dtype=plan["dtype"])]
            chain = [self.layer(piece) for layer in plan["layers"] for piece in layer["pieces"]]
            return keras.Sequential(inputs + chain, name=plan["name"])
        if plan["sequential"]:
            raise ValueError("the file does not say which shape the input has")
        return self._functional(plan)

    def _functional(self, plan):
        import keras

        listed = {layer["name"]: layer for layer in plan["layers"]}
        made = {name: [self.layer(piece) for piece in layer["pieces"]] for name, layer in listed.items()}
        tensors = {}
        for name, layer in listed.items():
            if layer["input"] is not None:
                start = layer["input"]
                tensors[name, 0] = [
                    keras.Input(batch_shape=start["shape"], dtype=start["dtype"], name=start["name"])
                ]
        waiting = [(name, number) for name, layer in listed.items() for number in range(len(layer["calls"]))]
        while waiting:
            left = []
            for name, number in waiting:
                call = listed[name]["calls"][number]
                if all((source[0], source[1]) in tensors for source in call["sources"]):
                    sources = [tensors[source[0], source[1]][source[2]] for source in call["sources"]]
                    tensors[name, number] = self._call(made[name], listed[name], sources, call["arguments"])
                else:
                    left.append((name, number))
            if len(left) == len(waiting):
                raise ValueError("the inputs of layer %r are missing in the file" % left[0][0])
            waiting = left
        ends = [[tensors[end[0], end[1]][end[2]] for end in plan[side]] for side in ("inputs", "outputs")]
        return keras.Model(*[side[0] if len(side) == 1 else side for side in ends], name=plan["name"])

    def _call(self, chain, layer, sources, arguments):
        """Call the layers of a chain one after the other. Returns the outputs of the last as a list."""
        arguments = {
            key: value for key, value in arguments.items() if key == "training" and value is not None
        }
        if layer["recurrent"] and len(sources) > 1:
            states = sources[1 : len(sources) - layer["constants"]]
            value, arguments = sources[0], dict(arguments, initial_state=states)
            if layer["constants"]:
                raise ValueError("layer %r has constants, which Keras 3 does not take" % layer["name"])
        else:
            value = sources[0] if len(sources) == 1 else sources
        for one in chain:
            value = one(value, **arguments)
        return list(value) if isinstance(value, (list, tuple)) else [value]

    def layer(self, piece):
        """Return the layer of a piece, and remember the weights that it will get."""
        import keras

        if piece["model"] is not None:
            made = self.model(piece["model"])
            made.name = piece["name"]
            made.trainable = piece["trainable"]
            return made
        config = {key: self._value(key, value) for key, value in piece["config"].items()}
        for argument, inside in piece["inner"].items():
            config[argument] = self._inside(argument, inside)
        kind = self._custom.get(piece["kind"]) if piece["custom"] else None
        if kind is None or piece["kind"] == "Lambda":
            made = getattr(keras.layers, piece["kind"])(name=piece["name"], **config)
        else:
            if not hasattr(kind, "from_config"):
                raise BadCustomFile("%s in your file is not a subclass of keras.layers.Layer" % piece["kind"])
            with keras.saving.custom_object_scope(self._custom):
                made = kind.from_config(dict(config, name=piece["name"]))
        if not piece["trainable"]:
            made.trainable = False
        if piece["arrays"] is not None:
            self._filled.append((made, piece["arrays"], piece["name"]))
        return made

    def _inside(self, argument, inside):
        if argument == "function":
            return self._custom[inside["kind"]]
        if isinstance(inside, list):
            return [self.layer(one) for one in inside]
        return self.layer(inside)

    def _value(self, key, value):
        """Return an argument of a constructor: objects of Keras for initializers and the like."""
        import keras

        ending = key.rpartition("_")[2]
        if ending in _OBJECTS and value is not None:
            known = getattr(keras, _OBJECTS[ending])
            if isinstance(value, str) and value in self._custom:
                return self._custom[value]
            try:
                with keras.saving.custom_object_scope(self._custom):
                    if isinstance(value, dict) and value["class_name"] in dir(known):
                        return getattr(known, value["class_name"])(**_known_arguments(known, value))
                    return known.get(value)
            except (ValueError, TypeError, KeyError, AttributeError):
                if ending == "initializer":
                    return "zeros"  # the weights of the file replace what it draws
                raise
        if key.endswith("activation") and isinstance(value, str) and value in self._custom:
            return self._custom[value]
        if key in _LISTS and isinstance(value, list):
            return tuple(value)
        return value


def _known_arguments(known, value):
    """Return the arguments of an initializer, a regularizer or a constraint that Keras 3 has too."""
    import inspect

    kind = getattr(known, value["class_name"])
    accepted = inspect.signature(kind.__init__).parameters
    given = {key: entry for key, entry in value["config"].items() if key in accepted}
    if given.get("distribution") == "normal":
        given["distribution"] = "truncated_normal"
    return given
