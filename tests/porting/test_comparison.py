"""The outputs of layers are compared to rounding, and the first that differs is found."""

import numpy as np

from backendexp.porting import comparison
from backendexp.porting.comparison import Output

OLD = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)


def rows(new: np.ndarray, mask: np.ndarray | None = None) -> list[comparison.Row]:
    output = Output("dense", 0, 0, OLD, 1e-7, mask)
    return comparison.compare([output], {"new": {("dense", 0, 0): new}}, {"dense": 10})


def test_rounding_is_explained_and_another_slope_is_not() -> None:
    assert rows(OLD + np.float32(2e-7))[0].agrees("new")
    assert not rows(OLD * np.float32(1.001))[0].agrees("new")
    first = comparison.first_that_differs(rows(OLD * np.float32(1.001)), "new")
    assert first is not None
    assert first.output.title == "dense"


def test_output_of_another_shape_differs() -> None:
    assert rows(OLD[:, :3])[0].distances == {"new": None}
    assert not rows(OLD[:, :3])[0].agrees("new")


def test_lone_nan_is_infinitely_far_away() -> None:
    new = OLD.copy()
    new[0, 0] = np.nan
    assert rows(new)[0].distances == {"new": float("inf")}


def test_numbers_that_are_not_finite_prove_nothing() -> None:
    output = Output("dense", 0, 0, np.array([np.nan], "float32"), 0.0)
    row = comparison.compare([output], {"new": {("dense", 0, 0): output.value}}, {})[0]
    assert row.agrees("new")
    assert not row.finite


def test_masked_steps_do_not_count_within_the_model() -> None:
    mask = np.array([[True, True, False, False]] * 3)
    row = rows(np.where(mask, OLD, np.float32(0)), mask)[0]
    assert row.agrees("new")
    assert row.only_masked("new")
    assert not rows(np.where(mask, OLD, np.float32(0)))[0].agrees("new")


def test_bound_grows_along_the_layers() -> None:
    outputs = [Output(name, 0, 0, OLD, 1e-7) for name in ("a", "b")]
    first, second = comparison.compare(outputs, {}, {"a": 10, "b": 10})
    assert second.bound == 2 * first.bound


def test_recurrent_layer_makes_its_errors_at_each_step() -> None:
    once = comparison.errors_of_layer([(16, 4)], 7, recurrent=False)
    assert once == 4 + 8
    assert comparison.errors_of_layer([(16, 4)], 7, recurrent=True) == 7 * once
