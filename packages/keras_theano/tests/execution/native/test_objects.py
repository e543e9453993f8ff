"""The cache of machine code survives damage, other processes and a small limit."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_theano.execution.native import objects

SEVEN = "define i32 @step(ptr %table) {\nret i32 7\n}"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(objects, "folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def _refuse(text: str) -> bytes:
    raise AssertionError("compiled again")


def test_code_comes_from_disk_the_second_time(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert objects.loaded(SEVEN).step(None) == 7
    monkeypatch.setattr(objects, "_compiled", _refuse)
    assert objects.loaded(SEVEN).step(None) == 7
    assert len(list(cache.iterdir())) == 1


def test_other_processor_has_other_files(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = objects._key(SEVEN)
    monkeypatch.setattr(objects, "_processor", lambda: ("another", "+sse2"))
    assert objects._key(SEVEN) != before


@pytest.mark.parametrize("damage", [lambda data: data[:50], lambda data: data[:-1] + b"?", lambda data: b""])
def test_damaged_file_is_compiled_anew(cache: Path, damage: Callable[[bytes], bytes]) -> None:
    objects.loaded(SEVEN)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert objects.loaded(SEVEN).step(None) == 7
    assert file.read_bytes() == whole


def test_least_recently_used_files_are_removed_beyond_the_limit(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects.loaded(SEVEN)
    (first,) = cache.iterdir()
    os.utime(first, (1, 1))
    monkeypatch.setattr(objects, "LOOK_EVERY", 1)
    monkeypatch.setattr(objects, "LIMIT_BYTES", first.stat().st_size + 10)
    objects.loaded(SEVEN.replace("7", "8"))
    assert not first.exists()
    assert len(list(cache.iterdir())) == 1


def test_step_runs_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    monkeypatch.setattr(objects, "folder", lambda: file / "cache")
    assert objects.loaded(SEVEN).step(None) == 7


def test_two_processes_that_compile_at_once_and_a_killed_one_leave_a_sound_cache(tmp_path: Path) -> None:
    code = (
        "from keras_theano.execution.native import objects\n"
        "for n in range(300):\n"
        "    objects.loaded('define i32 @step(ptr %t) {\\nret i32 ' + str(n % 30) + '\\n}')\n"
    )
    flags = {**os.environ, "PYTENSOR_FLAGS": f"base_compiledir={tmp_path}", "KERAS_BACKEND": "theano"}
    processes = [subprocess.Popen([sys.executable, "-c", code], env=flags) for _ in range(3)]
    cache = tmp_path / "keras_theano"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (cache.exists() and len(list(cache.iterdir())) > 5):
        time.sleep(0.01)
    processes[0].kill()
    assert [process.wait() for process in processes[1:]] == [0, 0]
    processes[0].wait()
    whole = [file for file in cache.iterdir() if file.suffix == ".native"]
    assert len(whole) == 30
    assert all(objects._read(file) for file in whole)
