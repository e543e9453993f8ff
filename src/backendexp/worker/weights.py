"""Draws the initial weights of any model from the seed, so that every backend starts from the same ones.

NumPy draws each weight by the initializer of its layer, in an order that depends on nothing but the structure
of the model. The order of `get_weights` will not do, because it differs between the generations of Keras.
Weights with a constant initializer, such as biases, gamma and moving statistics, stay as the layer made them.
So do weights with an initializer of the user's own. All backends and both generations start from the same
arrays, which the digest of a run shows.
"""

import contextlib

import numpy

# The standard deviation of a normal distribution that is cut off at two standard deviations, before the cut.
# Keras divides by it, so that the cut distribution has the variance that was asked for.
_CUT_NORMAL_STDDEV = 0.87962566103423978

# Up to this many rows, a matrix is made orthogonal in seconds by operations that round alike everywhere.
_MOST_EXACT_ROWS = 512

# The attributes that hold the inner layers of Keras's wrappers, in the order in which they are asked.
_INNER = ("layer", "forward_layer", "backward_layer", "cell")


@contextlib.contextmanager
def watched_initializers():
    """Watch with which initializers layers make their weights, and give them to `draw`.

    Yields a list that receives (weight, initializer) for every weight. Not every layer keeps its initializers
    in attributes: a layer of the user's may pass a word to add_weight.
    """
    from keras import initializers
    from keras.layers import Layer

    made = []
    add_weight = Layer.add_weight

    def watched(self, *args, **kwargs):
        weight = add_weight(self, *args, **kwargs)
        given = kwargs.get("initializer")
        # Keras 2 expects (name, shape, dtype, initializer), and Keras 3 (shape, initializer).
        for argument in args[1:4]:
            if given is None and (isinstance(argument, str) or callable(argument)):
                with contextlib.suppress(ValueError, TypeError):  # the dtype is a word too
                    given = initializers.get(argument)
        if given is None and weight.dtype in ("float16", "bfloat16", "float32", "float64"):
            given = "glorot_uniform"  # the default of Keras 3; Keras 2 has none
        made.append((weight, initializers.get(given)))
        return weight

    Layer.add_weight = watched
    try:
        yield made
    finally:
        Layer.add_weight = add_weight


def draw(model, seed, probe=0, made=()):
    """Return new weights for the model in the order of `model.get_weights()`.

    model: a built Keras model.
    probe: 0, or the seed of random directions in which every entry that is not constant is moved by one
        float32 rounding, up or down. The parity check uses this to measure how far apart rounding alone
        drives two runs.
    made: what `watched_initializers` yielded while the model was built. A weight that is not in it is drawn
        by the attribute of its layer that holds its initializer.
    """
    stream = numpy.random.RandomState(seed)
    direction = numpy.random.RandomState(probe)
    initializers = {id(weight): initializer for weight, initializer in made}
    values = _values(model)
    new = {}
    for layer, weight in _in_order(model):
        initializer = initializers.get(id(weight)) or getattr(layer, _short(weight) + "_initializer", None)
        value = values[id(weight)]
        drawn = _drawn(stream, initializer, value.shape)
        if drawn is not None:
            value = drawn.astype(numpy.float32)
        if probe and (drawn is not None or not _is_constant(value)):
            signs = direction.randint(2, size=value.shape) * 2 - 1
            value = (value + signs * numpy.spacing(value)).astype(value.dtype)
        new[id(weight)] = _as_kept(layer, value) if drawn is not None else value
    return [new[id(weight)] for weight in _in_keras_order(model)]


def current(model):
    """Return the weights of the model as arrays, in the order in which `draw` draws them."""
    values = _values(model)
    return [_as_kept(layer, values[id(weight)]) for layer, weight in _in_order(model)]


