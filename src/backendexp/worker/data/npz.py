"""Reads the user's own arrays x_train, y_train, x_test and y_test from an .npz file of NumPy."""

from dataclasses import dataclass
from typing import Optional

from ..arrays import Dataset
from ..settings import Data, planned, setting

TASK = None  # the labels in the file decide
LABELS_ARE_CHANCE = False


@dataclass
class Settings(Data):
    """The settings of the user's own arrays.

    path: the path of the .npz file. It is absolute in a plan.
    """

    kind: str = "npz"
    path: Optional[str] = setting(None, required="a file", example="data.path=my-data.npz")
    samples: Optional[int] = planned("its sizes from the file")
    features: Optional[int] = planned("its sizes from the file")
    test_samples: Optional[int] = planned("its sizes from the file")


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
