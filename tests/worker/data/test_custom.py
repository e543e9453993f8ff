"""What the user's own data may be, and what is said about data that cannot be trained on."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backendexp.worker import user_code
from backendexp.worker.data import custom

HEAD = "import numpy as np\ndef load(seed=5, n=4):\n    x, y = np.ones((n, 3)), np.arange(n) % 2\n"


@pytest.fixture
def load(project: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """load(TEXT, n=6): the data of a function that returns TEXT."""
    monkeypatch.setenv(user_code.FOLDER, str(project))
    monkeypatch.setattr(sys, "path", [*sys.path])

    def make(text: str, **arguments: Any) -> Any:
        (project / "mine.py").write_text(f"{HEAD}    return {text}\n")
        return custom.make({"kind": "custom", "_target_": "mine.py:load", "_source_": None, **arguments}, 7)

    return make


def test_arrays_get_the_dtypes_that_every_backend_has(load: Any) -> None:
    made = load("(x, y), (x.astype('int64'), y)", n=6)
    assert (made.x_train.dtype, made.x_test.dtype) == ("float32", "int32")
    assert made.y_train.shape == (6, 1)
    assert made.y_train.dtype == "float32"


def test_classes_stay_whole_numbers(load: Any) -> None:
    made = load("(x, np.arange(n) % 3), (x, np.arange(n) % 3)", n=9)
    assert made.y_train.dtype == made.y_test.dtype == "int32"


def test_seed_is_passed_because_the_function_asks_for_it(load: Any) -> None:
    assert (load("(x * seed, y), (x, y)").x_train == 7).all()
    assert (load("(x * seed, y), (x, y)", seed=2).x_train == 2).all()


def test_several_inputs_and_outputs_keep_their_structure(load: Any) -> None:
    made = load("((x, x[:, :1]), {'b': y, 'a': x}), ((x, x[:, :1]), {'b': y, 'a': x})")
    assert isinstance(made.x_train, tuple)
    assert [one.shape for one in made.x_train] == [(4, 3), (4, 1)]
    assert list(made.y_train) == ["b", "a"]
    assert {name: one.shape for name, one in made.y_test.items()} == {"b": (4, 1), "a": (4, 3)}


def test_lists_of_numbers_are_one_array(load: Any) -> None:
    made = load("([[1, 2], [3, 4]], [0, 1]), ([[1, 2]], [1])")
    assert made.x_train.shape == (2, 2)
    assert np.array_equal(made.y_test, [[1]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("None", "returned None: expected (x_train, y_train), (x_test, y_test)"),
        ("x, y", "returned a tuple: expected (x_train, y_train), (x_test, y_test)"),
        ("(x, y[:3]), (x, y)", "different numbers of samples: x_train has 4, y_train has 3"),
        ("(x, y), (x[:, :2], y)", "one sample of x_train has the shape (3,), and one of x_test has (2,)"),
        ("(x / [1, 0, 1], y), (x, y)", "x_train holds 4 values that are NaN, infinite or too large"),
        ("(x, y * 1e300), (x, y)", "y_train holds 2 values that are NaN, infinite or too large"),
        ("(x.astype(str), y), (x, y)", "x_train has dtype <U32: expected numbers, e.g. float32"),
        ("(x, np.array([{}] * n)), (x, y)", "y_train has dtype object: expected numbers"),
        ("(x[:0], y[:0]), (x, y)", "x_train has shape (0, 3): expected an array of samples"),
        ("(3, y), (x, y)", "x_train has shape (): expected an array of samples"),
        ("(x.astype('int64') * 2**40, y), (x, y)", "x_train holds whole numbers beyond those of int32"),
        ("({}, y), ({}, y)", "returned an empty dict for x_train"),
        (
            "({'a': x}, y), ({'b': x}, y)",
            "one sample of x_train has the shape {'a': (3,)}, and one of x_test",
        ),
        ("1 / 0", "mine.py:load failed at mine.py, line 4: ZeroDivisionError: division by zero"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_data_that_cannot_be_trained_on_are_explained(load: Any, text: str, message: str) -> None:
    with pytest.raises(user_code.UserCodeError) as raised:
        load(text)
    assert message in str(raised.value)
    assert str(raised.value).startswith("mine.py:load")


def test_arguments_that_the_function_does_not_take_are_named(load: Any) -> None:
    with pytest.raises(
        user_code.UserCodeError, match=r"does not take these arguments: .*'m'.*\(seed=5, n=4\)"
    ):
        load("(x, y), (x, y)", m=1)
