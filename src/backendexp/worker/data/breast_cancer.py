"""Provides scikit-learn's breast cancer data: 30 measures of 569 tumours, which are malignant or benign."""

import math
from dataclasses import dataclass

from .. import bundled, tasks
from ..settings import setting

LABELS_ARE_CHANCE = False


@dataclass
class Settings(bundled.Settings):
    """The settings of scikit-learn's breast cancer data.

    samples, test_samples: the number of tumours for training and for testing, which are drawn from the seed.
    """

    kind: str = "breast_cancer"
    samples: int = setting(455, low=1, high=568, example="data.samples=400")
    test_samples: int = setting(114, low=1, high=568, example="data.test_samples=100")

    ROWS = 569
    SHAPE = (30,)
    FILE = bundled.File(
        "sklearn", "datasets/data/breast_cancer.csv", "scikit-learn", "pip install scikit-learn"
    )


def task(data):
    return tasks.binary()


def make(data, seed):
    """Return a Dataset.

    x_train, x_test: float32, shape (samples, 30). Each feature is shifted and scaled by the mean and the
        standard deviation that it has in the training data.
    y_train, y_test: float32, shape (samples, 1), 0 for malignant and 1 for benign.
    """
    rows = bundled.numbers(data["file"], 31, "float64", header=1)
    chosen = bundled.split(rows[:, :30], rows[:, 30:].astype("float32"), data, seed)
    means, deviations = _statistics(chosen.x_train)
    x_train, x_test = (((x - means) / deviations).astype("float32") for x in (chosen.x_train, chosen.x_test))
    return chosen._replace(x_train=x_train, x_test=x_test)


def _statistics(x):
    """Return the mean and the standard deviation of each column. A column without any spread has 1.

    The sums are exact, because different versions of numpy round sums differently.
    """
    import numpy

    means = numpy.array([math.fsum(column) / len(x) for column in x.T.tolist()])
    squares = ((x - means) ** 2).T.tolist()
    deviations = numpy.array([math.sqrt(math.fsum(column) / len(x)) for column in squares])
    return means, numpy.where(deviations > 0, deviations, 1.0)
