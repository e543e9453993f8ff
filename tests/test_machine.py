import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backendexp import machine


def test_token_of_a_process_is_the_same_as_long_as_it_lives() -> None:
    assert machine.process_token(os.getpid()) == machine.process_token(os.getpid())
    assert machine.process_token(os.getpid())


def test_processes_have_tokens_of_their_own() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert machine.process_token(child.pid) not in (None, machine.process_token(os.getpid()))
    finally:
        child.communicate(b"\n")


def test_dead_process_has_no_token() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert machine.process_token(child.pid) is None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")
def test_process_that_is_dead_but_not_yet_buried_has_no_token() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
    assert machine.process_token(child.pid) is None
    child.communicate()


def test_process_whose_name_has_brackets_and_spaces_has_a_token(tmp_path: Path) -> None:
    name = tmp_path / "a) (b c"
    name.symlink_to("/bin/sleep")
    child = subprocess.Popen([str(name), "60"])
    try:
        token = machine.process_token(child.pid)
    finally:
        child.kill()
        child.wait()
    assert token is not None
    assert token.rpartition("-")[2].isdigit()


def test_tags_tell_machine_and_process_in_text() -> None:
    tags = machine.tags()
    assert tags["backendexp.pid"] == str(os.getpid())
    assert tags["backendexp.process"] == machine.process_token(os.getpid())
    assert tags["backendexp.host"] == machine.host()
    assert int(tags["cores"]) >= 1
    assert tags["cpu_model"]
    assert all(isinstance(value, str) for value in tags.values())


def test_commit_is_that_of_the_folder(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    assert machine.git_commit(str(tmp_path / "..")) is None
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert machine.git_commit(str(tmp_path)) == head.stdout.strip()


def test_machine_without_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.git_commit(str(tmp_path)) is None


def test_user_without_a_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert machine.user() == "unknown"


def test_load_is_the_mean_of_the_last_minute() -> None:
    (told,) = machine.load().values()
    assert float(told) == pytest.approx(os.getloadavg()[0], abs=0.5)


@pytest.mark.parametrize("error", [AttributeError, OSError])
def test_system_that_does_not_tell_its_load_leaves_the_tag_out(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown() -> tuple[float, float, float]:
        raise error

    monkeypatch.setattr(os, "getloadavg", unknown)
    assert machine.load() == {}
