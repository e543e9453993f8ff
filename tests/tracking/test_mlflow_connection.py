"""Connections to stores, and how long they wait for an answer."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backendexp.errors import TrackingError
from backendexp.tracking import addresses
from backendexp.tracking.mlflow_connection import (
    connect,
    database_file,
    is_database,
    translated,
)
from backendexp.tracking.mlflow_reader import MlflowReader
from support.command import Command


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("kind", ["postgresql", "postgresql+psycopg", "mysql+pymysql"])
def test_a_missing_database_server_is_reported_within_seconds(kind: str, closed_port: int) -> None:
    uri = f"{kind}://me:secret@127.0.0.1:{closed_port}/mlflow"
    began = time.monotonic()
    with pytest.raises(TrackingError) as refusal, translated(uri, "cannot be read"):
        connect(uri)
    assert time.monotonic() - began < 10
    shown = f"{kind}://me:***@127.0.0.1:{closed_port}/mlflow"
    assert str(refusal.value).startswith(f"the tracking store {shown} cannot be read: ")
    assert "refused" in str(refusal.value)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_server_that_never_answers_is_reported_within_seconds(
    silent_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    began = time.monotonic()
    with pytest.raises(TrackingError) as refusal:
        MlflowReader(silent_server, "backendexp")
    assert time.monotonic() - began < 20
    assert str(refusal.value) == (
        f"the tracking store {silent_server} cannot be read: no answer within 1 s. Is an MLflow server "
        "running there? If it is slow, allow more time with MLFLOW_HTTP_REQUEST_TIMEOUT=SECONDS"
    )


def test_compare_gives_a_silent_server_ten_seconds(silent_server: str, backendexp: Command) -> None:
    began = time.monotonic()
    ended = backendexp("compare", f"tracking.uri={silent_server}", timeout=100)
    assert time.monotonic() - began < 60
    assert ended.returncode == 2
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith(
        f"backendexp: the tracking store {silent_server} cannot be read: no answer within 10 s. "
    )


@pytest.mark.parametrize(
    ("uri", "file", "database"),
    [
        ("sqlite:////tmp/mlflow.db", Path("/tmp/mlflow.db"), True),
        ("sqlite:////tmp/mlflow.db?timeout=9", Path("/tmp/mlflow.db"), True),
        ("postgresql://host/db", None, True),
        ("mssql+pyodbc://host/db", None, True),
        ("http://host:5000", None, False),
        ("databricks", None, False),
    ],
)
def test_kinds_of_stores_are_distinguished(uri: str, file: Path | None, database: bool) -> None:
    assert database_file(uri) == file
    assert is_database(uri) == database


# Prints the variables that change in this process when it uses a store, and those that change for workers.
VARIABLES = """
import json, os, sys
from backendexp.runs.worker_pool import Surroundings, environment_of
from backendexp.tracking.mlflow_connection import connect

def variables():
    workers = environment_of(Surroundings("jax", "keras3", 1), own_interpreter=True)
    return dict(os.environ), workers

before = variables()
connect(sys.argv[1])
print(json.dumps([sorted({name for name, _ in old.items() ^ new.items()})
                  for old, new in zip(before, variables())]))
"""


def test_settings_for_the_store_do_not_reach_workers(tmp_path: Path) -> None:
    """If its environment changed, later runs could not share the worker of the first."""
    # `mlflow run` starts projects with this variable of its telemetry, which backendexp switches off.
    telemetry = "_MLFLOW_TELEMETRY_SESSION_ID"
    # A test that connected in this process has left the other one.
    kept = {name: value for name, value in os.environ.items() if name != "PGCONNECT_TIMEOUT"}
    answer = subprocess.run(
        [sys.executable, "-c", VARIABLES, f"sqlite:///{tmp_path / 'mlflow.db'}"],
        env={**kept, telemetry: "0123"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr
    here, for_workers = json.loads(answer.stdout.splitlines()[-1])
    assert {"PGCONNECT_TIMEOUT", telemetry} <= set(here)
    assert for_workers == []


INTERRUPTED = """
import sys
from backendexp.tracking.mlflow_connection import connect

class Interrupting:
    left = sys.argv[2:]

    def find_spec(self, name, path=None, target=None):
        if self.left and name == self.left[0]:
            del self.left[0]
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
while Interrupting.left:
    try:
        connect(sys.argv[1])
    except KeyboardInterrupt:
        print("interrupted")
print(len(connect(sys.argv[1]).search_experiments()))
"""


@pytest.mark.slow
def test_store_can_be_used_after_the_import_of_mlflow_was_interrupted(tmp_path: Path) -> None:
    """The run that a signal ends is written to the store by the same process."""
    # In the middle of mlflow, of the tables of its database, and of what it imports last.
    modules = ["mlflow.entities.run", "mlflow.store.tracking.dbmodels.models", "mlflow.store.db.utils"]
    answer = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, f"sqlite:///{tmp_path / 'mlflow.db'}", *modules],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == ["interrupted"] * 3 + ["1"]


def test_our_own_errors_are_not_translated_again() -> None:
    with pytest.raises(TrackingError, match=r"^as it was$"), translated("http://host"):
        raise TrackingError("as it was")


def test_the_first_line_of_an_error_is_the_reason() -> None:
    with (
        pytest.raises(TrackingError, match=r"^the tracking store http://host did not accept it: no room$"),
        translated("http://host"),
    ):
        raise RuntimeError("no room\nat all")


@pytest.mark.parametrize("uri", ["http://me:s%3Ccret@host", "postgresql://host/db?password=s%3Ccret"])
def test_an_error_of_another_library_is_shown_without_the_password(uri: str) -> None:
    shown = addresses.shown(uri)
    with pytest.raises(TrackingError) as refusal, translated(addresses.keep(uri)):
        raise RuntimeError(f"cannot open {uri} for me with s<cret or 's%3ccret'")
    assert str(refusal.value) == (
        f"the tracking store {shown} did not accept it: cannot open {shown} for me with *** or '***'"
    )


def test_mlflow_is_kept_from_printing_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "false")
    connect(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] == "true"
