"""The settings of data that are rows of numbers, which are drawn from the seed."""

from dataclasses import dataclass

from .settings import Data, setting


@dataclass
class Settings(Data):
    """The settings of drawn rows.

    samples, test_samples: the number of rows for training and for testing.
    features: the number of columns of x.
    """

    samples: int = setting(1000, low=1, high=10**9, example="data.samples=100")
    features: int = setting(20, low=1, high=10**9, example="data.features=100")
    test_samples: int = setting(100, low=1, high=10**9, example="data.test_samples=100")

    SIZED = True

    def sample_shape(self):
        return (self.features,)

    def size_bytes(self):
        return 4 * (self.samples + self.test_samples) * (self.features + 1)
