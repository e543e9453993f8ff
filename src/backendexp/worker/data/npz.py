"""Reads the user's own arrays from an .npz file of NumPy.

The file has x_train, y_train, x_test and y_test. Several inputs are x_train_NAME and x_test_NAME, and several
outputs y_train_NAME and y_test_NAME. The parent process has checked them (`backendexp.config.npz`).
"""

from dataclasses import dataclass
from typing import Any, Optional

from .. import tasks
from ..arrays import Dataset
from ..settings import Data, planned, setting

LABELS_ARE_CHANCE = False


@dataclass
class Settings(Data):
    """The settings of the user's own arrays.

    path: the path of the .npz file. It is absolute in a plan.
    samples, test_samples: the number of samples for training and for testing.
    features: the number of columns if x has two axes and there is one input; else None.
    shape: the shape of a sample if `features` does not say it, as a list, or a dict of lists by the names of
        the inputs; else None.
    """

    kind: str = "npz"
    path: Optional[str] = setting(None, required="a file", example="data.path=my-data.npz")
    samples: Optional[int] = planned("its sizes from the file")
    features: Optional[int] = planned("its sizes from the file")
    test_samples: Optional[int] = planned("its sizes from the file")
    shape: Optional[Any] = planned("its sizes from the file")

    def to_json(self):
        sizes = ("features", "shape")
        return {
            name: value for name, value in super().to_json().items() if name not in sizes or value is not None
        }

    def sample_shape(self):
        if self.features is not None:
            return (self.features,)
        if isinstance(self.shape, dict):
            return {name: tuple(shape) for name, shape in self.shape.items()}
        return None if self.shape is None else tuple(self.shape)


def task(data):
    return None  # the labels in the file decide


def make(data, seed):
    """Return a Dataset.

    x: int32 if both arrays of an input hold whole numbers, such as the indices of words; else float32.
    y: shape (samples, columns), see `tasks.with_dtype`.
    """
    import numpy

    with numpy.load(data["path"], allow_pickle=False) as arrays:
        x_train, x_test = _parts(arrays, "x", _inputs)
        y_train, y_test = _parts(arrays, "y", _labels)
    return Dataset(x_train, y_train, x_test, y_test)


def _parts(arrays, letter, convert):
    """Return the arrays for training and those for testing: two arrays, or two dicts of arrays by name.

    convert: a function that takes an array for training and its array for testing, and returns both.
    """
    names = {name[: -len(".npy")] if name.endswith(".npy") else name for name in arrays.zip.namelist()}
    train, test = letter + "_train", letter + "_test"
    if train in names:
        return convert(_member(arrays, train), _member(arrays, test))
    endings = sorted(name[len(train) + 1 :] for name in names if name.startswith(train + "_"))
    pairs = {
        ending: convert(*(_member(arrays, start + "_" + ending) for start in (train, test)))
        for ending in endings
        if ending
    }
    return tuple({ending: pair[part] for ending, pair in pairs.items()} for part in (0, 1))


def _inputs(train, test):
    whole = train.dtype.kind in "iu" and test.dtype.kind in "iu"
    return tuple(x.astype("int32" if whole else "float32", copy=False) for x in (train, test))


def _labels(train, test):
    return tasks.with_dtype(*(y.reshape(len(y), -1) for y in (train, test)))


def _member(arrays, name):
    """Return the array that backendexp.config.npz has checked.

    The archive may also hold another file that is called just `name`. numpy reads an array only when it is
    asked for, so the other contents of the archive are not read.
    """
    whole_name = name + ".npy"
    return arrays[whole_name if whole_name in arrays.zip.namelist() else name]
