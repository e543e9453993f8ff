"""Initial weights that are the same on every backend, so that the numbers of the examples can be compared.

Each backend of Keras draws its own random numbers, even from the same seed. NumPy draws the same everywhere.
"""

import numpy as np


def draw_weights(model, seed=0):
    """Replace the matrices and kernels of a model by numbers that NumPy draws.

    Their distribution is Keras's default, `glorot_uniform`. Vectors stay as they are, because Keras starts
    biases with zeros and scales with ones.
    """
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        if len(weight.shape) > 1:
            *window, inputs, outputs = weight.shape
            limit = np.sqrt(6 / ((inputs + outputs) * np.prod(window)))
            weight.assign(rng.uniform(-limit, limit, weight.shape))
