"""Checks whether an address can be that of a store, without connecting to it or importing mlflow.

A mistake is thus reported at once, not after mlflow has tried the address for a minute.
"""

import os
import re
from urllib.parse import urlsplit

from backendexp.spelling import nearest

_DATABASES = ("postgresql", "mysql", "mssql")
_KINDS = ("sqlite", *_DATABASES, "http", "https", "databricks", "databricks-uc", "uc", "file")
_EXPECTED = "Expected one such as sqlite:///mlflow.db or http://host:5000"
# The modules whose name differs from that of the package that pip installs.
_PACKAGES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
_ENCODE = "In a password, write %40 for @, %2F for /, %3A for :, %23 for # and %3F for ?"


def fault(uri: str) -> str | None:
    """Return what is wrong with the address, or None if nothing is visibly wrong.

    The message does not repeat the address, because it may contain a password.
    """
    if re.fullmatch(r"[\w.-]+:\d+(/.*)?", uri):
        return f"it does not say what kind of store it is. Did you mean http://{uri}? {_EXPECTED}"
    kind, colon, _ = uri.partition(":")
    if not colon or len(kind) == 1:  # It is databricks, or a path (also on Windows), which mlflow judges.
        return None
    if kind == "sqlite":
        return _of_file(uri)
    if kind.split("+")[0] in _DATABASES:
        return _of_database(uri)
    if kind.lower() in ("http", "https"):
        return _of_server(uri)
    if kind.split("+")[0] not in _KINDS and kind not in _plugins():
        return f"{kind!r} is not a kind of store that MLflow knows. {nearest(kind, _KINDS)}{_EXPECTED}"
    return None


def _plugins() -> set[str]:
    """Return the kinds of stores that other packages add to mlflow."""
    from importlib.metadata import entry_points

    return {plugin.name for plugin in entry_points(group="mlflow.tracking_store")}


def _of_file(uri: str) -> str | None:
    prefix, path = uri[: len("sqlite:///")], uri[len("sqlite:///") :].split("?")[0]
    if prefix != "sqlite:///" or not path:
        return (
            "it does not name a file. Expected sqlite:/// and the path of a file, such as sqlite:///mlflow.db"
        )
    if path == ":memory:":
        return (
            "a store in memory is lost when this process ends. Expected a file, such as "
            "sqlite:///mlflow.db; to use no store at all: tracking=none"
        )
    if os.path.isdir(path):
        return f"it is a folder. Expected a file, such as sqlite:///{path.rstrip('/')}/mlflow.db"
    return None


def _of_server(uri: str) -> str | None:
    try:
        parts = urlsplit(uri)
        host, user = parts.hostname, parts.username
        parts.port  # noqa: B018  Reading the port raises an error if it is wrong.
    except ValueError:
        how = _ENCODE if "@" in uri else _EXPECTED
        return f"its port is not a number from 0 to 65535, or its host cannot be read. {how}"
    if not uri.lower().startswith(("http://", "https://")) or not host:
        return f"it does not name a host. {_EXPECTED}"
    if user is None and ":" in parts.netloc and "@" in uri:
        return f"its password cannot be distinguished from its path. {_ENCODE}"
    return None


def _of_database(uri: str) -> str | None:
    # mlflow reads the address in the same way. The import takes a third of a second, which is acceptable
    # because database servers are rare.
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        host = make_url(uri).host or ""
    except (ArgumentError, ValueError):
        return f"it cannot be read. Expected postgresql://USER:PASSWORD@HOST:5432/DATABASE. {_ENCODE}"
    if "@" in host:
        return f"it has more than one @, so its password cannot be distinguished from its host. {_ENCODE}"
    return None


def missing_driver(uri: str) -> str | None:
    """Return which driver of a database server is missing from this Python, and how to install it.

    Returns None if no driver is missing. uri: an address in which `fault` found nothing wrong.
    """
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
        return f"{driver!r} is not a driver for {url.get_backend_name()} that SQLAlchemy knows"
    except ImportError as error:
        module = (error.name or driver).split(".")[0]
        package = _PACKAGES.get(module, module)
        return (
            f"it needs the driver {module}, which is not installed. Install it with: pip install '{package}'"
        )
    return None
