"""Reads real data from a file of an installed package, and splits them into training and test data.

The worker's Python may lack the package. The parent process therefore finds the file, without importing the
package, and adds its path to the order of the run as `file`.
"""

import collections
import gzip
from dataclasses import dataclass

from .arrays import Dataset
from .settings import Data

# module: the name under which the package is imported. path: the path of the file in its folder.
# package: the name of the package. install: the command that installs it.
File = collections.namedtuple("File", "module path package install")


@dataclass
class Settings(Data):
    """The settings of data that come with a package. A kind also has `samples` and `test_samples`."""

    # The number of rows that the file has.
    ROWS = 0
    # The shape of a sample.
    SHAPE = ()

    def sample_shape(self):
        return self.SHAPE

    def size_bytes(self):
        size = 1
        for length in self.SHAPE:
            size *= length
        return 4 * self.ROWS * (size + 1)

    def fault(self):
        asked = self.samples + self.test_samples
        if asked > self.ROWS:
            return (
                "data.samples is %d and data.test_samples is %d, together %d, but data=%s has %d samples. "
                "Lower one of them, e.g. data.samples=%d data.test_samples=%d"
                % (
                    self.samples,
                    self.test_samples,
                    asked,
                    self.kind,
                    self.ROWS,
                    self.ROWS - self.ROWS // 5,
                    self.ROWS // 5,
                )
            )
        return None


def numbers(path, columns, dtype, header=0):
    """Return the numbers of a CSV file, which may be compressed by gzip. Shape (rows, columns).

    header: the number of lines to skip.
    """
    import numpy

    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        lines = file.read().split(b"\n", header)[-1]
    text = lines.strip().replace(b"\n", b",").decode("ascii")
    return numpy.fromstring(text, dtype=dtype, sep=",").reshape(-1, columns)


def split(x, y, data, seed):
    """Draw the training and the test samples from the seed, without putting any sample into both.

    x, y: arrays with the same number of rows.
    data: the `data` part of the plan, with `samples` and `test_samples`.
    """
    import numpy

    order = numpy.random.RandomState(seed).permutation(len(x))
    train = order[: data["samples"]]
    test = order[data["samples"] :][: data["test_samples"]]
    return Dataset(x[train], y[train], x[test], y[test])
