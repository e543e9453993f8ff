"""Draws the tutorial's data: x is uniform on [0, 1), and the labels are coin flips that cannot be learned.

With more than two classes, the labels are drawn from all of them with equal probability.
"""

from dataclasses import dataclass

from .. import rows, tasks
from ..settings import setting

LABELS_ARE_CHANCE = True


@dataclass
class Settings(rows.Settings):
    """The settings of drawn rows, and
    classes: the number of classes.
    """

    kind: str = "random"
    classes: int = setting(2, low=2, high=10**6, example="data.classes=10")


def task(data):
    return tasks.of_classes(data["classes"])


def make(data, seed):
    from .. import drawing

    classes = data["classes"]
    dtype = "float32" if classes == 2 else "int32"
    return drawing.dataset(
        data, seed, lambda _: lambda draw, x: draw.randint(classes, size=(len(x), 1)).astype(dtype)
    )
