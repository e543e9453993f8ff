"""Whether the address of a store can be meant. Nothing is asked there, and mlflow is not imported: a mistake
is told at once, and not after a minute in which mlflow tries it.
"""

import os
import re
from urllib.parse import urlsplit

from backendexp.spelling import nearest

_DATABASES = ("postgresql", "mysql", "mssql")
_KINDS = ("sqlite", *_DATABASES, "http", "https", "databricks", "databricks-uc", "uc", "file")
_EXPECTED = "Expected one such as sqlite:///mlflow.db or http://host:5000"
# Where the name of a module is not that of what pip installs.
_PACKAGES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
_ENCODE = "In a password, write %40 for @, %2F for /, %3A for :, %23 for # and %3F for ?"


def fault(uri: str) -> str | None:
    """What is wrong with it, in words that do not hold it, as it may hold a password. None: nothing that can
    be seen from here.
    """
    if re.fullmatch(r"[\w.-]+:\d+(/.*)?", uri):
        return f"that does not say what kind of store it is. Did you mean http://{uri}? {_EXPECTED}"
    kind, colon, _ = uri.partition(":")
    if not colon or len(kind) == 1:  # A path, on Windows too, which mlflow judges; or databricks.
        return None
    if kind == "sqlite":
        return _of_file(uri)
    if kind.split("+")[0] in _DATABASES:
        return _of_database(uri)
    if kind.lower() in ("http", "https"):
        return _of_server(uri)
    if kind.split("+")[0] not in _KINDS and kind not in _plugins():
        return f"{kind!r} is no kind of store that MLflow knows. {nearest(kind, _KINDS)}{_EXPECTED}"
    return None


def _plugins() -> set[str]:
    """Kinds of stores that other packages bring to mlflow."""
    from importlib.metadata import entry_points

    return {plugin.name for plugin in entry_points(group="mlflow.tracking_store")}


def _of_file(uri: str) -> str | None:
    prefix, path = uri[: len("sqlite:///")], uri[len("sqlite:///") :].split("?")[0]
    if prefix != "sqlite:///" or not path:
        return "it names no file. Expected sqlite:/// and the path of a file, such as sqlite:///mlflow.db"
    if path == ":memory:":
        return (
            "what is kept in memory is lost when this process ends. Expected a file, such as "
            "sqlite:///mlflow.db; for no store at all: tracking=none"
        )
    if os.path.isdir(path):
        return f"that is a folder. Expected a file, such as sqlite:///{path.rstrip('/')}/mlflow.db"
    return None


def _of_server(uri: str) -> str | None:
    try:
        parts = urlsplit(uri)
        host, user = parts.hostname, parts.username
        parts.port  # noqa: B018  It raises what is wrong.
    except ValueError:
        how = _ENCODE if "@" in uri else _EXPECTED
        return f"its port is no number from 0 to 65535, or its host cannot be read. {how}"
    if not uri.lower().startswith(("http://", "https://")) or not host:
        return f"it names no host. {_EXPECTED}"
    if user is None and ":" in parts.netloc and "@" in uri:
        return f"its password cannot be told from its path. {_ENCODE}"
    return None


def _of_database(uri: str) -> str | None:
    # mlflow reads it with this too. It takes a third of a second, and servers of databases are rare.
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        host = make_url(uri).host or ""
    except (ArgumentError, ValueError):
        return f"it cannot be read. Expected postgresql://USER:PASSWORD@HOST:5432/DATABASE. {_ENCODE}"
    if "@" in host:
        return f"it has more than one @, so its password cannot be told from its host. {_ENCODE}"
    return None


def missing_driver(uri: str) -> str | None:
    """What a database server, at an address without a fault, lacks in this Python, and what brings it."""
    if uri.split(":")[0].split("+")[0] not in _DATABASES:
        return None
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import NoSuchModuleError

    url = make_url(uri)
    driver = url.drivername
    try:
        driver = url.get_driver_name()
        url.get_dialect().import_dbapi()
    except NoSuchModuleError:
        return f"{driver!r} is no driver of {url.get_backend_name()} that SQLAlchemy knows"
    except ImportError as error:
        module = (error.name or driver).split(".")[0]
        package = _PACKAGES.get(module, module)
        return f"it needs the driver {module}, which is not here. Install it with: pip install '{package}'"
    return None
