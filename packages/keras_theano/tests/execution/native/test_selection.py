"""The last places of a sort are found without a sort, and are those of a stable one."""

import numpy as np
import pytensor.tensor as pt
import pytest

from oracles.native import native, native_step
from oracles.rows import DTYPES, rows

LENGTHS = (2, 3, 8, 17, 33, 500)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_last_places_are_those_of_a_stable_sort(dtype: str, length: int) -> None:
    x = rows(dtype, length)
    kept = [k for k in (1, 2, 7, 16) if k < length]
    found = native(lambda x: [pt.argsort(x, axis=-1)[:, -k:] for k in kept], x)
    whole = np.argsort(x, axis=-1, kind="stable")
    for k, places in zip(kept, found, strict=True):
        np.testing.assert_array_equal(places, whole[:, -k:])


@pytest.mark.parametrize("order", ["ascending", "descending", "equal"])
def test_rows_that_are_in_order_already(order: str) -> None:
    x = {"ascending": np.arange(100.0), "descending": -np.arange(100.0), "equal": np.zeros(100)}[order]
    (places,) = native(lambda x: [pt.argsort(x)[-5:]], x)
    np.testing.assert_array_equal(places, np.argsort(x, kind="stable")[-5:])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_axis_of_any_layout(axis: int) -> None:
    x = np.random.default_rng(0).integers(0, 9, (9, 10, 20)).astype("float32")
    last = (slice(None),) * axis + (slice(-3, None),)
    (places,) = native(lambda x: [pt.argsort(x.transpose((2, 0, 1))[::-2, :, 1:], axis=axis)[last] * 2], x)
    whole = np.argsort(x.transpose((2, 0, 1))[::-2, :, 1:], axis, kind="stable")
    np.testing.assert_array_equal(places, whole[last] * 2)


def test_other_parts_of_a_sort_are_still_sorted() -> None:
    x = np.random.default_rng(0).normal(size=(4, 50)).astype("float32")
    parts = [np.s_[:, -3:], np.s_[:, :3], np.s_[:, -3:-1], np.s_[:, -1:-4:-1], np.s_[-2:], np.s_[:, -17:]]
    found = native(lambda x: [pt.argsort(x, axis=-1)[part] for part in parts], x)
    whole = np.argsort(x, axis=-1, kind="stable")
    for part, places in zip(parts, found, strict=True):
        np.testing.assert_array_equal(places, whole[part])


def test_many_rows_are_not_left_to_numpy() -> None:
    x = np.random.default_rng(0).normal(size=(100, 1000)).astype("float32")
    step = native_step(lambda x: [pt.argsort(x, axis=-1)[:, -5:]], x)
    np.testing.assert_array_equal(step(x)[0], np.argsort(x, axis=-1, kind="stable")[:, -5:])
    assert step.outside() == {}
