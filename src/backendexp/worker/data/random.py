"""Draws the tutorial's data: x is uniform on [0, 1), and the labels are coin flips that cannot be learned."""

from dataclasses import dataclass

from .. import tasks
from ..settings import Data, setting

TASK = tasks.binary()
LABELS_ARE_CHANCE = True


@dataclass
class Settings(Data):
    """The settings of data that are drawn from the seed.

    samples, test_samples: the number of rows for training and for testing.
    features: the number of columns of x.
    """

    kind: str = "random"
    samples: int = setting(1000, low=1, high=10**9, example="data.samples=100")
    features: int = setting(20, low=1, high=10**9, example="data.features=100")
    test_samples: int = setting(100, low=1, high=10**9, example="data.test_samples=100")

    SIZED = True

    def sample_shape(self):
        return (self.features,)

    def size_bytes(self):
        return 4 * (self.samples + self.test_samples) * (self.features + 1)


def make(data, seed):
    from .. import drawing

    return drawing.dataset(data, seed, lambda draw: _coin_flips)


def _coin_flips(draw, x):
    return draw.randint(2, size=(len(x), 1)).astype("float32")
