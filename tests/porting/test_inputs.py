"""Inputs are drawn so that they suit the model, or read from the user's file."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backendexp.errors import UserError
from backendexp.porting import architecture, inputs
from backendexp.porting.inputs import Input
from support.old_files import dense, layer, sequential

WORDS = sequential(
    layer("Embedding", "e", input_dim=9, output_dim=4, mask_zero=True, batch_input_shape=[None, None]),
    layer("LSTM", "l", units=3),
)


def test_words_are_indices_and_some_steps_are_masked() -> None:
    found = inputs.of(architecture.model_of(WORDS, 2))
    drawn = inputs.draw(found, 0)[0]
    assert found[0].words == 9
    assert drawn.shape == (4, 10)
    assert set(drawn.ravel()) <= set(range(9))
    assert not drawn[1, -3:].any()


def test_inputs_depend_on_the_seed_alone() -> None:
    one = [Input("x", (None, 3), "float32")]
    assert (inputs.draw(one, 1)[0] == inputs.draw(one, 1)[0]).all()
    assert (inputs.draw(one, 1)[0] != inputs.draw(one, 2)[0]).any()


def test_fixed_batch_is_kept() -> None:
    assert inputs.draw([Input("x", (3, 5, 2), "float32")], 0)[0].shape == (3, 5, 2)


def test_arrays_of_the_user_go_by_name_or_in_order(tmp_path: Path) -> None:
    two = [Input("a", (None, 2), "float32"), Input("b", (None, 3), "float32")]
    a, b = np.ones((4, 2)), np.zeros((4, 3))
    np.savez(tmp_path / "named.npz", b=b, a=a)
    np.savez(tmp_path / "listed.npz", a, b)
    for name in ("named.npz", "listed.npz"):
        assert [array.shape for array in inputs.read(tmp_path / name, two)] == [(4, 2), (4, 3)]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (
            {"x": np.ones((4, 5))},
            r"the array for 'x' has the shape \(4, 5\), and the model expects \(any, 3\)",
        ),
        ({"x": np.array([["a", "b", "c"]])}, "Expected numbers"),
        ({"x": np.ones((4, 3)), "y": np.ones(3), "z": np.ones(2), "w": np.ones(2)}, None),
        ({"p": np.ones((4, 3)), "q": np.ones(3)}, "has the arrays p, q. Expected 1: x"),
    ],
)
def test_unfit_inputs_are_refused(arrays: dict[str, np.ndarray], said: str | None, tmp_path: Path) -> None:
    np.savez(tmp_path / "sample.npz", **arrays)
    one = [Input("x", (None, 3), "float32")]
    if said is None:
        assert len(inputs.read(tmp_path / "sample.npz", one)) == 1
        return
    with pytest.raises(UserError, match=said):
        inputs.read(tmp_path / "sample.npz", one)


def test_objects_in_the_inputs_are_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "sample.npz", x=np.array([{}], dtype=object))
    with pytest.raises(UserError, match=r"is no \.npz file of numbers"):
        inputs.read(tmp_path / "sample.npz", [Input("x", (None, 3), "float32")])


def test_model_without_a_shape_is_refused() -> None:
    with pytest.raises(UserError, match="which shape the input of the model has"):
        inputs.of(architecture.model_of(sequential(dense("d", 2)), 2))


@pytest.mark.parametrize("shape", [[None, -3], [None, 0], [None, "x"]])
def test_shape_that_no_input_can_have_is_refused(shape: list[Any]) -> None:
    config = sequential(dense("d", 2, batch_input_shape=[None, 3]))
    config["config"]["layers"].insert(0, layer("InputLayer", "i", batch_input_shape=shape))
    with pytest.raises(UserError, match=r"the shape .*, which no input can have|the architecture is damaged"):
        inputs.of(architecture.model_of(config, 2))


def test_inputs_that_would_fill_the_memory_are_not_drawn() -> None:
    with pytest.raises(UserError, match=r"too much to draw\. .* give a batch with --inputs"):
        inputs.draw([Input("x", (None, 10**6, 10**6), "float32")], 0)


def test_file_that_is_no_npz_is_refused_with_a_sentence(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones(3))
    (tmp_path / "x.npz").write_text("hi", encoding="utf-8")
    np.savez(tmp_path / "objects.npz", np.array([{}], dtype=object))
    np.savez(tmp_path / "empty.npz")
    for name, said in {
        "x.npy": "is no .npz file. Write one",
        "x.npz": "is no .npz file. Write one",
        "objects.npz": "it holds objects of Python",
        "empty.npz": "has no arrays. Expected 1: x",
    }.items():
        with pytest.raises(UserError, match=re.escape(said)):
            inputs.read(tmp_path / name, [Input("x", (None, 3), "float32")])
