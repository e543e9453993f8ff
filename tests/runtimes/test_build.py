"""The real uv builds a runtime without packages, which needs no network."""

import re
import sys
import threading
from pathlib import Path

import pytest

from backendexp.errors import RuntimeUnavailable
from backendexp.runtimes import build
from backendexp.runtimes.catalogue import Recipe


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BACKENDEXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    return tmp_path / "cache"


def recipe(monkeypatch: pytest.MonkeyPatch, lock: Path, content: str) -> None:
    lock.write_text(content)
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    monkeypatch.setitem(build.RECIPES, "tiny", Recipe(python=ours, lock=str(lock)))


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime without packages. The fixture returns its lock file."""
    recipe(monkeypatch, tmp_path / "tiny.txt", "# no packages\n")
    return tmp_path / "tiny.txt"


def test_runtime_is_built_once(tiny: Path, said: list[str]) -> None:
    assert not build.is_built("tiny")
    python = build.ensure_built("tiny", said.append)
    assert build.is_built("tiny")
    assert Path(python).exists()
    assert re.match(r"building runtime tiny \(once\): Python 3\.\d+, 0 packages", said[0])
    assert re.match(r"built runtime tiny in \d+ s: ", said[-1])
    said.clear()
    assert build.ensure_built("tiny", said.append) == python
    assert said == []


def test_two_simultaneous_requests_build_it_once(tiny: Path, said: list[str]) -> None:
    found: list[str] = []

    def want() -> None:
        found.append(build.ensure_built("tiny", said.append))

    threads = [threading.Thread(target=want) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [build.python_of("tiny")] * 3
    assert len([line for line in said if line.startswith("building")]) == 1


def test_another_lock_is_another_runtime(tiny: Path) -> None:
    before = build.python_of("tiny")
    tiny.write_text("# other\n")
    assert build.python_of("tiny") != before


def test_failed_build_says_why_and_leaves_nothing_behind(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    recipe(monkeypatch, tmp_path / "tiny.txt", f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(RuntimeUnavailable) as refusal:
        build.ensure_built("tiny", said.append)
    message = str(refusal.value)
    assert message.startswith("runtime 'tiny' could not be built: ")
    assert "six" in message
    assert "\nThe command was: " in message
    assert "--require-hashes" in message
    assert not build.is_built("tiny")
    assert [path for path in (own_cache / "runtimes").iterdir() if path.is_dir()] == []


def test_remains_of_a_killed_build_do_not_count_as_built(tiny: Path, said: list[str]) -> None:
    home = Path(build.python_of("tiny")).parents[1]
    half = home.with_name(f"{home.name}.building-1")
    (half / "bin").mkdir(parents=True)
    (half / "bin" / "python").touch()
    assert not build.is_built("tiny")
    assert Path(build.ensure_built("tiny", said.append)).exists()


def test_reported_number_of_packages_is_that_of_the_lock() -> None:
    lock = build.lock_path("keras2").read_text()
    assert lock.count("==") == len(re.findall(r"^[\w.-]+==", lock, re.MULTILINE))


def test_runtime_of_the_tutorial_is_locked_to_its_versions() -> None:
    lock = build.lock_path("keras2").read_text()
    for pin in ("keras==2.3.1 ", "tensorflow==1.14.0 ", "theano==1.0.4 "):
        assert re.search(rf"^{re.escape(pin)}", lock, re.MULTILINE)
