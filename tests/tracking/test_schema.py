"""The tables of a database store are created completely or not at all, and only read if this MLflow knows
them.
"""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from backendexp.errors import TrackingError
from backendexp.tracking import schema
from backendexp.tracking.mlflow_reader import MlflowReader
from backendexp.tracking.mlflow_tracker import MlflowTracker

mlflow_version = version("mlflow")
# This script creates the store argv[1] in child processes. Each child gets the signal argv[2] just before its
# n-th statement on that file, for each n of argv[3:]. After each child, the script prints whether the store
# works.
KILLED_MAKER = """
import os, sqlite3, sys
from pathlib import Path
from backendexp.tracking import mlflow_connection
from backendexp.tracking.mlflow_tracker import MlflowTracker

file, number, moments = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
uri = f"sqlite:///{file}"

def make(folder):
    MlflowTracker(uri, "backendexp", None, folder)

def killed_at(moment):
    done = 0
    def count(statement):
        nonlocal done
        done += 1
        if done == moment:
            os.kill(os.getpid(), number)
    real = sqlite3.dbapi2.connect
    def connect(database, *more, **named):
        connection = real(database, *more, **named)
        if str(database) == str(file):
            connection.set_trace_callback(count)
        return connection
    sqlite3.connect = sqlite3.dbapi2.connect = connect

mlflow_connection.connect(f"sqlite:///{file.parent}/imported.db")
for moment in map(int, moments):
    file.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        killed_at(moment)
        make(file.parent)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = file.exists()
    child = os.fork()
    if not child:
        make(file.parent)
        os._exit(0)
    works = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    print(moment, status, left, works)
"""


@pytest.fixture
def file(tmp_path: Path, empty_store: bytes) -> Path:
    path = tmp_path / "mlflow.db"
    path.write_bytes(empty_store)
    return path


def change(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def tables_of(file: Path) -> dict[str, set[str]]:
    """Return the lines of the definition of each table, as sets, because mlflow changes the order of some."""
    with closing(sqlite3.connect(file)) as connection:
        made = connection.execute("SELECT type || ' ' || name, sql FROM sqlite_master").fetchall()
    return {name: {line.strip(" ,") for line in (sql or "").splitlines()} for name, sql in made}


def upgraded_to(file: Path, revision: str) -> None:
    """Create a store as mlflow does, but with the tables of an earlier version."""
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    from alembic import command
    from mlflow.store.db import utils

    engine = utils.create_sqlalchemy_engine(f"sqlite:///{file}")  # type: ignore[no-untyped-call]
    utils.InitialBase.metadata.create_all(engine)
    config = utils._get_alembic_config(f"sqlite:///{file}")  # type: ignore[no-untyped-call]
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def refusals(file: Path) -> tuple[str, str]:
    """Return the messages with which writing and reading are refused, without the address at their
    beginning.
    """
    before = file.read_bytes()
    uri = f"sqlite:///{file}"
    with pytest.raises(TrackingError) as writing:
        MlflowTracker(uri, "backendexp", None, file.parent)
    with pytest.raises(TrackingError) as reading:
        MlflowReader(uri, "backendexp")
    assert file.read_bytes() == before
    return (
        str(writing.value).removeprefix(f"the tracking store {uri} did not accept it: "),
        str(reading.value).removeprefix(f"the tracking store {uri} cannot be read: "),
    )


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(os, "fork"), reason="a killed process is a fork of the one that imported mlflow"
)
def test_process_killed_while_it_makes_a_store_leaves_one_that_can_be_used(tmp_path: Path) -> None:
    moments = ["1", "3", "30", "100"]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_MAKER, str(tmp_path / "mlflow.db"), str(int(signal.SIGKILL)), *moments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.stdout.splitlines() == [f"{moment} -9 True True" for moment in moments], ended.stderr


def test_new_store_has_the_tables_that_mlflow_makes(tmp_path: Path) -> None:
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    from mlflow.store.db import utils

    engine = utils.create_sqlalchemy_engine(f"sqlite:///{tmp_path}/mlflows.db")  # type: ignore[no-untyped-call]
    utils._initialize_tables(engine)  # type: ignore[no-untyped-call]
    engine.dispose()
    schema.make_whole(tmp_path / "a folder" / "ours.db")
    made = tables_of(tmp_path / "a folder" / "ours.db")
    assert len(made) > 50
    assert made == tables_of(tmp_path / "mlflows.db")


