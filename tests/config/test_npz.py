"""Which files of a user are accepted, and with which message the others are refused."""

import io
import os
import re
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backendexp.config import npz
from backendexp.config.labels import Labels
from backendexp.errors import ConfigError
from support.arrays import (
    EXTRAS,
    good_arrays,
    save,
)


def test_sizes_of_a_good_file_are_read(tmp_path: Path) -> None:
    found = npz.read(save(tmp_path / "good.npz", good_arrays()))
    assert (found.samples, found.features, found.test_samples) == (6, 3, 2)


def test_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"data\.path is 'nowhere\.npz': no such file\. Expected an \.npz"):
        npz.read("nowhere.npz")


def test_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^data\.path is '.*', which is a folder\. Expected an \.npz file"):
        npz.read(str(tmp_path))


def _text(path: Path) -> None:
    path.write_text("x_train,y_train\n1,2\n")


def _nothing(path: Path) -> None:
    path.write_bytes(b"")


def _npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros((2, 2)))


def _cut_off(path: Path) -> None:
    save(path, good_arrays())
    path.write_bytes(path.read_bytes()[:-40])


def _broken_compression(path: Path) -> None:
    arrays = good_arrays() | {"y_train": np.zeros(6000)}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    content = bytearray(path.read_bytes())
    begin = content.index(b"y_train.npy") + len("y_train.npy") + 20  # the extra field of zip64
    content[begin : begin + 20] = b"\xff" * 20
    path.write_bytes(bytes(content))