def _as_kept(layer, value):
    """Return a weight as its layer keeps it, and a kept weight as all other layers would keep it.

    Keras 2 on Theano convolves with the kernel mirrored, and all others do not mirror it.
    """
    import keras

    if value.ndim < 3 or hasattr(keras, "Variable") or keras.backend.backend() != "theano":
        return value
    if not any(kind.__name__ in ("_Conv", "Conv2DTranspose") for kind in type(layer).__mro__):
        return value
    window = tuple(slice(None, None, -1) for _ in value.shape[:-2])
    return numpy.ascontiguousarray(value[window])


def _values(model):
    """Map the id of each weight to its array."""
    return {id(weight): value for weight, value in zip(_in_keras_order(model), model.get_weights())}


def _in_keras_order(model):
    """Return the weights in the order of `model.get_weights()`."""
    if not hasattr(model, "_trainable_weights"):  # Keras 3
        return list(model.weights)
    # Keras 2 orders `model.weights` otherwise: there, those that are not trained come last.
    weights = model._trainable_weights + model._non_trainable_weights
    return weights + [weight for layer in model.layers for weight in layer.weights]


def _in_order(model):
    """Return (layer, weight) for each weight once, in an order that both generations of Keras share."""
    known, found = set(), []

    def add(layer, weights):
        for weight in weights:
            if id(weight) not in known:
                known.add(id(weight))
                found.append((layer, weight))

    def visit(layer):
        for kind in ("trainable", "non_trainable"):
            # Keras 2 calls them weights, and Keras 3 variables.
            own = getattr(layer, "_%s_weights" % kind, None)
            add(layer, getattr(layer, "_%s_variables" % kind, ()) if own is None else own)
        for inner in layers_in(layer):
            visit(inner)
        add(layer, layer.weights)

    visit(model)
    return found


def layers_in(layer):
    """Return the layers directly inside a layer or a model, in an order that both generations share.

    The layers of a model come in the order of its graph, from its outputs back to its inputs.
    """
    found = []
    candidates = [] if _is_sequential(layer) else _layers_of_graph(layer)
    candidates += [getattr(layer, name, None) for name in _INNER]
    for name in ("cells", "layers", "_layers"):
        candidates += list(getattr(layer, name, None) or [])
    for one in candidates:
        # An operation of Keras 3 is in the graph too, but has no weights.
        if one is not layer and hasattr(one, "weights") and not any(one is known for known in found):
            found.append(one)
    return found


def all_layers(model):
    """Return the model and all layers in it, at any depth, each once."""
    found = []

    def visit(layer):
        if not any(layer is known for known in found):
            found.append(layer)
            for inner in layers_in(layer):
                visit(inner)

    visit(model)
    return found


def _is_sequential(layer):
    return any(kind.__name__ == "Sequential" for kind in type(layer).__mro__)


def _layers_of_graph(model):
    """Return the layers of a functional model, each after the layers that it takes its input from.

    The list is empty if the model has no graph.
    """
    outputs = getattr(model, "outputs", None) or [] if hasattr(model, "layers") else []
    if not all(hasattr(tensor, "_keras_history") for tensor in outputs):
        return []
    found, entered = [], set()
    waiting = [(tensor, False) for tensor in reversed(outputs)]
    while waiting:
        tensor, inputs_are_done = waiting.pop()
        if not hasattr(tensor, "_keras_history"):  # a model of Keras 2 that was written as a class
            return []
        layer, number = tensor._keras_history[:2]
        if inputs_are_done:
            found.append(layer)
            continue
        if layer is None or (id(layer), number) in entered:
            continue
        entered.add((id(layer), number))
        waiting.append((tensor, True))
        nodes = layer._inbound_nodes
        waiting += [(source, False) for source in reversed(list(nodes[number].input_tensors))]
    return found


def _short(weight):
    """Return the name of a weight in its layer, such as kernel. Keras 2 gives it as dense_1/kernel:0."""
    return (weight.name or "").split("/")[-1].split(":")[0]


def _is_constant(value):
    """Return whether all entries are alike or zeros and ones, like an LSTM's bias, or whole numbers."""
    if value.dtype.kind in "iub" or not value.size:
        return True
    return bool(((value == 0) | (value == 1)).all() or (value == value.flat[0]).all())