def test_store_that_another_process_created_in_the_meantime_is_kept(file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    schema.make_whole(file)
    assert file.read_bytes() == before


def test_empty_file_becomes_a_store_and_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.db").touch()
    (tmp_path / "mlflow.db").symlink_to(tmp_path / "elsewhere.db")
    MlflowTracker(f"sqlite:///{tmp_path}/mlflow.db", "backendexp", None, tmp_path)
    assert (tmp_path / "mlflow.db").is_symlink()
    assert "table experiments" in tables_of(tmp_path / "elsewhere.db")


MAKER = """
import sys
from pathlib import Path
from backendexp.tracking.mlflow_tracker import MlflowTracker
tracker = MlflowTracker(f"sqlite:///{sys.argv[1]}", "backendexp", None, Path.cwd())
tracker.begin(sys.argv[2], sys.argv[2], 1, {}, None)
"""


@pytest.mark.slow
def test_machines_that_create_a_store_at_the_same_time_share_it(tmp_path: Path) -> None:
    """Each machine has its own cache, so no lock is visible to the others."""
    file = tmp_path / "mlflow.db"
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", MAKER, str(file), f"record-{number}"],
            env={**os.environ, "BACKENDEXP_CACHE": str(tmp_path / f"cache-{number}")},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    said = [process.communicate(timeout=300)[1] for process in begun]
    assert [process.returncode for process in begun] == [0, 0, 0], said
    tracker = MlflowTracker(f"sqlite:///{file}", "backendexp", None, tmp_path)
    assert None not in [tracker.find(f"record-{number}") for number in range(3)]


HALF_MADE = (
    "its tables are incomplete, because the process that created them was killed. It contains no runs: "
    "remove it, and the next run creates it again"
)


@pytest.mark.parametrize(
    "made",
    [
        ["CREATE TABLE experiments (experiment_id INTEGER)"],
        [
            "CREATE TABLE experiments (experiment_id INTEGER)",
            "CREATE TABLE _alembic_tmp_metrics (step BIGINT)",
        ],
        ["CREATE TABLE alembic_version (version_num VARCHAR(32))"],
    ],
)
def test_store_that_an_earlier_version_left_incomplete_is_refused_with_advice(
    made: list[str], tmp_path: Path
) -> None:
    change(tmp_path / "mlflow.db", *made)
    assert refusals(tmp_path / "mlflow.db") == (HALF_MADE, HALF_MADE)


def test_store_without_the_last_migrations_is_incomplete_too(tmp_path: Path) -> None:
    upgraded_to(tmp_path / "mlflow.db", "451aebb31d03")
    change(tmp_path / "mlflow.db", "ALTER TABLE metrics ADD COLUMN later INTEGER")
    assert refusals(tmp_path / "mlflow.db") == (HALF_MADE, HALF_MADE)


USED = "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (0, 'Default', 'active')"


def test_store_of_an_older_mlflow_is_refused_and_not_upgraded_unasked(tmp_path: Path) -> None:
    file = tmp_path / "my old.db"
    upgraded_to(file, "451aebb31d03")
    change(file, USED)
    said = (
        f"its tables are from an older MLflow than this one, {mlflow_version}. Make a copy of the "
        f"store, and upgrade it: mlflow db upgrade 'sqlite:///{file}'"
    )
    assert refusals(file) == (said, said)


def test_store_of_a_newer_mlflow_is_refused_with_what_reads_it(file: Path) -> None:
    change(file, "UPDATE alembic_version SET version_num = 'fffffffffff0'")
    said = (
        f"its tables are from a newer MLflow than this one, {mlflow_version}. Upgrade this MLflow: "
        "pip install --upgrade mlflow; or choose another store, such as tracking.uri=sqlite:///new.db"
    )
    assert refusals(file) == (said, said)


def test_upgrade_that_was_killed_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    upgraded_to(file, "451aebb31d03")
    change(file, USED, "CREATE TABLE _alembic_tmp_runs (run_uuid VARCHAR(32))")
    said = (
        "its tables are only partly upgraded, because the process that upgraded them was killed. Restore "
        "your copy from before the upgrade, or choose another store, such as tracking.uri=sqlite:///new.db"
    )
    assert refusals(file) == (said, said)


def test_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    change(tmp_path / "places.db", "CREATE TABLE bookmarks (url TEXT)")
    said = (
        "it is a database of another program, with the table 'bookmarks'. Choose another file, such as "
        "tracking.uri=sqlite:///mlflow.db"
    )
    assert refusals(tmp_path / "places.db") == (said, said)