def _zip_of_something_else(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in good_arrays():
            archive.writestr(name, "1,2,3\n")


def _zip_of_broken_arrays(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in good_arrays():
            archive.writestr(f"{name}.npy", b"\x93NUMPY but no more")


def _zip_without_its_end(path: Path) -> None:
    save(path, good_arrays())
    path.write_bytes(path.read_bytes()[:400])


def _changed_bytes(path: Path) -> None:
    """The change shows in the checksum of the member."""
    save(path, good_arrays() | {"x_train": np.full((6, 3), 7, np.int64)})
    path.write_bytes(path.read_bytes().replace(struct.pack("<q", 7), struct.pack("<q", 8), 1))


def _compressed_in_an_unknown_way(path: Path) -> None:
    save(path, good_arrays())
    content = path.read_bytes()
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        begin = content.index(signature) + offset
        content = content[:begin] + struct.pack("<H", 99) + content[begin + 2 :]
    path.write_bytes(content)


def _header_of_a_later_version(path: Path) -> None:
    save(path, good_arrays())
    path.write_bytes(path.read_bytes().replace(b"\x93NUMPY\x01", b"\x93NUMPY\x09"))


@pytest.mark.parametrize(
    "write",
    [
        _zip_without_its_end,
        _changed_bytes,
        _compressed_in_an_unknown_way,
        _header_of_a_later_version,
        _text,
        _nothing,
        _npy,
        _cut_off,
        _broken_compression,
        _zip_of_something_else,
        _zip_of_broken_arrays,
    ],
    ids=lambda write: write.__name__.strip("_"),
)
def test_file_that_is_not_an_npz_is_refused(write: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    write(path)
    with pytest.raises(ConfigError, match=r"Expected a file made by numpy\.savez|expected numbers"):
        npz.read(str(path))


def test_pickled_objects_are_refused_and_never_loaded(tmp_path: Path) -> None:
    arrays = good_arrays() | {"x_train": np.array([{"a": 1}, None], dtype=object)}
    path = save(tmp_path / "objects.npz", arrays)
    with pytest.raises(ConfigError, match=r"cannot be read as \.npz: .*numpy\.savez, of numbers only"):
        npz.read(path)


def test_missing_arrays_are_named_with_those_that_are_there(tmp_path: Path) -> None:
    path = save(tmp_path / "less.npz", {"x_train": np.zeros((2, 2)), "labels": np.zeros(2)})
    with pytest.raises(ConfigError, match=r"lacks y_train, x_test, y_test: .* found labels, x_train$"):
        npz.read(path)


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        (
            "x_train",
            np.zeros(6),
            "x_train has shape (6,): expected (samples, features), or more axes after the",
        ),
        (
            "x_test",
            np.zeros((2, 3, 1)),
            "the samples of x_train have the shape (3,), and those of x_test (3, 1)",
        ),
        ("y_train", np.zeros((6, 2)), "y_train has 2 columns, and y_test has 1"),
        ("y_train", np.zeros((6, 1, 1)), "y_train has shape (6, 1, 1): expected (samples,) or (samples, col"),
        ("y_test", np.float32(1), "y_test has shape (): expected (samples,) or (samples, columns)"),
        ("y_train", np.zeros(5), "x_train has 6 rows, and y_train has 5"),
        ("x_test", np.zeros((3, 3)), "x_test has 3 rows, and y_test has 2"),
        ("x_test", np.zeros((2, 4)), "x_train has 3 features, and x_test has 4"),
        ("y_train", np.zeros((6, 0)), "y_train has shape (6, 0): expected at least one number"),
        ("y_train", np.array(list("abcdef")), "y_train has dtype <U1: expected numbers, e.g. float32"),
        ("x_train", np.zeros((6, 3), complex), "x_train has dtype complex128: expected numbers"),
        ("x_train", np.zeros((6, 3), "M8[s]"), "x_train has dtype datetime64[s]: expected numbers"),
        ("x_train", np.full((6, 3), np.nan), "x_train holds 18 values that are NaN"),
        ("y_test", np.array([0, np.inf]), "y_test holds 1 values that are NaN, infinite or too large"),
        ("x_train", np.full((6, 3), 1e39), "x_train holds 18 values"),
        ("x_train", np.zeros((0, 3)), "x_train has shape (0, 3): expected at least one number"),
        ("x_test", np.zeros((2, 0)), "x_test has shape (2, 0): expected at least one number"),
        ("y_train", np.zeros(0), "y_train has shape (0,): expected at least one number"),
    ],
)
def test_array_that_cannot_be_trained_on_is_named_with_what_was_expected(
    name: str, array: object, said: str, tmp_path: Path
) -> None:
    path = save(tmp_path / "bad.npz", good_arrays() | {name: array})
    with pytest.raises(ConfigError, match=re.escape(said)) as refusal:
        npz.read(path)
    assert path in str(refusal.value)


def test_largest_float32_is_accepted(tmp_path: Path) -> None:
    arrays = good_arrays() | {"x_train": np.full((6, 3), float(np.finfo(np.float32).max))}
    assert npz.read(save(tmp_path / "large.npz", arrays)).samples == 6


def test_file_object_stays_closed_after_a_refusal(tmp_path: Path) -> None:
    """Warnings are errors here, so an unclosed file would fail this test."""
    buffer = io.BytesIO()
    np.savez(buffer, x_train=np.zeros(2))
    path = tmp_path / "bad.npz"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ConfigError, match="lacks"):
        npz.read(str(path))
    path.unlink()
    assert not path.exists()


def test_labels_are_reported_with_their_range_and_values(tmp_path: Path) -> None:
    many = np.linspace(-1, 2, 100_001)
    arrays = good_arrays() | {"x_train": np.zeros((100_001, 3)), "y_train": many, "y_test": np.array([2, -1])}
    found = npz.read(save(tmp_path / "mine.npz", arrays)).labels
    assert found == {"y_train": Labels(-1.0, 2.0, None), "y_test": Labels(-1.0, 2.0, (-1.0, 2.0))}


def test_order_of_bytes_and_of_the_axes_does_not_matter(tmp_path: Path) -> None:
    x = np.asfortranarray(np.arange(18.0).reshape(6, 3)).astype(">f8")
    found = npz.read(
        save(tmp_path / "mine.npz", good_arrays() | {"x_train": x, "y_train": np.ones(6, ">i2")})
    )
    assert (found.samples, found.features, found.labels["y_train"]) == (6, 3, Labels(1.0, 1.0, (1.0,)))


# -- more axes, classes, several inputs and outputs ----------------------------------------------------


