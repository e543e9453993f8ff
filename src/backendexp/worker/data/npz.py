"""Reads the user's own arrays x_train, y_train, x_test and y_test from an .npz file of NumPy."""

from ..arrays import Dataset

DRAWN = False
LABELS_ARE_CHANCE = False


def make(data, seed):
    import numpy

    with numpy.load(data["path"], allow_pickle=False) as arrays:
        x_train, x_test = (_member(arrays, name) for name in ("x_train", "x_test"))
        y_train, y_test = (_member(arrays, name).reshape(-1, 1) for name in ("y_train", "y_test"))
    return Dataset(x_train, y_train, x_test, y_test)


def _member(arrays, name):
    """Return the array that backendexp.config.npz has checked.

    The archive may also hold another file that is called just `name`. numpy reads an array only when it is
    asked for, so the other contents of the archive are not read.
    """
    whole_name = name + ".npy"
    array = arrays[whole_name if whole_name in arrays.zip.namelist() else name]
    return array.astype("float32", copy=False)
