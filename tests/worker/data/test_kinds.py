"""What every kind of data has, and that both Pythons make the same arrays of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backendexp.config import bundled, labels
from backendexp.worker import contract, data, tasks

# The user's own data depend on a file or on code.
MADE = [name for name in data.kinds() if name not in ("npz", "custom")]
SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
sys.modules["sklearn"] = sys.modules["mlxtend"] = sys.modules["pandas"] = None
from worker import arrays, data

found = {}
for order in json.loads(sys.argv[2]):
    for seed in (0, 1, 2 ** 32 - 1):
        made = data.make_data(order, seed)
        found["%s %d" % (order["kind"], seed)] = [
            (name, array.dtype.str, array.shape, arrays.digest([array])) for name, array in arrays.named(made)
        ]
json.dump([sys.version_info[0:2], __import__("numpy").__version__, found], sys.stdout)
"""


def order_of(name: str) -> dict[str, Any]:
    """The `data` part of the order that the worker gets, for the default settings."""
    settings = data.kind(name).Settings()
    return {**settings.to_json(), "file": bundled.file_of(settings)}


def answer_of(python: str) -> list[Any]:
    package = Path(contract.__file__).parents[1]
    answer = subprocess.run(
        [python, "-E", "-c", SCRIPT, str(package), json.dumps([order_of(name) for name in MADE])],
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    found: list[Any] = json.loads(answer.stdout)
    return found


def test_python_3_7_makes_the_very_same_data(keras2_python: str) -> None:
    old, new = map(answer_of, (keras2_python, sys.executable))
    assert old[0] == [3, 7]
    assert (old[1].split(".")[0], new[1].split(".")[0]) == ("1", "2")
    assert old[2] == new[2]


@pytest.mark.parametrize("name", MADE)
def test_labels_are_what_the_task_of_the_kind_says(name: str) -> None:
    kind = data.kind(name)
    made = data.make_data(order_of(name), 0)
    task = kind.task(order_of(name))
    assert tasks.of_labels(made.y_train, made.y_test) == task
    assert kind.Settings().sample_shape() == made.x_train.shape[1:]
    described = labels.of_kind(kind, task)
    assert described.within(*sorted((described.low, described.high)))
    for y in (made.y_train, made.y_test):
        assert described.low <= y.min()
        assert y.max() <= described.high


@pytest.mark.parametrize("name", MADE)
def test_labels_of_a_kind_suit_the_loss_that_auto_stands_for(name: str) -> None:
    kind = data.kind(name)
    task = kind.task(order_of(name))
    loss = tasks.loss_of(task)
    labels.check("y_train", labels.of_kind(kind, task), loss, tasks.activation_of(task, loss))


def test_random_labels_are_drawn_from_all_classes_alike() -> None:
    order = {**order_of("random"), "samples": 20_000, "features": 1, "classes": 10}
    made = data.make_data(order, 0)
    task = data.task_of(order, made, "auto")
    assert (task.kind, task.classes) == (tasks.MULTICLASS, 10)
    times = [int((made.y_train == label).sum()) for label in range(10)]
    assert sum(times) == 20_000
    # Five standard deviations of a count with probability 0.1 are 5 * (20,000 * 0.1 * 0.9) ** 0.5 = 212.
    assert all(abs(count - 2000) < 212 for count in times)