@pytest.mark.parametrize("shape", [(1,), (5, 2), (8, 8, 1), (2, 2, 2, 3)])
def test_samples_may_have_any_shape(shape: tuple[int, ...], tmp_path: Path) -> None:
    x = {"x_train": np.zeros((6, *shape)), "x_test": np.zeros((2, *shape), np.uint8)}
    found = npz.read(save(tmp_path / "mine.npz", good_arrays() | x))
    assert found.shapes == {"": shape}
    assert found.features == (1 if shape == (1,) else None)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([[0, 0, 1], [1, 0, 0]], Labels(0, 1, (0, 1), 3, "one-hot")),
        ([[0, 1, 1], [0, 0, 0]], Labels(0, 1, (0, 1), 3)),
        ([[0.25, 0.25, 0.5], [0.1, 0.2, 0.7]], Labels(0.1, 0.7, (0.1, 0.2, 0.25, 0.5, 0.7), 3, "shares")),
        ([[-0.5, 1, 0.5], [0, 1, 0]], Labels(-0.5, 1, (-0.5, 0, 0.5, 1), 3)),
    ],
)
def test_rows_of_labels_are_told(rows: list[list[float]], told: Labels, order: Any, tmp_path: Path) -> None:
    y = np.array(rows * 3, np.float64, order=order)
    found = npz.read(save(tmp_path / "mine.npz", good_arrays() | {"y_train": y, "y_test": y[:2]})).labels
    wanted = [tuple(map(float, map(np.float32, values or ()))) for values in (told.values,)]
    for one in found.values():
        assert (one.columns, one.rows, [one.values]) == (told.columns, told.rows, wanted)
        assert (one.low, one.high) == (np.float32(told.low), np.float32(told.high))


def test_many_classes_are_counted(tmp_path: Path) -> None:
    y = np.arange(3000) % 1000
    arrays = {"x_train": np.zeros((3000, 3)), "y_train": y, "y_test": np.array([5, 999])}
    found = npz.read(save(tmp_path / "mine.npz", good_arrays() | arrays)).labels
    assert (found["y_train"].classes, found["y_train"].values) == (1000, None)
    amounts = arrays | {"y_train": y + 0.5}
    found = npz.read(save(tmp_path / "mine.npz", good_arrays() | amounts)).labels
    assert (found["y_train"].classes, found["y_train"].whole) == (None, False)


def test_whole_numbers_beyond_int32_are_refused_where_they_stay_whole(tmp_path: Path) -> None:
    x = {"x_train": np.full((6, 3), 2**31), "x_test": np.zeros((2, 3), np.uint8)}
    said = (
        r"x_train holds 18 values that are too large for int32: expected .* 2,147,483,647, or save it as fl"
    )
    with pytest.raises(ConfigError, match=said):
        npz.read(save(tmp_path / "mine.npz", good_arrays() | x))
    npz.read(save(tmp_path / "mine.npz", good_arrays() | {"x_train": x["x_train"]}))  # x_test is float64


def two_of_each() -> dict[str, Any]:
    return {
        "x_train_left": np.zeros((6, 3)),
        "x_train_right": np.zeros((6, 4, 4)),
        "y_train_class": np.array([0, 1, 2, 0, 1, 2]),
        "y_train_age": np.linspace(0, 1, 6),
        "x_test_left": np.zeros((2, 3)),
        "x_test_right": np.zeros((2, 4, 4)),
        "y_test_class": np.array([0, 1]),
        "y_test_age": np.linspace(0, 1, 2),
    }


def test_several_inputs_and_outputs_are_read(tmp_path: Path) -> None:
    found = npz.read(save(tmp_path / "mine.npz", two_of_each()))
    assert (found.samples, found.test_samples, found.features) == (6, 2, None)
    assert found.shapes == {"left": (3,), "right": (4, 4)}
    assert [list(output) for output in found.outputs] == [
        ["y_train_age", "y_test_age"],
        ["y_train_class", "y_test_class"],
    ]


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        (
            "x_test_left",
            None,
            r"lacks x_test_left: expected the arrays x_train_left, x_train_right, y_train_a",
        ),
        ("y_train_age", None, r"lacks y_train_age: expected"),
        ("x_train_right", np.zeros((5, 4, 4)), "x_train_left has 6 rows, and x_train_right has 5"),
        ("y_test_age", np.zeros(3), "x_test_left has 2 rows, and y_test_age has 3"),
        ("x_test_left", np.zeros((2, 5)), "x_train_left has 3 features, and x_test_left has 5"),
        ("x_test_left", np.full((2, 3), np.nan), "x_test_left holds 6 values that are NaN"),
        ("y_test_class", np.array([{}, {}]), "y_test_class holds Python objects, which numpy pickles"),
    ],
)
def test_fault_in_one_of_several_arrays_is_told(name: str, array: Any, said: str, tmp_path: Path) -> None:
    arrays = two_of_each() | {name: array}
    arrays = {key: value for key, value in arrays.items() if value is not None}
    with pytest.raises(ConfigError, match=said):
        npz.read(save(tmp_path / "bad.npz", arrays))


