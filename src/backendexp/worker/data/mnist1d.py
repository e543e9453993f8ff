"""Draws sequences of 40 steps in 10 classes, which tell linear, dense and spatial models apart.

The idea and the steps are those of Greydanus, Scaling down deep learning (2020), https://arxiv.org/abs/2011.14439.
The templates are our own, so the numbers of the paper cannot be compared with those of these data.
"""

from dataclasses import dataclass

from .. import tasks
from ..settings import Data, setting

LABELS_ARE_CHANCE = False

# One template a class, of 12 points. Each has a near relative, so that its height alone does not tell.
_TEMPLATES = (
    (1, 3, 5, 6, 6, 4, 4, 6, 6, 5, 3, 1),  # two humps
    (1, 3, 4, 5, 6, 6, 6, 6, 5, 4, 3, 1),  # one hump
    (1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 1),  # a slow rise and a fast fall
    (1, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1),  # a fast rise and a slow fall
    (6, 5, 4, 3, 2, 1, 1, 2, 3, 4, 5, 6),  # a valley
    (6, 5, 2, 2, 5, 6, 6, 5, 2, 2, 5, 6),  # two valleys
    (5, 6, 5, 3, 1, -1, -1, 1, 1, -1, -3, -4),  # down over a step
    (-4, -3, -1, 1, 1, -1, -1, 1, 3, 5, 6, 5),  # up over a step
    (4, 6, 4, 0, -4, -6, -4, 0, 2, 3, 2, 1),  # a wave that becomes weaker
    (1, 2, 3, 2, 0, -4, -6, -4, 0, 4, 6, 4),  # a wave that becomes stronger
)
_HEIGHT = 6.0
_LEAST_PADDING, _MOST_PADDING = 36, 60
_LONG, _STEPS = 12 + _MOST_PADDING, 40
_SHIFTS = 48
_SCALE, _SHEAR, _FINE_NOISE = 0.4, 0.75, 0.02


@dataclass
class Settings(Data):
    """The settings of sequences that are drawn from templates.

    samples, test_samples: the number of sequences for training and for testing.
    noise: the standard deviation of the noise before it is smoothed. The templates have a height of 1.
    """

    kind: str = "mnist1d"
    samples: int = setting(4000, low=1, high=10**9, example="data.samples=1000")
    test_samples: int = setting(1000, low=1, high=10**9, example="data.test_samples=500")
    noise: float = setting(0.25, low=0, high=100, example="data.noise=0.1")

    SIZED = True

    def sample_shape(self):
        return (_STEPS, 1)

    def size_bytes(self):
        return 4 * (self.samples + self.test_samples) * (_STEPS + 1)


def task(data):
    return tasks.multiclass(10)


def make(data, seed):
    """Return a Dataset.

    x_train, x_test: float32, shape (samples, 40, 1).
    y_train, y_test: int32, shape (samples, 1), the classes 0 to 9.
    """
    import numpy

    from ..arrays import Dataset

    draw = numpy.random.RandomState(seed)
    x_train, y_train = _sequences(draw, data["samples"], data["noise"])
    x_test, y_test = _sequences(draw, data["test_samples"], data["noise"])
    return Dataset(x_train, y_train, x_test, y_test)


def _sequences(draw, samples, noise):
    """Draw sequences and their classes.

    A template is padded and stretched to 72 points, scaled, shifted around, sheared, and made noisy. Then 40
    points are taken. Only operations that every version of numpy rounds alike are used.
    """
    import numpy

    classes = draw.randint(len(_TEMPLATES), size=samples)
    lengths = 12 + draw.randint(_LEAST_PADDING, _MOST_PADDING + 1, size=samples)
    scales = 1 + _SCALE * (draw.random_sample(samples) - 0.5)
    shifts = draw.randint(_SHIFTS, size=samples)
    shears = _SHEAR * (draw.random_sample(samples) - 0.5)

    padded = numpy.zeros((len(_TEMPLATES), _LONG + 1))
    padded[:, :12] = numpy.array(_TEMPLATES) / _HEIGHT
    points = numpy.arange(_LONG)
    stretched = _between(padded[classes], points * ((lengths - 1) / (_LONG - 1.0))[:, None])
    x = stretched * scales[:, None]
    x = x[numpy.arange(samples)[:, None], (points - shifts[:, None]) % _LONG]
    x = x + noise * _smoothed(draw.normal(size=x.shape))
    x = x - shears[:, None] * (points / (_LONG - 1.0) - 0.5)
    x = x + _FINE_NOISE * draw.normal(size=x.shape)
    last = numpy.concatenate([x, x[:, -1:]], axis=1)  # so that the last point has a next one
    taken = numpy.arange(_STEPS) * ((_LONG - 1.0) / (_STEPS - 1))
    x = _between(last, numpy.broadcast_to(taken, (samples, _STEPS)))
    return x.astype("float32")[:, :, None], classes.astype("int32")[:, None]


def _between(values, places):
    """Return the values at places between the points, by linear interpolation.

    values: shape (samples, points). places: shape (samples, wanted), from 0 to below points - 1.
    """
    import numpy

    left = places.astype("int64")
    share = places - left
    rows = numpy.arange(len(values))[:, None]
    return (1 - share) * values[rows, left] + share * values[rows, left + 1]


def _smoothed(noise):
    """Smooth each row, nearly as a Gaussian filter with a standard deviation of two points does."""
    import numpy

    for _ in range(4):
        pairs = 4 * (numpy.roll(noise, 1, axis=1) + numpy.roll(noise, -1, axis=1))
        ends = numpy.roll(noise, 2, axis=1) + numpy.roll(noise, -2, axis=1)
        noise = (6 * noise + pairs + ends) / 16
    return noise
