"""Facts of this machine and of this process, which every run has as tags.

The host name and the pid do not identify a process: containers may share a host name, their pids start at 1,
and they may run on one kernel or on several. So a run also has tags for the machine (machine-id(5)), the boot
and the pid namespace (pid_namespaces(7)). If these do not show whether the process is alive, the lock on the
run's events may, see `Fate`.
"""

import enum
import getpass
import hashlib
import os
import platform
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from backendexp.runs.plan import usable_cores

HOST = "backendexp.host"
_MACHINE, _NAMESPACE = "backendexp.machine", "backendexp.pid_namespace"
_UNKNOWN_NAMESPACE = "unknown"
# The token of a process that exists, but whose start time cannot be read.
_HIDDEN = "alive"
# PROC_PID_INIT_INO of https://github.com/torvalds/linux/blob/master/include/linux/proc_ns.h
_FIRST_NAMESPACE = str(0xEFFFFFFC)


@cache
def cpu_model() -> str:
    """The model of the CPU, such as "AMD EPYC 7B13"; the architecture if the system does not report more."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@cache
def git_commit(folder: str) -> str | None:
    """The commit that is checked out in `folder`, or None outside a repository."""
    try:
        answer = subprocess.run(
            ["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, encoding="utf-8", timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # the user of a container may have no name
        return "unknown"


def hosts(tags: Iterable[Mapping[str, str]]) -> list[str]:
    """The names of the hosts of several runs, each once.

    tags: those of each run.
    """
    return sorted({one[HOST] for one in tags if one.get(HOST)})


def host() -> str:
    return socket.gethostname()


class Fate(enum.Enum):
    """What the tags of a run show about the process that made it.

    LIVES, DEAD: it is alive, or it is dead.
    LOCK_TELLS: this process cannot see it. But while it is alive, the run's events are locked. So if the
        events are on this machine and can be locked, it is dead.
    UNKNOWN: nothing can be known about it.
    """

    LIVES = "lives"
    DEAD = "dead"
    LOCK_TELLS = "lock tells"
    UNKNOWN = "unknown"


def fate(tags: Mapping[str, str]) -> Fate:
    """The fate of the process that set these tags, see `tags`. DEAD only if nothing else is possible."""
    pid, token = tags.get("backendexp.pid", ""), tags.get("backendexp.process", "")
    if tags.get(HOST) != host() or not pid.isdigit() or not token:
        return Fate.UNKNOWN
    same_machine = tags.get(_MACHINE) == _machine_id() != ""
    if not _has_proc():
        if not same_machine:
            return Fate.UNKNOWN
        return Fate.DEAD if process_token(int(pid)) is None else Fate.LOCK_TELLS
    if token.partition("-")[0] != _boot():
        return Fate.LOCK_TELLS if same_machine else Fate.UNKNOWN
    if _NAMESPACE not in tags:
        return _fate_by_token(token)
    namespace = _pid_namespace()
    if namespace == _UNKNOWN_NAMESPACE or namespace != tags[_NAMESPACE]:
        return Fate.LOCK_TELLS
    found = process_token(int(pid))
    if found == _HIDDEN:
        return Fate.LOCK_TELLS
    return Fate.LIVES if found == token else Fate.DEAD


def _fate_by_token(token: str) -> Fate:
    """The fate of a process of this boot whose tags come from an earlier version of backendexp, without a
    namespace and without a lock.

    The process may have any pid in this namespace, so it is recognised by the start time in its token. Only
    the first namespace sees the processes of all namespaces.
    """
    pids = {1, *(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())}
    found = {process_token(pid) for pid in pids}
    if token in found:
        return Fate.LIVES
    return Fate.DEAD if _pid_namespace() == _FIRST_NAMESPACE and _HIDDEN not in found else Fate.UNKNOWN


def process_token(pid: int) -> str | None:
    """What distinguishes a process from a later one with the same pid; None if there is no such process.

    On Linux it is the boot and the process's start time, in clock ticks since the boot (proc(5)). On other
    systems, and if the user may not see the process, it is "alive".
    """
    try:
        return _token_of(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return _token_without_proc(pid)


def _token_of(stat: str) -> str | None:
    fields = Path(stat).read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    state, started = fields[0], fields[19]
    return None if state == "Z" else f"{_boot()}-{started}"


def _token_without_proc(pid: int) -> str | None:
    if sys.platform == "win32":  # on Windows, `os.kill` would end the process
        return _HIDDEN
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return _HIDDEN


def _has_proc() -> bool:
    return Path("/proc/self/stat").exists()


@cache
def _boot() -> str:
    """The first eight digits of the kernel's random id of this boot; empty on other systems than Linux."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")[:8]
    except OSError:
        return ""


def _pid_namespace() -> str:
    """The number of the namespace in which this process has its pid. It is "unknown" if there are no
    namespaces, or if /proc shows another namespace, as after `unshare --pid` alone.
    """
    try:
        ours = Path("/proc/self").readlink().name == str(os.getpid())
        return str(Path("/proc/self/ns/pid").stat().st_ino) if ours else _UNKNOWN_NAMESPACE
    except OSError:
        return _UNKNOWN_NAMESPACE


@cache
def _machine_id() -> str:
    """A digest of the machine's id, because machine-id(5) forbids disclosing the id itself. Empty if the
    machine has no id.
    """
    try:
        identity = Path("/etc/machine-id").read_text(encoding="utf-8").strip()
    except OSError:
        identity = ""
    if not identity and not _has_proc():
        address = uuid.getnode()
        identity = "" if address >> 40 & 1 else f"{address:012x}"  # this bit marks a random address
    return hashlib.sha256(f"backendexp {identity}".encode()).hexdigest()[:16] if len(identity) > 8 else ""


def load() -> dict[str, str]:
    """A tag that shows how busy the machine is: the mean number of runnable processes in the last minute.

    Empty if the system does not report it; Windows does not.
    """
    try:
        return {"load_average": f"{os.getloadavg()[0]:.2f}"}
    except (AttributeError, OSError):
        return {}


def tags() -> dict[str, str]:
    """Tags of the machine and of this process. From them a later process finds out whether this one lives."""
    try:
        token = _token_of("/proc/self/stat")
    except OSError:
        token = _token_without_proc(os.getpid())
    return {
        "cpu_model": cpu_model(),
        "cores": str(usable_cores()),
        HOST: host(),
        "backendexp.pid": str(os.getpid()),
        "backendexp.process": token or "",
        _NAMESPACE: _pid_namespace(),
        **({_MACHINE: _machine_id()} if _machine_id() else {}),
    }
