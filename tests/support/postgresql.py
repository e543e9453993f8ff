"""PostgreSQL servers on loopback, which keep their data in a folder of their own."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from support.projects import reached
from support.servers import free_port

# Debian keeps the programs of the server in a folder for each version, and not on PATH.
_INSTALLED = Path("/usr/lib/postgresql")
_USER = "mlflow"
_INITDB = ("--auth=scram-sha-256", "--no-sync", "--no-locale", "--encoding=UTF8", f"--username={_USER}")
# The data need not outlive a crash of the machine.
_FAST = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off")


@dataclass(frozen=True)
class Postgres:
    """A server that is up. It lets nobody in without the password."""

    port: int
    password: str

    def database(self, name: str) -> str:
        """Make a database, and return its address, in which the password is escaped."""
        import psycopg

        entry = f"host=127.0.0.1 port={self.port} user={_USER} dbname=postgres"
        with psycopg.connect(entry, password=self.password, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql+psycopg://{_USER}:{quote(self.password, safe='')}@127.0.0.1:{self.port}/{name}"


@contextmanager
def running(password: str) -> Iterator[Postgres]:
    """A new server, which is stopped and removed at the end."""
    programs = sorted(_INSTALLED.glob("*/bin"))
    if not programs:
        pytest.fail("a test of a shared server needs PostgreSQL: apt install postgresql")
    # The folders of pytest are closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    secret = folder / "password"
    secret.write_text(password)
    # PostgreSQL refuses to run as root, which is what tests in a container run as.
    user: dict[str, Any] = {}
    if os.getuid() == 0:
        user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        for path in (folder, secret):
            shutil.chown(path, "nobody", "nogroup")
    make = [programs[-1] / "initdb", *_INITDB, f"--pwfile={secret}", folder / "data"]
    try:
        made = subprocess.run(make, capture_output=True, text=True, cwd=folder, **user)
        assert made.returncode == 0, made.stderr
        with _started(programs[-1], folder, user) as port:
            yield Postgres(port, password)
    finally:
        shutil.rmtree(folder)


@contextmanager
def _started(programs: Path, folder: Path, user: dict[str, Any]) -> Iterator[int]:
    """Start a server on the data of a folder. Returns its port."""
    port = free_port()
    address = ["-c", "listen_addresses=127.0.0.1", "-p", str(port), "-k", str(folder)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", *_FAST, *address],
            stdout=log,
            stderr=log,
            cwd=folder,
            **user,
        )
    try:
        ready = [programs / "pg_isready", "--quiet", "--host=127.0.0.1", f"--port={port}"]
        up = reached(lambda: server.poll() is not None or subprocess.run(ready).returncode == 0, 60)
        assert up, "PostgreSQL did not start within a minute"
        assert server.poll() is None, (folder / "log").read_text()
        yield port
    finally:
        server.send_signal(signal.SIGINT)  # SIGTERM would wait until the last client has left
        server.wait(timeout=30)
