"""The network: a multilayer perceptron with one output, in names that both Keras generations have."""

import numpy

# What the two generations call the same loss.
_KERAS2_LOSS_NAMES = {"log_cosh": "logcosh"}


def build_mlp(features, hidden_units, activation, dropout, output_activation):
    """Dense and Dropout for every entry of `hidden_units`, then Dense(1).

    Input: shape (batch, features). Output: shape (batch, 1).
    """
    from keras.layers import Dense, Dropout, Input
    from keras.models import Sequential

    layers = []
    if hasattr(Sequential, "jit_compile"):
        layers.append(Input((features,)))
        shape = {}
    else:  # Keras 2.3 takes the input's shape with the first layer
        shape = {"input_shape": (features,)}
    for units in hidden_units:
        layers.append(Dense(units, activation=activation, **shape))
        layers.append(Dropout(dropout))
        shape = {}
    layers.append(Dense(1, activation=output_activation))
    return Sequential(layers)  # at once: Keras 3 rebuilds the model at every `add`


def compile_model(model, optimizer, learning_rate, loss, generation):
    from keras import optimizers

    # Both generations deserialise by class name; "learning_rate" is the argument of both.
    chosen = optimizers.get(optimizer).__class__(learning_rate=learning_rate)
    if generation == 2:
        loss = _KERAS2_LOSS_NAMES.get(loss, loss)
    model.compile(loss=loss, optimizer=chosen, metrics=["accuracy"])


def draw_weights(features, hidden_units, seed, probe=0):
    """Glorot-uniform kernels (Glorot and Bengio 2010, equation 16) and zero biases, from the seed.

    probe: other than 0, it seeds directions, and every kernel entry is moved by one float32 rounding
        up or down. The parity check uses it to learn how far rounding alone carries.
    Returns float32 arrays in the order of `model.get_weights()`: kernel (in, out), bias (out,), ...
    """
    draw = numpy.random.RandomState(seed)
    direction = numpy.random.RandomState(probe)
    weights = []
    widths = [features] + list(hidden_units) + [1]
    for fan_in, fan_out in zip(widths, widths[1:]):
        limit = (6.0 / (fan_in + fan_out)) ** 0.5
        kernel = draw.uniform(-limit, limit, size=(fan_in, fan_out)).astype(numpy.float32)
        if probe:
            signs = direction.randint(2, size=kernel.shape) * 2 - 1
            kernel = (kernel + signs * numpy.spacing(kernel)).astype(numpy.float32)
        weights += [kernel, numpy.zeros(fan_out, numpy.float32)]
    return weights
