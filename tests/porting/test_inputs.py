"""Inputs are drawn so that they suit the model, or read from the user's file."""

from pathlib import Path

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
