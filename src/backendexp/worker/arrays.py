"""Defines the arrays of one run, and describes them for the record."""

import collections
import hashlib

# x_train, x_test: float32, shape (samples, features). y_train, y_test: float32, shape (samples, 1).
Dataset = collections.namedtuple("Dataset", "x_train y_train x_test y_test")


def describe_labels(y):
    """Describe labels. This shows whether they are all of one class, and whether accuracy counts all of them.

    y: the labels, at least one.
    """
    return {
        "low": float(y.min()),
        "high": float(y.max()),
        "zeros_and_ones": bool(((y == 0) | (y == 1)).all()),
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
