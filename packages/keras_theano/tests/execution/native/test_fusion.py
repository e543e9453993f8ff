"""One loop computes what can be computed together, in an order in which all parts exist."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt

from keras_theano.execution.native.fusion import Plan, grouped
from keras_theano.execution.native.memory import bytes_of, placed
from keras_theano.execution.native.work import LEAVES
from oracles.native import lowered

X = np.zeros((4, 3), "float32")


def planned(function: Callable[..., Any], *arrays: Any) -> Plan:
    lowering, views = lowered(function, *arrays)
    return grouped(views, lowering.checks, [])


def assert_in_order(plan: Plan) -> None:
    done: set[Any] = set()
    for group in plan.groups:
        for value in group.values:
            for part in value.parts:
                assert isinstance(part.value.work, LEAVES) or part.value in done
            done.add(value)


def test_chain_of_elementwise_operations_is_one_group_and_stores_only_its_end() -> None:
    plan = planned(lambda x: pt.exp(x * 2 + 1), X)
    assert len(plan.groups) == 1
    (group,) = plan.groups
    assert plan.stored() & set(group.values) == {group.values[-1]}


def test_reduction_joins_the_loop_that_computes_its_part() -> None:
    plan = planned(lambda x: pt.exp(x).sum(axis=1), X)
    assert len(plan.groups) == 1


def test_softmax_is_three_loops() -> None:
    plan = planned(lambda x: pt.special.softmax(x, axis=1), X)
    assert len(plan.groups) == 3
    assert_in_order(plan)


def test_value_does_not_join_a_group_that_must_wait_for_its_other_parts() -> None:
    plan = planned(lambda x: pt.exp(x) + pt.exp(x).sum(axis=0) + pt.dot(pt.exp(x), pt.exp(x).T).sum(), X)
    assert_in_order(plan)
    assert len(plan.groups) > 2


def test_array_is_replaced_in_place_only_after_all_that_read_it() -> None:
    _, (old, new, *others) = lowered(lambda w, x: [w, w * 2 + x, (w * x).sum(), pt.dot(w, x.T)], X, X)
    plan = grouped(others, [], [(old.value, new)])
    assert plan.in_place == {new.value: old.value}
    values = [(n, value) for n, group in enumerate(plan.groups) for value in group.values]
    readers = [n for n, value in values if old.value in [part.value for part in value.parts]]
    assert [n for n, value in values if value is new.value] >= [max(readers)]


def test_array_that_is_read_in_another_order_is_not_replaced_in_place() -> None:
    square = np.zeros((3, 3), "float32")
    _, (old, new) = lowered(lambda w: [w, w + w.T], square)
    plan = grouped([], [], [(old.value, new)])
    assert plan.in_place == {}
    assert [view.value for view in plan.results] == [new.value]


def test_array_is_not_replaced_before_a_check_has_passed() -> None:
    indices = np.zeros(2, "int64")
    _, (old, new, picked) = lowered(lambda w, i: [w, w * 2, w[i]], X, indices)
    plan = grouped([picked], [], [(old.value, new)])
    assert plan.in_place
    order = [value for group in plan.groups for value in group.values]
    assert order.index(picked.value) < order.index(new.value)


def test_values_that_are_needed_at_the_same_time_do_not_share_memory() -> None:
    def chain(x: Any, y: Any) -> Any:
        for _ in range(6):
            x, y = pt.dot(x, y), pt.dot(y, x) + x.sum(axis=0)
        return [x, y]

    square = np.zeros((8, 8), "float32")
    plan = planned(chain, square, square)
    assert_in_order(plan)
    places = placed(plan)
    alive: dict[Any, int] = {}
    for time, group in enumerate(plan.groups):
        for value in group.values:
            alive.update({part.value: time for part in value.parts if part.value in places.starts})
    alive.update({view.value: len(plan.groups) for view in plan.results})
    born = {value: n for n, group in enumerate(plan.groups) for value in group.values}
    for one, start in places.starts.items():
        for other, other_start in places.starts.items():
            if one is other or born[one] > born[other] or alive.get(one, born[one]) < born[other]:
                continue
            assert start + bytes_of(one) <= other_start or other_start + bytes_of(other) <= start
    # Memory is used again: the block is smaller than all values together.
    assert places.size < sum(bytes_of(value) for value in places.starts)
