"""Draws the adding problem, which a model can only learn if it remembers a number over many steps.

Hochreiter and Schmidhuber, Long short-term memory (1997), experiment 4. As in later work, the numbers are
drawn from [0, 1), one of the first and one of the second half of the steps is marked, and the sum is learned.
"""

from dataclasses import dataclass

from .. import tasks
from ..settings import Data, setting

LABELS_ARE_CHANCE = False
LABEL_RANGE = (0.0, 2.0)


@dataclass
class Settings(Data):
    """The settings of the adding problem.

    samples, test_samples: the number of sequences for training and for testing.
    steps: the length of a sequence.
    """

    kind: str = "addition"
    samples: int = setting(4000, low=1, high=10**9, example="data.samples=1000")
    test_samples: int = setting(1000, low=1, high=10**9, example="data.test_samples=500")
    steps: int = setting(40, low=2, high=10**6, example="data.steps=100")

    SIZED = True

    def sample_shape(self):
        return (self.steps, 2)

    def size_bytes(self):
        return 4 * (self.samples + self.test_samples) * (2 * self.steps + 1)


def task(data):
    return tasks.regression()


def make(data, seed):
    """Return a Dataset.

    x_train, x_test: float32, shape (samples, steps, 2): a number, and 1 at the two steps that are marked.
    y_train, y_test: float32, shape (samples, 1), the sum of the two marked numbers. A model that always
        answers 1 has a mean squared error of 1/6.
    """
    import numpy

    from ..arrays import Dataset

    draw = numpy.random.RandomState(seed)
    x_train, y_train = _sequences(draw, data["samples"], data["steps"])
    x_test, y_test = _sequences(draw, data["test_samples"], data["steps"])
    return Dataset(x_train, y_train, x_test, y_test)


def _sequences(draw, samples, steps):
    import numpy

    from .. import drawing

    numbers = drawing.uniform(draw, (samples, steps))
    rows = numpy.arange(samples)
    first = draw.randint(steps // 2, size=samples)
    second = draw.randint(steps // 2, steps, size=samples)
    marks = numpy.zeros_like(numbers)
    marks[rows, first] = marks[rows, second] = 1
    y = numbers[rows, first] + numbers[rows, second]
    return numpy.stack([numbers, marks], axis=2), y[:, None]
