"""The file of an old model is read without Keras, and what cannot be read is refused with a sentence."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from backendexp.errors import UserError
from backendexp.porting import archive
from support import old_files

KERNEL = "model_weights/dense_1/dense_1/kernel:0"


def test_model_is_read_with_its_weights_and_what_saved_it(tmp_path: Path) -> None:
    found = archive.read(old_files.small(tmp_path / "model.h5", backend="theano"), None)
    assert (found.keras_version, found.generation, found.backend) == ("2.3.1", 2, "theano")
    assert [name for name, _ in found.weights] == ["dense_1", "dense_2"]
    assert found.weights[0][1]["dense_1/kernel:0"].shape == (3, 4)
    assert found.training is None


def test_file_of_keras_1_is_known_by_its_version(tmp_path: Path) -> None:
    found = archive.read(old_files.keras_1_images(tmp_path / "model.h5"), None)
    assert (found.generation, found.backend) == (1, None)


def test_user_knows_the_backend_better_than_the_file(tmp_path: Path) -> None:
    assert archive.read(old_files.small(tmp_path / "model.h5"), None, "theano").backend == "theano"


@pytest.mark.parametrize("ending", ["json", "yaml"])
def test_architecture_and_weights_come_from_two_files(ending: str, tmp_path: Path) -> None:
    whole = archive.read(old_files.small(tmp_path / "model.h5"), None)
    weights = old_files.write(tmp_path / "weights.h5", None, whole.weights)
    text = json.dumps({**whole.config, "keras_version": "2.3.1", "backend": "tensorflow"})
    if ending == "yaml":
        text = f"# JSON is YAML\n{text}"
    file = tmp_path / f"model.{ending}"
    file.write_text(text)
    found = archive.read(file, weights)
    assert found.config["class_name"] == "Sequential"
    assert [name for name, _ in found.weights] == ["dense_1", "dense_2"]
    with pytest.raises(UserError, match=r"an architecture without weights\. Give the file .* --weights"):
        archive.read(file, None)


def test_tuples_in_yaml_are_lists(tmp_path: Path) -> None:
    weights = old_files.write(tmp_path / "weights.h5", None, [])
    file = tmp_path / "model.yaml"
    file.write_text(
        "class_name: Sequential\nconfig:\n  layers: []\n  build_input_shape: !!python/tuple [null, 3]\n"
    )
    assert archive.read(file, weights).config["config"]["build_input_shape"] == [None, 3]


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def overwrite(path: Path) -> None:
    content = path.read_bytes()
    middle = len(content) // 3
    path.write_bytes(content[:middle] + bytes(4000) + content[middle + 4000 :])


def noise(path: Path) -> None:
    path.write_bytes(b"no model at all")


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps([1]))


def other(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = [1.0]


def half_of_the_config(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = b'{"class_name": "Seq'


def no_weights(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["model_weights"]


def outside_weights(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file[KERNEL]
        file[KERNEL] = h5py.ExternalLink("elsewhere.h5", "/x")


def raw_outside_weights(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file[KERNEL]
        file.create_dataset(KERNEL, shape=(3, 4), dtype="f4", external=[("/etc/hostname", 0, 48)])


def claimed_weights(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file[KERNEL]
        file.create_dataset(KERNEL, shape=(10**6, 10**6), dtype="f4")


def claimed_and_compressed_weights(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file[KERNEL]
        kernel = file.create_dataset(KERNEL, (10**6, 10**6), "f4", chunks=(100, 100), compression="gzip")
        kernel[:100, :100] = 1


def words(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file[KERNEL]
        file[KERNEL] = np.array([b"a"], dtype="S1")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (cut, r"is a damaged HDF5 file: it was cut short, and has \d+ of its \d+ bytes"),
        (overwrite, "is (a )?damaged|has no model_weights|is an HDF5 file, but not of a Keras model"),
        (noise, "is no HDF5 file, or its beginning is damaged"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.unlink(), "does not exist"),
        (pickled, "is a pickle, which is not read because a pickle can run any code"),
        (
            lambda path: path.write_bytes(b"PK\x03\x04 and so on"),
            "is an archive of Keras 3, which needs no porting",
        ),
        (other, "not of a Keras model: it has no model_config"),
        (half_of_the_config, "its model_config is not complete JSON"),
        (no_weights, "it has no group model_weights"),
        (outside_weights, "takes dense_1/kernel:0 from another file"),
        (raw_outside_weights, "from another file"),
        (claimed_weights, "were never written"),
        (claimed_and_compressed_weights, r"claim 4000000000000 bytes and have \d+"),
        (words, "are no numbers"),
    ],
)
def test_bad_file_is_refused_with_a_sentence(
    harm: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    path = old_files.small(tmp_path / "model.h5")
    harm(path)
    with pytest.raises(UserError, match=said):
        archive.read(path, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class_name: X\nconfig: !!python/object/apply:os.system ['touch ran']\n", "an object of Python"),
        ("[" * 100_000, "is neither JSON nor YAML|is not complete JSON"),
        ('{"class_name":', "is not complete JSON"),
        ("[1, 2]", "describes no Keras model"),
        (
            "class_name: Sequential\na: &a [0, 0, 0]\n"
            + "".join(
                f"{b}: &{b} [{', '.join(10 * ['*' + a])}]\n"
                for a, b in zip("abcdefgh", "bcdefghi", strict=True)
            )
            + "config: *i\n",
            "repeats itself too often",
        ),
        ("class_name: Sequential\nconfig: &a [*a]\n", "nested too deep"),
        ('{"class_name": "Sequential", "config": ' + 500 * "[" + 500 * "]" + "}", "nested too deep"),
        ('{"class_name": "Sequential", "config": {}, "keras_version": "3.1.0"}', "needs no porting"),
    ],
)
def test_bad_architecture_is_refused_and_not_run(text: str, said: str, tmp_path: Path, project: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        archive.read(path, tmp_path / "model.yaml")
    assert not (project / "ran").exists()


def test_saved_model_of_tensorflow_says_how_to_save_it_again(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(
        UserError, match=r"is a SavedModel of TensorFlow.* save it with model\.save\('model\.h5'\)"
    ):
        archive.read(tmp_path, None)


def test_weights_without_architecture_say_how_to_give_one(tmp_path: Path) -> None:
    weights = old_files.write(tmp_path / "weights.h5", None, [])
    with pytest.raises(
        UserError, match=r"weights without an architecture.*backendexp port model\.json --weights"
    ):
        archive.read(weights, None)
