"""MLflow servers, and the backends that can run on this machine."""

import functools
import json
import socket
import subprocess
import sys

from support.projects import Project, reached


class Servers:
    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []

    def __call__(self, project: Project, port: int | None = None, *options: str, **variables: str) -> str:
        """Start a server on the project's store, or on that of MLFLOW_BACKEND_STORE_URI, and return its
        address.

        options: of the command line. variables: of its environment.
        """
        port = port or free_port()
        store = {"MLFLOW_BACKEND_STORE_URI": project.store, **variables}
        command = [sys.executable, "-m", "mlflow", "server", *options]
        address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        log = (project.folder / "server.log").open("ab")
        with log:
            server = subprocess.Popen(
                [*command, *address],
                cwd=project.folder,
                env={**project.environment, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **store},
                stdout=log,
                stderr=log,
            )
        self._running.append(server)
        up = reached(lambda: is_open(port) or server.poll() is not None, within=120)
        assert up, "mlflow server did not start within two minutes"
        assert server.poll() is None, (project.folder / "server.log").read_text()
        return f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        """Terminate each server and its worker processes."""
        while self._running:
            server = self._running.pop()
            server.terminate()
            server.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@functools.cache
def places() -> list[tuple[str, str]]:
    """List the pairs of runtime and backend that can run here, according to `backendexp doctor`."""
    command = [sys.executable, "-m", "backendexp", "doctor", "--json"]
    findings = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return [(f["runtime"], f["backend"]) for f in findings if f["state"] != "missing"]
