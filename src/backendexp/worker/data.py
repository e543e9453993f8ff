"""The arrays a run trains on: made from the seed, or read from the user's file.

Drawn with numpy's legacy RandomState, whose streams are frozen: numpy 1.16 and 2.x give the same
numbers (https://numpy.org/neps/nep-0019-rng-policy.html).
"""

import collections
import hashlib

import numpy

Dataset = collections.namedtuple("Dataset", "x_train y_train x_test y_test")


def make_data(data, seed):
    """
    data: the `data` part of the plan; `kind` is random, signal or npz.
    Returns a Dataset: x float32, shape (samples, features); y float32, shape (samples, 1).
    """
    if data["kind"] == "npz":
        return _read(data["path"])
    draw = numpy.random.RandomState(seed)
    make_labels = _coin_flips
    if data["kind"] == "signal":
        make_labels = _learnable_labels(data["features"], data["noise"], draw)
    x_train = _uniform(draw, (data["samples"], data["features"]))
    y_train = make_labels(draw, x_train)
    x_test = _uniform(draw, (data["test_samples"], data["features"]))
    y_test = make_labels(draw, x_test)
    return Dataset(x_train, y_train, x_test, y_test)


def _uniform(draw, shape):
    """Uniform on [0, 1). Rounding to float32 could reach 1, so it stops at the number below."""
    x = draw.random_sample(shape).astype(numpy.float32)
    return numpy.minimum(x, numpy.float32(1) - numpy.float32(2.0**-24), out=x)


def _coin_flips(draw, x):
    return draw.randint(2, size=(len(x), 1)).astype(numpy.float32)


def _learnable_labels(features, noise, draw):
    """Labels that x determines, through a random network of two layers, but for a share `noise` of
    them that is flipped. The median splits the classes, so half of the labels are ones.
    """
    inner = draw.normal(size=(features, 8)) * (12.0 / features) ** 0.5
    outer = draw.normal(size=8)

    def labels(draw, x):
        score = numpy.tanh((x - 0.5).dot(inner)).dot(outer)
        y = score > numpy.median(score)
        flipped = draw.random_sample(len(x)) < noise
        return (y ^ flipped).astype(numpy.float32)[:, None]

    return labels


def _read(path):
    with numpy.load(path, allow_pickle=False) as arrays:
        x_train, x_test = (_member(arrays, name) for name in ("x_train", "x_test"))
        y_train, y_test = (_member(arrays, name).reshape(-1, 1) for name in ("y_train", "y_test"))
    return Dataset(x_train, y_train, x_test, y_test)


def _member(arrays, name):
    """The array that backendexp.config.npz has checked. The archive may also hold a file called just `name`.
    numpy reads an array when it is asked for, so what else is in the archive stays there.
    """
    whole_name = name + ".npy"
    array = arrays[whole_name if whole_name in arrays.zip.namelist() else name]
    return array.astype(numpy.float32, copy=False)


def describe_labels(y):
    """What tells labels of one class, and those that accuracy does not count, from others. y: not empty."""
    return {
        "low": float(y.min()),
        "high": float(y.max()),
        "zeros_and_ones": bool(((y == 0) | (y == 1)).all()),
    }


def digest(arrays):
    """SHA-256 over shapes, dtypes and bytes of the arrays, in hexadecimal."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(("%s%s" % (array.dtype.str, array.shape)).encode())
        # As bytes, because bfloat16 arrays offer no buffer.
        total.update(numpy.ascontiguousarray(array).view(numpy.uint8).data)
    return total.hexdigest()
