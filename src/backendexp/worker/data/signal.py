"""Draws labels that x determines, except for a share `noise` that is flipped, so a backend can learn them."""

from dataclasses import dataclass

from .. import rows, tasks
from ..settings import setting

LABELS_ARE_CHANCE = False


@dataclass
class Settings(rows.Settings):
    """The settings of drawn rows, and
    noise: the share of the labels that is flipped.
    """

    kind: str = "signal"
    noise: float = setting(0.05, low=0, high=0.5, below=True, example="data.noise=0.1")


def task(data):
    return tasks.binary()


def make(data, seed):
    from .. import drawing

    return drawing.dataset(data, seed, lambda draw: _learnable_labels(data["features"], data["noise"], draw))


def _learnable_labels(features, noise, draw):
    """Return a function that draws labels, which x determines through a random network of two layers.

    A share `noise` of the labels is flipped. The classes are split at the median, so half of the labels are
    ones.
    """
    import numpy

    inner = draw.normal(size=(features, 8)) * (12.0 / features) ** 0.5
    outer = draw.normal(size=8)

    def labels(draw, x):
        score = numpy.tanh((x - 0.5).dot(inner)).dot(outer)
        y = score > numpy.median(score)
        flipped = draw.random_sample(len(x)) < noise
        return (y ^ flipped).astype(numpy.float32)[:, None]

    return labels