def test_array_with_an_ending_is_left_alone_beside_one_without(tmp_path: Path) -> None:
    more = {"x_train_mean": np.full(3, np.nan), "y_test_names": np.array(["a"])}
    assert npz.read(save(tmp_path / "mine.npz", good_arrays() | more)).shapes == {"": (3,)}


# -- what a path may be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("d" * 300 + ".npz", "which cannot be opened: File name too long"),
        ("d/" * 3000 + "x.npz", "which cannot be opened: File name too long"),
        ("a\0b.npz", "which cannot be opened: "),
        ("mine.npz/x.npz", "which cannot be opened: Not a directory"),
        ("circle.npz", "which cannot be opened: Too many levels of symbolic links"),
        (os.devnull, "which is a pipe or a device"),
        ("pipe.npz", "which is a pipe or a device"),
    ],
    ids=["long name", "many folders", "NUL", "file as a folder", "circle of links", "device", "pipe"],
)
def test_path_that_is_not_a_file_is_refused_in_a_short_sentence(path: str, said: str, project: Path) -> None:
    save(project / "mine.npz", good_arrays())
    (project / "circle.npz").symlink_to("circle.npz")
    os.mkfifo(project / "pipe.npz")
    with pytest.raises(ConfigError, match=rf"^data\.path is '.*', {said}.*Expected .* \.npz file") as refusal:
        npz.read(path)
    assert len(str(refusal.value)) < 300


# -- what else a file holds --------------------------------------------------------------------------


@pytest.mark.parametrize("add", EXTRAS, ids=lambda add: add.__name__)
def test_unneeded_members_are_no_reason_to_refuse_a_file(
    add: Callable[[zipfile.ZipFile], None], tmp_path: Path
) -> None:
    path = save(tmp_path / "more.npz", good_arrays())
    with zipfile.ZipFile(path, "a") as archive:
        add(archive)
    assert npz.read(path).samples == 6


def test_only_a_piece_of_the_file_is_in_memory(tmp_path: Path) -> None:
    """A member of 64 MiB that is not needed is not read, and a needed member is read in pieces."""
    arrays = good_arrays() | {
        "extra": np.zeros(2**23),
        "x_train": np.zeros((6, 2**20)),
        "x_test": np.zeros((2, 2**20)),
    }
    path = tmp_path / "large.npz"
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        assert npz.read(str(path)).features == 2**20
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * 2**20


@pytest.mark.parametrize(
    ("renamed", "meant"),
    [
        ({"x_train": "X_train"}, "X_train"),
        ({"x_train": "X_train", "y_train": "Y_train"}, "X_train, Y_train"),
        ({"x_train": "train_x"}, "train_x"),
        ({"y_test": "ytest"}, "ytest"),
        ({"x_test": "x_tset"}, "x_tset"),
    ],
)
def test_misspelt_name_is_recognised(renamed: dict[str, str], meant: str, tmp_path: Path) -> None:
    path = save(tmp_path / "mine.npz", {renamed.get(k, k): v for k, v in good_arrays().items()})
    with pytest.raises(ConfigError, match=rf"lacks {', '.join(renamed)}: Did you mean {meant}\? "):
        npz.read(path)


def test_name_without_a_similar_one_gives_no_guess(tmp_path: Path) -> None:
    arrays = good_arrays()
    arrays["labels"] = arrays.pop("y_train")
    with pytest.raises(ConfigError, match="lacks y_train: expected the arrays"):
        npz.read(save(tmp_path / "mine.npz", arrays))


