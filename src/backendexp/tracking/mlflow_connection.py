"""Connects to MLflow for writing and for reading, with a deadline, and turns its errors into ours."""

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
# mlflow imports these packages if they are installed, and works without them if they are not, as
# mlflow-skinny does. Nothing here needs them, and they take a third of mlflow's import time.
_OPTIONAL_IMPORTS = ("pandas", "pyarrow", "sklearn", "matplotlib")
# mlflow would report how it is used to its developers, from a thread of this process.
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true"}
# mlflow would print "View run" with the whole address of the server, among the results on stdout.
_SILENT = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
# A store that cannot be reached must be reported within seconds, not after minutes of retries by mlflow.
_IMPATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # https://www.postgresql.org/docs/current/libpq-envars.html
    "PGCONNECT_TIMEOUT": "10",
}
_DATABASE_PATIENCE_S = 5.0
# The number of the lock under which processes make the tables of a PostgreSQL database, and how long they
# wait for it. Making the tables takes some seconds.
_LOCK, _LOCK_PATIENCE_S = int.from_bytes(b"backend"), 60
_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def default_uri(folder: Path) -> str:
    """Return mlflow's own default store, as an absolute address."""
    return f"{_SQLITE}{folder.absolute()}/mlflow.db"


def absolute_uri(uri: str, folder: Path) -> str:
    """Return an address that does not depend on the working directory. Only relative sqlite paths change."""
    if uri.startswith(_SQLITE) and not uri.startswith(_SQLITE + "/"):
        return f"{_SQLITE}{(folder / uri.removeprefix(_SQLITE)).absolute()}"
    return uri


def database_file(uri: str) -> Path | None:
    """Return the file of an sqlite store, or None for another kind of store."""
    return Path(uri.removeprefix(_SQLITE).split("?")[0]) if uri.startswith(_SQLITE) else None


def is_database(uri: str) -> bool:
    return _dialect(uri) in ("sqlite", *_DATABASE_PORTS)


def _dialect(uri: str) -> str:
    return uri.split(":")[0].split("+")[0]


# The messages of the operating system and of SQLite, https://www.sqlite.org/rescode.html
_CANNOT_WRITE = (
    *map(os.strerror, (errno.ENOSPC, errno.EROFS, errno.EACCES)),
    "database or disk is full",
    "readonly database",
    "unable to open database file",
    "folder cannot be written",
)


def _check_room(uri: str) -> None:
    """Check that the database exists or can be created, because mlflow would keep trying for minutes.

    Raises OSError: there is no database, and it cannot be created.
    """
    file = database_file(uri)
    if file is None or file.exists() or not file.parent.is_dir():
        return
    if not os.access(file.parent, os.W_OK):
        raise PermissionError("it does not exist yet, and its folder cannot be written")


@contextmanager
def translated(uri: str, complaint: str = "did not accept it") -> Iterator[None]:
    """Turn whatever mlflow, its HTTP client or its database raise into TrackingError.

    complaint: what the message says about the store.
    """
    try:
        yield
    except TrackingError:
        raise
    except Exception as error:
        message = addresses.hidden_of(uri, str(error)).strip()
        reason = message.splitlines()[0] if message else type(error).__name__
        remedy = f". {places.STORE}" if is_database(uri) and any(w in reason for w in _CANNOT_WRITE) else ""
        raise TrackingError(
            f"the tracking store {addresses.shown(uri)} {complaint}: {reason}{remedy}"
        ) from error


