"""Facts of this machine and this process that every run is tagged with."""

import getpass
import os
import platform
import socket
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from backendexp.plan import usable_cores

HOST, PLACE, PID = "backendexp.host", "backendexp.place", "backendexp.pid"
PROCESS = "backendexp.process"


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


def place() -> str:
    """Where a process id belongs to one process: this machine, since it was started, in one namespace of ids.

    Three parts with slashes between, each empty where the system does not tell: the machine's id
    (machine-id(5)), that of its start (random(4)) and that of the namespace (pid_namespaces(7)). Containers
    may share the first two and the name of the host.
    """
    return "/".join((_text_of("/etc/machine-id")[:12], _text_of(_BOOT_ID)[:13], _pid_namespace()))


_BOOT_ID = "/proc/sys/kernel/random/boot_id"
# The kernel gives the first namespace of every machine this number: include/linux/proc_ns.h.
_FIRST_NAMESPACE = str(0xEFFFFFFC)


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink()).partition("[")[2].rstrip("]")
    except OSError:
        return ""


def same_start(tags: Mapping[str, str]) -> bool:
    """Whether the process with these tags runs, or ran, under the kernel that runs now."""
    theirs, ours = tags.get(PLACE, "").split("/"), place().split("/")
    return theirs[:2] == ours[:2] and ours[1] != ""


def is_dead(tags: Mapping[str, str]) -> bool | None:
    """Whether the process with these tags has ended. None: it cannot be known from here, because it ran on
    another machine or in another container, or an earlier version of backendexp did not say where.
    """
    pid, where = tags.get(PID, ""), tags.get(PLACE)
    if where is None or not pid.isdigit():
        return None
    if where == place() and tags.get(HOST) == host():
        return process_token(int(pid)) != tags.get(PROCESS)
    theirs, ours = where.split("/"), place().split("/")
    # Outside of containers nothing outlives a restart of its machine.
    restarted = theirs[0] == ours[0] != "" and theirs[1:2] != ours[1:2]
    return True if restarted and theirs[-1] == ours[-1] == _FIRST_NAMESPACE else None


def process_token(pid: int) -> str | None:
    """What tells a process from a later one with the same pid, or None: there is no such process.

    On Linux its start time in clock ticks since boot, and the boot (proc(5)); elsewhere "alive".
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path(_BOOT_ID).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _token_without_proc(pid)
    fields = stat.rpartition(")")[2].split()
    state, started = fields[0], fields[19]
    return None if state == "Z" else f"{boot[:8]}-{started}"


def _token_without_proc(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return "alive"


def load() -> dict[str, str]:
    """A tag that tells how busy the machine is: the runnable processes, in the mean of the last minute.

    Nothing where the system does not tell, as Windows does not.
    """
    try:
        return {"load_average": f"{os.getloadavg()[0]:.2f}"}
    except (AttributeError, OSError):
        return {}


def process_tags() -> dict[str, str]:
    """What `is_dead` recognises this process by."""
    return {
        HOST: host(),
        PLACE: place(),
        PID: str(os.getpid()),
        PROCESS: process_token(os.getpid()) or "",
    }


def tags() -> dict[str, str]:
    """Tags of the machine and of this process, from which a later start sees whether it still lives."""
    return {
        "cpu_model": cpu_model(),
        "cores": str(usable_cores()),
        **process_tags(),
    }
