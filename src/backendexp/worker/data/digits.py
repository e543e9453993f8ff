"""Provides the 1,797 handwritten digits of 8 by 8 pixels that come with scikit-learn."""

from dataclasses import dataclass

from .. import bundled, tasks
from ..settings import setting

LABELS_ARE_CHANCE = False


@dataclass
class Settings(bundled.Settings):
    """The settings of scikit-learn's digits.

    samples, test_samples: the number of digits for training and for testing, which are drawn from the seed.
    """

    kind: str = "digits"
    samples: int = setting(1437, low=1, high=1796, example="data.samples=1000")
    test_samples: int = setting(360, low=1, high=1796, example="data.test_samples=300")

    ROWS = 1797
    SHAPE = (8, 8, 1)
    FILE = bundled.File("sklearn", "datasets/data/digits.csv.gz", "scikit-learn", "pip install scikit-learn")


def task(data):
    return tasks.multiclass(10)


def make(data, seed):
    """Return a Dataset.

    x_train, x_test: float32, shape (samples, 8, 8, 1), from 0 to 1. The file has whole numbers up to 16.
    y_train, y_test: int32, shape (samples, 1), the digits 0 to 9.
    """
    rows = bundled.numbers(data["file"], 65, "uint8")
    x = rows[:, :64].reshape(-1, 8, 8, 1).astype("float32") / 16
    return bundled.split(x, rows[:, 64:].astype("int32"), data, seed)