def connect(uri: str) -> Any:
    """Return an MlflowClient for a store. This imports mlflow, which takes seconds.

    Raises TrackingError: the address lacks its password.
    Raises ValueError: the address is not that of a store, the driver of the database is not installed, or
        this mlflow cannot use the tables of the database.
    Raises OSError: the host of the database refuses the connection or does not answer in time, or the server
        does not answer in time.
    Raises what the driver of the database raises: the database refuses the login.
    """
    uri = addresses.whole(uri)
    if why := uri_check.fault(uri):
        raise ValueError(why)
    for name, value in _IMPATIENCE.items():
        os.environ.setdefault(name, value)
    os.environ.update(_SILENT)
    if uri.startswith(("http://", "https://")):
        _ask(uri)
    else:
        _knock(uri)
        _check_room(uri)
        if why := uri_check.missing_driver(uri):
            raise ValueError(why)
    client = import_client(is_database(uri))
    import logging

    # alembic would log every step in which it creates the tables of a new database.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    if not is_database(uri):
        return client(uri)
    file = database_file(uri)
    if file is not None:
        schema.make_whole(file)
    with _logged_in(uri):
        connected = client(uri)
        connected._tracking_client.store  # noqa: B018  When it is first read, the tables are made.
    return connected


def import_client(of_database: bool) -> Any:
    """Import mlflow, without its telemetry and what it does not need, and return MlflowClient.

    of_database: whether to import also what a client of a database needs.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    blocked = [name for name in _OPTIONAL_IMPORTS if name not in sys.modules]
    for name in blocked:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        from mlflow import MlflowClient

        if of_database:
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    except BaseException:
        # A signal has ended the import. With what is there of mlflow, the next attempt would fail.
        for name in [name for name in sys.modules if name.partition(".")[0] == "mlflow"]:
            del sys.modules[name]
        raise
    finally:
        for name in blocked:
            if name in sys.modules and sys.modules[name] is None:
                del sys.modules[name]
    return MlflowClient


def _ask(uri: str) -> None:
    """Check that a server answers in time, because mlflow would ask again and again.

    Any answer counts, whatever it says. Other problems, such as a refused connection, are left to mlflow,
    which reports them at its first request.
    Raises TimeoutError: the server does not answer, or does not accept the connection, in time.
    """
    import requests  # the client that mlflow uses, so that proxies and certificates work the same way

    patience = float(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])
    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=patience, stream=True).close()
    except requests.Timeout as error:
        raise TimeoutError(
            f"no answer within {patience:g} s. Is an MLflow server running there? If it is slow, allow "
            "more time with MLFLOW_HTTP_REQUEST_TIMEOUT=SECONDS"
        ) from error
    except requests.RequestException:
        return


def _knock(uri: str) -> None:
    """Check within seconds that a database server can be reached, because mlflow would try for minutes.

    An address that does not name a single host, such as that of a socket file, is left to the driver.
    Raises OSError: the host refuses the connection or does not answer in time.
    """
    if _dialect(uri) not in _DATABASE_PORTS:
        return
    from sqlalchemy.engine import make_url

    server = make_url(uri)
    if server.host is None or re.fullmatch(r"[\w.:-]+", server.host) is None:
        return
    port = server.port or _DATABASE_PORTS[_dialect(uri)]
    socket.create_connection((server.host, port), _DATABASE_PATIENCE_S).close()


@contextmanager
def _logged_in(uri: str) -> Iterator[None]:
    """Connect once in the way that mlflow does, and let only one process at a time make the tables.

    If the password is wrong or the database does not exist, mlflow would retry for more than a minute. If two
    processes make the tables of a database on a server at the same time, mlflow fails in one of them. A lock
    in the database itself also holds for processes on other machines.
    Raises ValueError: this mlflow cannot use the existing tables.
    Raises what the driver of the database raises: the database refuses the login.
    """
    from mlflow.store.db.utils import create_sqlalchemy_engine
    from sqlalchemy import text

    engine = create_sqlalchemy_engine(uri)  # type: ignore[no-untyped-call]
    try:
        with engine.connect() as connection:
            if _dialect(uri) == "postgresql":
                # It is released when the connection is closed, however that happens.
                # https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
                connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_PATIENCE_S}s'"))
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            why = schema.fault(engine)
            if why is not None:
                raise ValueError(why)
            yield
    finally:
        engine.dispose()


@contextmanager
def patient_database(uri: str) -> Iterator[None]:
    """Let only one process at a time open an sqlite store.

    Several processes that create its tables at the same time would break it.
    """
    if not uri.startswith("sqlite:"):
        yield
        return
    from filelock import FileLock

    with FileLock(cache.lock_file(uri)):
        yield
