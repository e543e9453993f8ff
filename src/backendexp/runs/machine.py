"""Facts of this machine and this process that every run is tagged with.

Who a process is takes more than host name and pid: containers share host names, start their pids at 1, and
may run on one kernel or on several. So a run is also tagged with the machine (machine-id(5)), the boot and
the pid namespace (pid_namespaces(7)). What these cannot tell, the lock on the run's events may, see `Fate`.
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
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from backendexp.runs.plan import usable_cores

_MACHINE, _NAMESPACE = "backendexp.machine", "backendexp.pid_namespace"
_UNKNOWN_NAMESPACE = "unknown"
# The token of a process that is there, but not to be looked at.
_HIDDEN = "alive"
# PROC_PID_INIT_INO of https://github.com/torvalds/linux/blob/master/include/linux/proc_ns.h
_FIRST_NAMESPACE = str(0xEFFFFFFC)


@cache
def cpu_model() -> str:
    """ "AMD EPYC 7B13" and the like; the architecture where the system tells no more."""
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
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"


def host() -> str:
    return socket.gethostname()


class Fate(enum.Enum):
    """What the tags of a run say about the process that made it.

    LOCK_TELLS: it cannot be seen from here. But the run's events, if they lie here, are locked as long as it
    lives, and if they can be locked it is dead.
    """

    LIVES = "lives"
    DEAD = "dead"
    LOCK_TELLS = "lock tells"
    UNKNOWN = "unknown"


def fate(tags: Mapping[str, str]) -> Fate:
    """Of the process whose `tags()` these are. DEAD only where nothing else is possible."""
    pid, token = tags.get("backendexp.pid", ""), tags.get("backendexp.process", "")
    if tags.get("backendexp.host") != host() or not pid.isdigit() or not token:
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
    """Of a process of this boot that an earlier version of backendexp has tagged, without its namespace and
    without a lock: the one that started when the token says may have any pid here. The first namespace sees
    the processes of all.
    """
    pids = {1, *(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())}
    found = {process_token(pid) for pid in pids}
    if token in found:
        return Fate.LIVES
    return Fate.DEAD if _pid_namespace() == _FIRST_NAMESPACE and _HIDDEN not in found else Fate.UNKNOWN


def process_token(pid: int) -> str | None:
    """What tells a process from a later one with the same pid, or None: there is no such process.

    On Linux the boot and its start time in clock ticks since then (proc(5)); elsewhere, and where the user
    may not see the process, "alive".
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
    if sys.platform == "win32":  # there `os.kill` would end it
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
    """The first eight digits of the kernel's random id of this boot; nothing but on Linux."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")[:8]
    except OSError:
        return ""


def _pid_namespace() -> str:
    """The number of the namespace in which this process has its pid; "unknown" where there are no namespaces,
    and where /proc shows another one, as after `unshare --pid` alone.
    """
    try:
        ours = Path("/proc/self").readlink().name == str(os.getpid())
        return str(Path("/proc/self/ns/pid").stat().st_ino) if ours else _UNKNOWN_NAMESPACE
    except OSError:
        return _UNKNOWN_NAMESPACE


@cache
def _machine_id() -> str:
    """A digest, because machine-id(5) wants the id itself kept from others. Nothing where there is none."""
    try:
        told = Path("/etc/machine-id").read_text(encoding="utf-8").strip()
    except OSError:
        told = ""
    if not told and not _has_proc():
        address = uuid.getnode()
        told = "" if address >> 40 & 1 else f"{address:012x}"  # that bit marks one that was made up
    return hashlib.sha256(f"backendexp {told}".encode()).hexdigest()[:16] if len(told) > 8 else ""


def load() -> dict[str, str]:
    """A tag that tells how busy the machine is: the runnable processes, in the mean of the last minute.

    Nothing where the system does not tell, as Windows does not.
    """
    try:
        return {"load_average": f"{os.getloadavg()[0]:.2f}"}
    except (AttributeError, OSError):
        return {}


def tags() -> dict[str, str]:
    """Tags of the machine and of this process, from which a later start sees whether it still lives."""
    try:
        token = _token_of("/proc/self/stat")
    except OSError:
        token = _token_without_proc(os.getpid())
    return {
        "cpu_model": cpu_model(),
        "cores": str(usable_cores()),
        "backendexp.host": host(),
        "backendexp.pid": str(os.getpid()),
        "backendexp.process": token or "",
        _NAMESPACE: _pid_namespace(),
        **({_MACHINE: _machine_id()} if _machine_id() else {}),
    }
