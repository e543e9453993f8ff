"""Draws arrays from the seed.

The streams of NumPy's legacy RandomState are frozen, so that numpy 1.16 and 2.x give the same numbers
(https://numpy.org/neps/nep-0019-rng-policy.html).
"""

import numpy

from .arrays import Dataset


def dataset(data, seed, make_labels_of):
    """Draw a Dataset of the sizes in `data`.

    make_labels_of: a function that takes the generator of random numbers. It returns a function that takes
        the generator and x, and returns the labels of x.
    """
    draw = numpy.random.RandomState(seed)
    make_labels = make_labels_of(draw)
    x_train = uniform(draw, (data["samples"], data["features"]))
    y_train = make_labels(draw, x_train)
    x_test = uniform(draw, (data["test_samples"], data["features"]))
    y_test = make_labels(draw, x_test)
    return Dataset(x_train, y_train, x_test, y_test)


def uniform(draw, shape):
    """Draw numbers uniformly from [0, 1). Rounding to float32 could give 1, so the number below 1 is used."""
    x = draw.random_sample(shape).astype(numpy.float32)
    return numpy.minimum(x, numpy.float32(1) - numpy.float32(2.0**-24), out=x)
