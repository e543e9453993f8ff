"""`backendexp ui` starts the MLflow UI on the store that runs are tracked in."""

import os
import sys
from pathlib import Path
from typing import NoReturn

from backendexp.config.schema import TrackingConfig, check_tracking
from backendexp.errors import TrackingError, UserError
from backendexp.runs.session import destination
from backendexp.tracking import addresses
from backendexp.tracking.mlflow_connection import database_file

_USAGE = """usage: backendexp ui [tracking.uri=URI] [port=5000]

Serve the MLflow UI on 127.0.0.1 for the store that runs are tracked in. The store is tracking.uri,
otherwise MLFLOW_TRACKING_URI, otherwise sqlite:///mlflow.db in the current directory."""


def main(arguments: list[str]) -> int:
    """Replace this process with `mlflow server`.

    Raises UserError: an argument is not known, or the store does not exist yet.
    """
    if {"-h", "--help"} & set(arguments):
        print(_USAGE)
        return 0
    settings = dict(word.split("=", 1) for word in arguments if "=" in word)
    unknown = [w for w in arguments if w.split("=")[0] not in ("tracking.uri", "port") or "=" not in w]
    if unknown:
        raise UserError(f"{unknown[0]} is not known.\n{_USAGE}")
    port = settings.get("port", "5000")
    if not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise UserError(f"port is {port!r}: expected a number from 1 to 65535")
    tracking = TrackingConfig(uri=settings.get("tracking.uri"))
    check_tracking(tracking)
    uri = destination(tracking, Path.cwd()).uri
    if uri.startswith("http"):
        raise UserError(f"{addresses.page(uri)} is already a server: open it in a browser")
    database = database_file(uri)
    if database is not None and not database.exists():
        raise UserError(
            f"{database} does not exist yet: run an experiment first, e.g. backendexp backend=jax"
        )
    try:
        return _serve(addresses.whole(uri), port)
    except TrackingError as error:
        raise UserError(str(error)) from error


def _serve(uri: str, port: str) -> NoReturn:
    # One worker and no job queue are enough for one person, and the UI starts in seconds instead of half a
    # minute.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--workers", "1"]
    if addresses.shown(uri) != uri:  # All users of the machine can read the arguments of a process.
        command[4:6] = []
        os.environ["MLFLOW_BACKEND_STORE_URI"] = uri
    os.execv(sys.executable, [*command, "--host", "127.0.0.1", "--port", port])
