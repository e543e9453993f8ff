"""A place in which everything can fail: a disk that can be full, and a tracking server that can be away."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from measure import say

from backendexp.tracking import addresses

_MARK = "BACKENDEXP_FAULTS"
_DISK_BYTES = 64 * 2**20
# MLflow's client gives up on a request after this many seconds.
PATIENCE_S = 3


@dataclass(frozen=True)
class Lab:
    """folder: of everything. disk: the folder of the projects. mounted: whether it is a file system."""

    folder: Path
    disk: Path
    mounted: bool

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(addresses.MLFLOW_VARIABLES)}
        return {
            **kept,
            _MARK: str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            "BACKENDEXP_CACHE": str(self.folder / "cache"),
            "MLFLOW_HTTP_REQUEST_TIMEOUT": str(PATIENCE_S),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }

    def processes(self) -> list[psutil.Process]:
        """All living processes that were started in this laboratory."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                ours = process.environ().get(_MARK) == str(self.folder)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


@contextmanager
def laboratory(keep: bool) -> Iterator[Lab]:
    folder = Path(tempfile.mkdtemp(prefix="backendexp-faults-"))
    disk = folder / "disk"
    for one in (disk, folder / "tmp", folder / "cache"):
        one.mkdir()
    mounted = _mount(disk)
    lab = Lab(folder, disk, mounted)
    try:
        yield lab
    finally:
        for process in lab.processes():
            with suppress(psutil.Error):
                process.kill()
                process.wait(5)
        if mounted and keep:
            shutil.copytree(disk, folder / "kept", symlinks=True)
        if mounted:
            subprocess.run(["umount", "-l", str(disk)], check=False)
        if keep:
            say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _mount(place: Path) -> bool:
    if sys.platform != "linux" or shutil.which("mount") is None:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(place)]
    return subprocess.run(command, capture_output=True).returncode == 0


class Gate:
    """Stands between backendexp and the server, and passes everything on, unless it is told otherwise.

    late_s: by how long answers are late.
    loses_answers: whether the connection is closed when the answer arrives.
    """

    def __init__(self, behind: int) -> None:
        self.late_s = 0.0
        self.loses_answers = False
        self._behind = behind
        self._open: list[socket.socket] = []
        self._listener = self._listen(0)
        self.port = int(self._listener.getsockname()[1])

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._behind), 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self._open += [client, server]
            for source, target, answers in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pass, args=(source, target, answers), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if answers and self.late_s:
                    time.sleep(self.late_s)
                if answers and self.loses_answers:
                    break
                target.sendall(data)
        for one in (source, target):
            _end(one)
            with suppress(ValueError):
                self._open.remove(one)

    def refuse(self) -> None:
        """Refuse all connections, and end those that exist."""
        _end(self._listener)
        for one in list(self._open):
            _end(one)

    def admit(self) -> None:
        with suppress(OSError):
            self._listener = self._listen(self.port)

    def close(self) -> None:
        self.refuse()


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class Server:
    """An MLflow server on a SQLite file, which is not on the disk that can be full."""

    def __init__(self, lab: Lab, number: int) -> None:
        self.folder = lab.folder / f"server-{number}"
        self.folder.mkdir()
        self.file = self.folder / "mlflow.db"
        self._environment = {**lab.environment, "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{self.file}"}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--workers", "1", "--artifacts-destination", str(self.folder / "artifacts")],
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.2)
        sys.exit(f"mlflow server did not start: {(self.folder / 'server.log').read_text(encoding='utf-8')}")

    def processes(self) -> list[psutil.Process]:
        if self._process is None:
            return []
        first = psutil.Process(self._process.pid)
        return [first, *first.children(recursive=True)]

    def stop(self) -> None:
        if self._process is not None:
            _, *children = self.processes()
            self._process.terminate()
            self._process.wait(timeout=60)
            for child in psutil.wait_procs(children, timeout=10)[1]:
                child.kill()
            self._process = None
