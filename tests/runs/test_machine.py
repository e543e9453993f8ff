import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backendexp.runs import machine
from backendexp.runs.machine import Fate


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
def test_zombie_process_has_no_token() -> None:
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


def test_tags_describe_machine_and_process_as_text() -> None:
    tags = machine.tags()
    assert tags["backendexp.pid"] == str(os.getpid())
    assert tags["backendexp.process"] == machine.process_token(os.getpid())
    assert tags["backendexp.host"] == machine.host()
    assert int(tags["cores"]) >= 1
    assert tags["cpu_model"]
    assert all(isinstance(value, str) for value in tags.values())


# -- which processes are
# alive----------------------------------------------------------------------------------

NEVER = f"{machine.tags()['backendexp.process'].partition('-')[0]}-1"
OTHER_BOOT = "00000000-1"
linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")


def fate(**changed: str | None) -> Fate:
    """A function that judges this process with some tags changed, or left out if their value is None."""
    tags = {**machine.tags(), **{f"backendexp.{name}": value for name, value in changed.items()}}
    return machine.fate({name: value for name, value in tags.items() if value is not None})


def test_this_process_lives() -> None:
    assert fate() is Fate.LIVES


@linux
@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"process": NEVER}, Fate.DEAD),
        ({"host": "elsewhere", "process": NEVER}, Fate.UNKNOWN),
        ({"pid": "of another hand", "process": NEVER}, Fate.UNKNOWN),
        ({"pid": None}, Fate.UNKNOWN),
        ({"process": None}, Fate.UNKNOWN),
        # This is another container on this kernel.
        ({"pid_namespace": "1", "process": NEVER}, Fate.LOCK_TELLS),
        ({"pid_namespace": "unknown", "process": NEVER}, Fate.LOCK_TELLS),
        # This is another machine with this host name, or one of which nothing is known.
        ({"process": OTHER_BOOT, "machine": "1" * 16}, Fate.UNKNOWN),
        ({"process": OTHER_BOOT, "machine": None}, Fate.UNKNOWN),
        ({"process": "an-earlier-one"}, Fate.LOCK_TELLS if machine._machine_id() else Fate.UNKNOWN),
    ],
)
def test_process_is_dead_only_if_nothing_else_is_possible(
    changed: dict[str, str | None], expected: Fate
) -> None:
    assert fate(**changed) is expected


@linux
def test_rebooted_machine_leaves_the_decision_to_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_machine_id", lambda: "a" * 16)
    assert fate(process=OTHER_BOOT) is Fate.LOCK_TELLS
    monkeypatch.setattr(machine, "_machine_id", lambda: "")
    assert fate(process=OTHER_BOOT) is Fate.UNKNOWN


@linux
def test_process_of_an_earlier_version_is_known_by_its_start_alone() -> None:
    earlier = {"machine": None, "pid_namespace": None}
    assert fate(**earlier) is Fate.LIVES
    assert fate(**earlier, pid="1") is Fate.LIVES  # process ids may have started over in its container
    sees_all = machine._pid_namespace() == machine._FIRST_NAMESPACE and os.geteuid() == 0
    if sees_all:
        assert fate(**earlier, process=NEVER) is Fate.DEAD
    assert fate(**earlier, process=OTHER_BOOT) is Fate.UNKNOWN


def test_namespace_that_does_not_show_all_processes_knows_no_earlier_one_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "_FIRST_NAMESPACE", "another one")
    assert fate(machine=None, pid_namespace=None, process=NEVER) is Fate.UNKNOWN


def test_machine_id_itself_is_not_disclosed() -> None:
    path = Path("/etc/machine-id")
    if path.exists() and path.read_text().strip():
        assert path.read_text().strip() not in machine.tags().values()
        assert len(machine.tags()["backendexp.machine"]) == 16


# -- facts -------------------------------------------------------------------------------------------


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
    (load,) = machine.load().values()
    assert float(load) == pytest.approx(os.getloadavg()[0], abs=0.5)


@pytest.mark.parametrize("error", [AttributeError, OSError])
def test_load_tag_is_left_out_if_the_load_is_unknown(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown() -> tuple[float, float, float]:
        raise error

    monkeypatch.setattr(os, "getloadavg", unknown)
    assert machine.load() == {}