def _drawn(stream, initializer, shape):
    """Draw a weight as Keras's initializer describes it, or return None if it is not one that draws.

    A class of the user's may do anything, even if it extends one of Keras's.
    """
    kind = type(initializer).__name__
    if type(initializer).__module__.split(".")[0] != "keras":
        return None
    if hasattr(initializer, "distribution"):
        return _scaled(stream, initializer, shape)
    if kind.startswith("Orthogonal"):
        return _orthogonal(stream, shape, initializer.gain)
    if kind == "RandomNormal":
        return numpy.asarray(stream.normal(initializer.mean, initializer.stddev, shape))
    if kind == "TruncatedNormal":
        return _cut_normal(stream, initializer.mean, initializer.stddev, shape)
    if kind == "RandomUniform":
        return numpy.asarray(stream.uniform(initializer.minval, initializer.maxval, shape))
    return None


def _scaled(stream, initializer, shape):
    """Draw with a variance that the numbers of inputs and outputs decide: Keras's VarianceScaling."""
    fan_in, fan_out = fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}[initializer.mode]
    if initializer.distribution == "uniform":
        # Glorot and Bengio (2010), equation 16. A square root of a product of two factors rounds otherwise.
        limit = (3.0 * initializer.scale / max(1.0, fan)) ** 0.5
        return numpy.asarray(stream.uniform(-limit, limit, shape))
    stddev = (initializer.scale / max(1.0, fan)) ** 0.5
    if initializer.distribution == "untruncated_normal":
        return numpy.asarray(stream.normal(0.0, stddev, shape))
    return _cut_normal(stream, 0.0, stddev / _CUT_NORMAL_STDDEV, shape)


def fans(shape):
    """Return the numbers of inputs and outputs of one unit, as Keras 3 counts them.

    A kernel of a convolution has the shape (*window, inputs, outputs).
    """
    if len(shape) < 2:
        return (float(shape[0]),) * 2 if shape else (1.0, 1.0)
    window = 1.0
    for size in shape[:-2]:
        window *= size
    return window * shape[-2], window * shape[-1]


def _cut_normal(stream, mean, stddev, shape):
    """Draw from a normal distribution; numbers beyond two standard deviations are drawn again."""
    drawn = numpy.asarray(stream.normal(size=shape))
    while True:
        beyond = numpy.abs(drawn) > 2
        if not beyond.any():
            return mean + stddev * drawn
        drawn[beyond] = stream.normal(size=int(beyond.sum()))


def _orthogonal(stream, shape, gain):
    """Draw a matrix whose columns, or rows if there are fewer, are orthogonal to each other.

    Saxe, McClelland and Ganguli, Exact solutions to the nonlinear dynamics of learning (2014).
    """
    rows, columns = int(numpy.prod(shape[:-1])), shape[-1]
    found = _orthonormal(stream.normal(size=(min(rows, columns), max(rows, columns))))
    return gain * (found.T if rows >= columns else found).reshape(shape)


def _orthonormal(rows):
    """Make the rows of a matrix orthogonal to each other, and each of them 1 long.

    Modified Gram-Schmidt; Golub and Van Loan, Matrix Computations (2013), section 5.2.8. LAPACK rounds
    differently in every version, and the two generations of Keras have two versions. The operations here
    round alike everywhere, because cumsum adds one number after the other. They take minutes for matrices of
    thousands of rows, so LAPACK does these.
    """
    if len(rows) > _MOST_EXACT_ROWS:
        q, r = numpy.linalg.qr(rows.T)
        return (q * numpy.sign(numpy.diag(r))).T
    for number, row in enumerate(rows):
        row /= numpy.sqrt(numpy.cumsum(row * row)[-1])
        rest = rows[number + 1 :]
        rest -= numpy.cumsum(rest * row, axis=1)[:, -1:] * row
    return rows
