"""Shapes become numbers, and views cost nothing."""

from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest

from keras_theano.execution.native.fortran import layout
from keras_theano.execution.native.work import (
    Assembly,
    Elementwise,
    Given,
    Product,
    Reduction,
    Uncovered,
    View,
)
from oracles.native import lowered

X = np.zeros((4, 3), "float32")


def test_transposition_slice_and_new_axis_are_views_of_the_given_array() -> None:
    _, (view,) = lowered(lambda x: x.T[1:, ::-2][:, None], X)
    assert isinstance(view.value.work, Given)
    assert (view.offset, view.shape, view.strides) == (1 + 3 * 3, (2, 1, 2), (1, 0, -6))


def test_size_is_a_number_and_needs_no_work() -> None:
    _, (view,) = lowered(lambda x: pt.zeros((x.shape[0], 2)) + x.shape[1].astype("float64"), X)
    assert view.shape == (4, 2)
    assert all(part.value.size == 1 for part in view.value.parts)


def test_reshape_copies_only_what_does_not_lie_in_order() -> None:
    _, (kept, copied) = lowered(lambda x: [x.reshape((2, 6)), x.T.reshape((12,))], X)
    assert isinstance(kept.value.work, Given)
    assert not isinstance(copied.value.work, Given)


def test_equal_work_is_done_once() -> None:
    _, (one, other) = lowered(lambda x: [pt.exp(x) + 1, pt.exp(x) + 1], X)
    assert one.value is other.value


def test_join_fills_everything_and_copies_nothing_first() -> None:
    _, (view,) = lowered(lambda x: pt.concatenate([x, x * 2], axis=1), X)
    assert view.value.work == Assembly(((0, (6, 1)), (3, (6, 1))), add=False, complete=True)


def test_writing_all_of_an_array_copies_nothing() -> None:
    def function(x: Any) -> Any:
        zeros = pt.zeros((1, *x.shape), "float32")
        return [pt.set_subtensor(zeros[0], x), pt.inc_subtensor(zeros[0], x)]

    _, (replaced, added) = lowered(function, X)
    assert isinstance(replaced.value.work, Given)
    assert added.value.work == Elementwise("add")
    assert replaced.shape == added.shape == (1, 4, 3)


def test_reduction_of_nothing_is_its_neutral_number() -> None:
    empty = np.zeros((0, 3), "float32")
    _, (total, product) = lowered(lambda x: [x.sum(axis=0), x.prod(axis=0)], empty)
    assert [view.value.work.array for view in (total, product)] == [0, 1]
    with pytest.raises(Uncovered, match="maximum of nothing"):
        lowered(lambda x: x.max(axis=0), empty)


def test_sum_of_float32_is_accumulated_in_float64() -> None:
    _, (view,) = lowered(lambda x: x.sum(axis=0), X)
    assert view.value.work == Reduction("add", (0,), "float64")
    assert view.dtype == "float32"


def test_product_takes_transposed_factors_as_they_are() -> None:
    _, (view,) = lowered(lambda x, y: pt.dot(x.T, y.T), X, np.zeros((5, 4), "float32"))
    assert isinstance(view.value.work, Product)
    assert [layout(part) for part in view.value.parts] == [(True, 3), (True, 4)]


@pytest.mark.parametrize("strides", [(6, 2), (-3, 1), (0, 1), (1, 1)])
def test_matrix_whose_elements_blas_cannot_find_has_no_layout(strides: tuple[int, int]) -> None:
    _, (view,) = lowered(lambda x: x, X)
    assert layout(View(view.value, 0, (2, 2), strides)) is None


def test_unfit_shapes_and_known_indices_outside_are_left_to_the_interpreter() -> None:
    cases: list[Any] = [
        lambda x, y: x + y,
        lambda x, y: pt.concatenate([x, y], axis=1),
        lambda x, y: pt.dot(x, y),
        lambda x, y: x[7],
        lambda x, y: x.reshape((5, 5)),
    ]
    for case in cases:
        with pytest.raises(Uncovered):
            lowered(case, X, np.zeros((2, 3), "float32"))
