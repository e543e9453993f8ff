"""A file keeps the weights of layers in layers in an order of its own: all that are trained come first."""

from typing import Any

import pytest

from backendexp.errors import UserError
from backendexp.porting import architecture, slots
from backendexp.porting.slots import Rules
from support.old_files import dense, layer, sequential

INNER = sequential(
    dense("a", 2, batch_input_shape=[None, 3]), layer("BatchNormalization", "b"), dense("c", 2)
)
RULES = Rules(2, frozenset())


def model_of(*layers: dict[str, Any]) -> architecture.Model:
    return architecture.model_of(sequential(*layers), 2)


def test_weights_of_a_nested_model_are_told_apart() -> None:
    held = {str(number): [number] for number in range(8)}
    found, trained = slots.by_leaf(model_of(INNER), [("sequential_1", held)], RULES)
    # Trained are a's two, b's gamma and beta, and c's two. The mean and the variance come last.
    assert found["sequential_1", "a"] == [[0], [1]]
    assert found["sequential_1", "b"] == [[2], [3], [6], [7]]
    assert found["sequential_1", "c"] == [[4], [5]]
    assert len(trained) == 6


def test_frozen_layer_in_a_model_comes_after_the_trained_ones() -> None:
    inner = sequential(dense("a", 2, batch_input_shape=[None, 3], trainable=False), dense("c", 2))
    held = {str(number): [number] for number in range(4)}
    found, trained = slots.by_leaf(model_of(inner), [("sequential_1", held)], RULES)
    assert found["sequential_1", "c"] == [[0], [1]]
    assert found["sequential_1", "a"] == [[2], [3]]
    assert [slot.leaf[-1] for slot in trained] == ["c", "c"]


def test_weights_of_other_names_count_by_their_order() -> None:
    model = model_of(
        dense("a", 2, batch_input_shape=[None, 3]), layer("Dropout", "d", rate=0.5), dense("c", 2)
    )
    stored = [("dense_7", {"k": [0], "b": [1]}), ("dropout_3", {}), ("dense_8", {"k": [2], "b": [3]})]
    found, _ = slots.by_leaf(model, stored, RULES)
    assert found["a",] == [[0], [1]]
    assert found["c",] == [[2], [3]]


def test_architecture_and_weights_that_do_not_belong_together_are_refused() -> None:
    model = model_of(dense("a", 2, batch_input_shape=[None, 3]))
    with pytest.raises(UserError, match="layer 'a' has 2 weights, and the file 3"):
        slots.by_leaf(model, [("a", {"k": [0], "b": [1], "x": [2]})], RULES)
    with pytest.raises(UserError, match="1 layers have weights, and the file has weights of 2"):
        slots.by_leaf(model, [("x", {"k": [0]}), ("y", {"k": [0]})], RULES)


def test_layer_of_the_user_has_the_weights_that_are_left() -> None:
    rules = Rules(2, frozenset({"Scale"}))
    found, _ = slots.by_leaf(model_of(layer("Scale", "s")), [("s", {"x": [0], "y": [1]})], rules)
    assert found["s",] == [[0], [1]]
