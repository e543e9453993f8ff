"""Draws the initial weights of any model from the seed, so that every backend starts from the same ones.

NumPy draws each weight in the order of `get_weights`, by the initializer of the layer that it belongs to.
Weights that the layer makes constant, such as biases, gamma and moving statistics, stay as the layer made
them. Both generations of Keras and all backends give the same arrays, which the digest of a run shows.
"""

import numpy

# The standard deviation of a normal distribution that is cut off at two standard deviations, before the cut.
# Keras divides by it, so that the cut distribution has the variance that was asked for.
_CUT_NORMAL_STDDEV = 0.87962566103423978


def draw(model, seed, probe=0):
    """Return new weights for the model in the order of `model.get_weights()`.

    model: a built Keras model.
    probe: 0, or the seed of random directions in which every drawn entry is moved by one float32 rounding, up
        or down. The parity check uses this to measure how far apart rounding alone drives two runs.
    """
    stream = numpy.random.RandomState(seed)
    direction = numpy.random.RandomState(probe)
    new = []
    for name, initializer, value in _weights(model):
        if _is_constant(value):
            new.append(value)
            continue
        drawn = _drawn(stream, name, initializer, value.shape).astype(numpy.float32)
        if probe:
            signs = direction.randint(2, size=drawn.shape) * 2 - 1
            drawn = (drawn + signs * numpy.spacing(drawn)).astype(numpy.float32)
        new.append(drawn)
    return new


def _is_constant(value):
    """Return whether a weight is not random: all its entries are alike, or it holds whole numbers.

    The bias of an LSTM holds zeros and ones. A random weight with so few entries that all are zeros or ones
    does not occur.
    """
    whole = value.dtype.kind in "iub"
    return whole or bool(((value == 0) | (value == 1)).all() or (value == value.flat[0]).all())


def _weights(model):
    """Return (name, initializer or None, value) of each weight, in the order of `model.get_weights()`."""
    initializers = {}
    for layer in layers_of(model):
        for weight in _own_weights(layer):
            initializers.setdefault(id(weight), getattr(layer, _short(weight) + "_initializer", None))
    return [
        (_short(weight), initializers.get(id(weight)), value)
        for weight, value in zip(model.weights, model.get_weights())
    ]


def _own_weights(layer):
    # In Keras 3, the weights of a layer include those of the layers in it. The inner layer is asked first.
    return list(layer.weights)


def _short(weight):
    """Return the name of a weight in its layer, such as kernel. Keras 2 gives it as dense_1/kernel:0."""
    return weight.name.split("/")[-1].split(":")[0]


def layers_of(model):
    """Return all layers in a model, the inner ones before those that contain them."""
    found = []

    def visit(layer):
        inner = list(getattr(layer, "_layers", None) or getattr(layer, "layers", None) or [])
        inner += [
            getattr(layer, name)
            for name in ("layer", "cell", "forward_layer", "backward_layer")
            if hasattr(layer, name)
        ]
        inner += list(getattr(layer, "cells", None) or [])
        for one in inner:
            if one is not layer and hasattr(one, "weights") and not any(one is known for known in found):
                visit(one)
        if not any(layer is known for known in found):
            found.append(layer)

    visit(model)
    return found


def _drawn(stream, name, initializer, shape):
    """Draw a weight by the layer's initializer, or by Keras's default if the layer has none of this name."""
    kind = type(initializer).__name__
    if kind == "Orthogonal" or (initializer is None and name == "recurrent_kernel"):
        return _orthogonal(stream, shape, getattr(initializer, "gain", 1.0))
    if kind == "RandomNormal":
        return stream.normal(initializer.mean, initializer.stddev, shape)
    if kind == "TruncatedNormal":
        return _cut_normal(stream, initializer.mean, initializer.stddev, shape)
    if kind == "RandomUniform":
        return stream.uniform(initializer.minval, initializer.maxval, shape)
    if initializer is None and name == "embeddings":
        return stream.uniform(-0.05, 0.05, shape)
    scale = getattr(initializer, "scale", 1.0)
    mode = getattr(initializer, "mode", "fan_avg")
    distribution = getattr(initializer, "distribution", "uniform")
    fan_in, fan_out = fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}[mode]
    variance = scale / max(1.0, fan)
    if distribution == "uniform":
        limit = (3.0 * variance) ** 0.5
        return stream.uniform(-limit, limit, shape)
    if distribution == "untruncated_normal":
        return stream.normal(0.0, variance**0.5, shape)
    return _cut_normal(stream, 0.0, variance**0.5 / _CUT_NORMAL_STDDEV, shape)


def fans(shape):
    """Return the numbers of inputs and outputs of one unit, as Keras counts them.

    A kernel of a convolution has the shape (*window, inputs, outputs).
    """
    if len(shape) == 1:
        return float(shape[0]), float(shape[0])
    window = 1.0
    for size in shape[:-2]:
        window *= size
    return window * shape[-2], window * shape[-1]


def _cut_normal(stream, mean, stddev, shape):
    """Draw from a normal distribution; numbers beyond two standard deviations are drawn again."""
    drawn = stream.normal(size=shape)
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
    square = stream.normal(size=(max(rows, columns), min(rows, columns)))
    q, r = numpy.linalg.qr(square)
    q = q * numpy.sign(numpy.diag(r))
    return gain * (q if rows >= columns else q.T).reshape(shape)
