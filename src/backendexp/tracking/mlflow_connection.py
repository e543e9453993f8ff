"""What writing to MLflow and reading from it share: a client of its own, a deadline, and errors of ours."""

import errno
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backendexp import cache, places
from backendexp.errors import TrackingError
from backendexp.tracking import addresses, schema, uri_check

_SQLITE = "sqlite:///"
# mlflow imports pandas and others where they are installed, and does without them where they are not (it
# is how mlflow-skinny works). Nothing here needs them, and they are a third of its import.
_OPTIONAL_IMPORTS = ("pandas", "pyarrow", "sklearn", "matplotlib")
# mlflow would report our use of it to its makers, from a thread of this process.
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true"}
# It would print "View run" with the whole address of the server, among the results on stdout.
_SILENT = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
# A store that is not there should be said within seconds, not after mlflow's minutes of retries.
_IMPATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # https://www.postgresql.org/docs/current/libpq-envars.html
    "PGCONNECT_TIMEOUT": "10",
}
_DATABASE_PATIENCE_S = 5.0
_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def default_uri(folder: Path) -> str:
    """mlflow's own default, made absolute."""
    return f"{_SQLITE}{folder.absolute()}/mlflow.db"


def absolute_uri(uri: str, folder: Path) -> str:
    """The same store, whatever the working directory. Only relative sqlite paths change."""
    if uri.startswith(_SQLITE) and not uri.startswith(_SQLITE + "/"):
        return f"{_SQLITE}{(folder / uri.removeprefix(_SQLITE)).absolute()}"
    return uri


def database_file(uri: str) -> Path | None:
    """The file of an sqlite store, or None: it is another kind of store."""
    return Path(uri.removeprefix(_SQLITE).split("?")[0]) if uri.startswith(_SQLITE) else None


def is_database(uri: str) -> bool:
    return _dialect(uri) in ("sqlite", *_DATABASE_PORTS)


def _dialect(uri: str) -> str:
    return uri.split(":")[0].split("+")[0]


# As the system and SQLite have it, https://www.sqlite.org/rescode.html
_CANNOT_WRITE = (
    *map(os.strerror, (errno.ENOSPC, errno.EROFS, errno.EACCES)),
    "database or disk is full",
    "readonly database",
    "unable to open database file",
    "folder cannot be written",
)


def _check_room(uri: str) -> None:
    """Raises OSError: there is no database, and none can be made. mlflow would try for minutes."""
    file = database_file(uri)
    if file is None or file.exists() or not file.parent.is_dir():
        return
    if not os.access(file.parent, os.W_OK):
        raise PermissionError("there is none yet, and its folder cannot be written")


@contextmanager
def translated(uri: str, complaint: str = "did not take it") -> Iterator[None]:
    """Whatever mlflow, its HTTP client or its database raise comes out as TrackingError."""
    try:
        yield
    except TrackingError:
        raise
    except Exception as error:
        told = addresses.hidden_of(uri, str(error)).strip()
        reason = told.splitlines()[0] if told else type(error).__name__
        remedy = f". {places.STORE}" if is_database(uri) and any(w in reason for w in _CANNOT_WRITE) else ""
        raise TrackingError(
            f"the tracking store {addresses.shown(uri)} {complaint}: {reason}{remedy}"
        ) from error


def connect(uri: str) -> Any:
    """An MlflowClient. It imports mlflow, which takes seconds.

    Raises TrackingError: the address lacks its password.
    Raises ValueError: it is no address of a store, the database's driver is not here, or this mlflow cannot
    use its tables; OSError: nobody listens where the database should be, or the server gives no answer; and
    what the database's driver raises, where the database lets nobody in.
    """
    uri = addresses.whole(uri)
    if why := uri_check.fault(uri):
        raise ValueError(why)
    for name, value in {**_QUIET, **_IMPATIENCE}.items():
        os.environ.setdefault(name, value)
    os.environ.update(_SILENT)
    if uri.startswith(("http://", "https://")):
        _ask(uri)
    else:
        _knock(uri)
        _check_room(uri)
        if why := uri_check.missing_driver(uri):
            raise ValueError(why)
    blocked = [name for name in _OPTIONAL_IMPORTS if name not in sys.modules]
    for name in blocked:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        from mlflow import MlflowClient
    finally:
        for name in blocked:
            if name in sys.modules and sys.modules[name] is None:
                del sys.modules[name]
    import logging

    # alembic tells of every step of a new database's schema.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    if is_database(uri):
        file = database_file(uri)
        if file is not None:
            schema.make_whole(file)
        _log_in(uri)
    return MlflowClient(uri)


def _ask(uri: str) -> None:
    """Raises TimeoutError: a server gives no answer, or no connection. mlflow would ask again and again.

    Whatever it answers is an answer. What else goes wrong, such as a connection that is refused, mlflow meets
    at its first request, and tells.
    """
    import requests  # mlflow's own client, so that a proxy or a certificate counts as it does there

    patience = float(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])
    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=patience, stream=True).close()
    except requests.Timeout as error:
        raise TimeoutError(
            f"no answer within {patience:g} s. Is an MLflow server running there? A slow one gets more time "
            "with MLFLOW_HTTP_REQUEST_TIMEOUT=SECONDS"
        ) from error
    except requests.RequestException:
        return


def _knock(uri: str) -> None:
    """Raises OSError within seconds, where mlflow would try a database server for minutes.

    An address without one host, such as that of a socket file, is left to the database's driver.
    """
    if _dialect(uri) not in _DATABASE_PORTS:
        return
    from sqlalchemy.engine import make_url

    server = make_url(uri)
    if server.host is None or re.fullmatch(r"[\w.:-]+", server.host) is None:
        return
    port = server.port or _DATABASE_PORTS[_dialect(uri)]
    socket.create_connection((server.host, port), _DATABASE_PATIENCE_S).close()


def _log_in(uri: str) -> None:
    """One connection, as mlflow makes it. A wrong password, or a database that is not there, it would try
    again for more than a minute. Raises ValueError: this mlflow cannot use the tables that are there.
    """
    from mlflow.store.db.utils import create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(uri)  # type: ignore[no-untyped-call]
    try:
        engine.connect().close()
        why = schema.fault(engine)
    finally:
        engine.dispose()
    if why is not None:
        raise ValueError(why)


@contextmanager
def patient_database(uri: str) -> Iterator[None]:
    """One process at a time opens an sqlite store: several that make its tables at once break it."""
    if not uri.startswith("sqlite:"):
        yield
        return
    from filelock import FileLock

    with FileLock(cache.lock_file(uri)):
        yield
