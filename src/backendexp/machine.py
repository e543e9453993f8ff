"""Facts of this machine and this process that every run is tagged with."""

import getpass
import os
import platform
import socket
import subprocess
from functools import cache
from pathlib import Path

from backendexp.plan import usable_cores


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


def process_token(pid: int) -> str | None:
    """What tells a process from a later one with the same pid, or None: there is no such process.

    On Linux its start time in clock ticks since boot, and the boot (proc(5)); elsewhere "alive".
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
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


def tags() -> dict[str, str]:
    """Tags of the machine and of this process, from which a later start sees whether it still lives."""
    return {
        "cpu_model": cpu_model(),
        "cores": str(usable_cores()),
        "backendexp.host": host(),
        "backendexp.pid": str(os.getpid()),
        "backendexp.process": process_token(os.getpid()) or "",
    }
