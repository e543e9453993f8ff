"""Defines the arrays of one run, and describes them for the record."""

import collections
import hashlib

# Each of the four is an array whose first axis counts the samples. A model with several inputs or outputs has
# a tuple or a dict of such arrays instead. Data that backendexp draws have
# x_train, x_test: float32, shape (samples, features). y_train, y_test: float32, shape (samples, 1).
Dataset = collections.namedtuple("Dataset", "x_train y_train x_test y_test")


def leaves(arrays):
    """Return (name, array) for each array of a structure, in a fixed order.

    arrays: an array, which has the name "", or a tuple or a dict of arrays.
    """
    if isinstance(arrays, dict):
        return [(str(name), arrays[name]) for name in sorted(arrays)]
    if isinstance(arrays, (tuple, list)):
        return [(str(number), array) for number, array in enumerate(arrays)]
    return [("", arrays)]


def named(dataset):
    """Return (name, array) for each array of a data set, such as x_train, or x_train_left of a dict."""
    return [
        (part + ("_" + name if name else ""), array)
        for part, arrays in dataset._asdict().items()
        for name, array in leaves(arrays)
    ]


def mapped(function, arrays):
    """Return the structure with `function` applied to each array."""
    if isinstance(arrays, dict):
        return {name: function(array) for name, array in arrays.items()}
    if isinstance(arrays, (tuple, list)):
        # Keras 2 takes several arrays as a list, and Keras 3 as a tuple.
        return (list if isinstance(arrays, list) else tuple)(function(array) for array in arrays)
    return function(arrays)


def with_lists(dataset):
    """Return a data set with lists in place of tuples, which Keras 2 takes for arrays of several."""
    return Dataset(*(list(part) if isinstance(part, tuple) else part for part in dataset))


def rows(arrays):
    """Return the number of samples."""
    return len(leaves(arrays)[0][1])


def sample_shape(x):
    """Return the shape of one sample of x: a tuple of sizes, or a structure of such tuples."""
    return mapped(lambda array: tuple(array.shape[1:]), x)


def describe_labels(y):
    """Describe labels. This shows whether they are all of one class, and whether accuracy counts all of them.

    y: the labels, at least one.
    Returns a dict with
        low, high       the least and the greatest label
        zeros_and_ones  whether there are no other labels
        alike           whether every sample has the same label, or the same row of labels
    """
    return {
        "low": float(y.min()),
        "high": float(y.max()),
        "zeros_and_ones": bool(((y == 0) | (y == 1)).all()),
        "alike": bool((y == y[:1]).all()),
    }


def digest(arrays):
    """Return the SHA-256 of the shapes, dtypes and bytes of the arrays, in hexadecimal."""
    import numpy

    total = hashlib.sha256()
    for array in arrays:
        total.update(("%s%s" % (array.dtype.str, array.shape)).encode())
        # The array is viewed as bytes, because bfloat16 arrays offer no buffer.
        total.update(numpy.ascontiguousarray(array).view(numpy.uint8).data)
    return total.hexdigest()