def test_names_without_an_ending_are_found_as_numpy_finds_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in good_arrays().items():
            with archive.open(name, "w") as member:
                np.save(member, array)  # type: ignore[arg-type]
    assert npz.read(str(path)).samples == 6


# -- what a header promises --------------------------------------------------------------------------


def _promising(
    path: Path, shapes: dict[str, tuple[int, ...]], claimed: int | None = None, content: bytes = b""
) -> str:
    """Write a file whose headers announce float64 arrays of these shapes, but which contains `content`.

    claimed: the number of bytes that each member has according to the archive.
    """
    path.unlink(missing_ok=True)
    save(path, {name: array for name, array in good_arrays().items() if name not in shapes})
    with zipfile.ZipFile(path, "a") as archive:
        for name, shape in shapes.items():
            header = {"descr": "<f8", "fortran_order": False, "shape": shape}
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array_header_1_0(member, header)
                member.write(content)
            if claimed is not None:
                info = archive.getinfo(f"{name}.npy")
                info.file_size = info.file_size - len(content) + claimed
    return str(path)


def test_header_that_promises_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    path = _promising(tmp_path / "bad.npz", {"x_train": (2**38, 8)}, content=bytes(64))
    said = "the header of x_train promises 17,592,186,044,416 bytes of numbers, and the file holds 64"
    with pytest.raises(ConfigError, match=said):
        npz.read(path)


def test_arrays_too_large_for_memory_are_refused_before_they_are_read(tmp_path: Path) -> None:
    """The archive makes the same false claim as the headers."""
    path = _promising(tmp_path / "bad.npz", {"x_train": (2**40, 3), "y_train": (2**40,)}, claimed=2**45)
    with pytest.raises(
        ConfigError, match=r"the arrays would take 40,960 GiB, and this machine has [\d,]+ GiB"
    ):
        npz.read(path)


def test_array_that_is_shorter_than_the_archive_says_is_refused(tmp_path: Path) -> None:
    path = _promising(tmp_path / "bad.npz", {"x_train": (6, 3)}, claimed=144, content=bytes(64))
    with pytest.raises(ConfigError, match=r"x_train: .*80 bytes of its 144 are missing"):
        npz.read(path)


def test_long_header_is_refused_unread(tmp_path: Path) -> None:
    """The header claims to be 4 GiB long, and it would be that long after decompression."""
    path = tmp_path / "bad.npz"
    save(path, {name: array for name, array in good_arrays().items() if name != "x_train"})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + bytes(2**26))
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError, match=r"cannot be read as \.npz: x_train: EOF: reading array header"):
            npz.read(str(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**21


@pytest.mark.parametrize("shape", [(-1, 3), (6, -3), (2**70, 3)])
def test_impossible_shape_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = _promising(tmp_path / "bad.npz", {"x_train": shape})
    with pytest.raises(ConfigError, match=r"x_train (has shape \(.*\): expected|promises [\d,]+ bytes)"):
        npz.read(path)


def test_encrypted_array_is_reported(tmp_path: Path) -> None:
    path = save(tmp_path / "secret.npz", good_arrays())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("anything", "so that the directory is written anew")
        archive.getinfo("y_train.npy").flag_bits |= 1
    with pytest.raises(ConfigError, match=r"cannot be read as \.npz: y_train is encrypted\. Unpack it with"):
        npz.read(path)


def test_truncated_archive_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "cut.npz"
    _cut_off(path)
    with pytest.raises(
        ConfigError, match=r"begins like a zip archive but does not end like one; it was cut off"
    ):
        npz.read(str(path))


@given(st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_file_is_read_or_refused_in_a_sentence(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "damaged.npz"
    content = bytearray(_sample())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(
        bytes(content[: data.draw(st.integers(0, len(content)))])
        if data.draw(st.booleans())
        else bytes(content)
    )
    with suppress(ConfigError):
        npz.read(str(path))


def _sample() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **good_arrays())  # type: ignore[arg-type]
    return buffer.getvalue()
