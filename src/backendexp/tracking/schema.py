"""Creates the tables of a database store completely or not at all, and refuses tables that this MLflow does
not know.

mlflow creates the tables of a new store with hundreds of separate statements, and upgrades the tables of an
older store without asking. If the process is killed meanwhile, no mlflow can open the store again.
"""

import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

# alembic copies a table of sqlite in order to change it. If it is killed, the copy remains.
_COPY = "_alembic_tmp_"
_PATIENCE_S = 20.0
_HALF_MADE = (
    "its tables are incomplete, because the process that created them was killed. It contains no runs: "
    "remove it, and the next run creates it again"
)


def make_whole(file: Path) -> None:
    """Create the tables of a new sqlite store in one transaction.

    A file that already contains a table is left unchanged.
    Raises sqlite3.Error, OSError: the file cannot be written.
    """
    if file.exists() and file.stat().st_size:
        return
    statements = _statements()
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file, _PATIENCE_S, isolation_level=None)) as store:
        # Another process, even on another machine, may be creating the tables too.
        store.execute("BEGIN EXCLUSIVE")
        if not store.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in statements:
                store.execute(statement)
        store.execute("COMMIT")


def _statements() -> list[str]:
    """Return the SQL statements that create the tables of a new store.

    They are read from a store that mlflow creates in memory.
    """
    # mlflow imports this module first too, so that SQLAlchemy knows the tables before they are created.
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

    engine = create_sqlalchemy_engine("sqlite://")  # type: ignore[no-untyped-call]
    try:
        _initialize_tables(engine)  # type: ignore[no-untyped-call]
        with closing(engine.raw_connection()) as made:
            return [
                statement
                for statement in made.driver_connection.iterdump()
                if statement not in ("BEGIN TRANSACTION;", "COMMIT;")
            ]
    finally:
        engine.dispose()


def fault(engine: Any) -> str | None:
    """Return why this MLflow cannot use the tables and what to do about it.

    Returns None if it can use them, or if there are no tables yet. Nothing is changed in the store.
    engine: SQLAlchemy's engine for the store.
    """
    from alembic.migration import MigrationContext
    from sqlalchemy import inspect, text

    tables = set(inspect(engine).get_table_names())
    if not tables:
        return None
    if "experiments" not in tables:
        others = sorted(tables - {"alembic_version"})
        if engine.dialect.name != "sqlite":
            return None  # A database on a server may be shared; mlflow adds its tables to it.
        if not others:
            return _HALF_MADE
        return (
            f"it is a database of another program, with the table {others[0]!r}. Choose another file, "
            "such as tracking.uri=sqlite:///mlflow.db"
        )
    with engine.connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
        used = connection.execute(text("SELECT 1 FROM experiments")).first() is not None
    newest, known = _revisions()
    if revision == newest:
        return None
    if not used:
        return _HALF_MADE
    if any(table.startswith(_COPY) for table in tables):
        return (
            "its tables are only partly upgraded, because the process that upgraded them was killed. Restore "
            "your copy from before the upgrade, or choose another store, such as "
            "tracking.uri=sqlite:///new.db"
        )
    import mlflow

    address = shlex.quote(engine.url.render_as_string(hide_password=True))
    if revision is None or revision in known:
        return (
            f"its tables are from an older MLflow than this one, {mlflow.__version__}. Make a copy of the "
            f"store, and upgrade it: mlflow db upgrade {address}"
        )
    return (
        f"its tables are from a newer MLflow than this one, {mlflow.__version__}. Upgrade this MLflow: "
        "pip install --upgrade mlflow; or choose another store, such as tracking.uri=sqlite:///new.db"
    )


def _revisions() -> tuple[str | None, set[str]]:
    """Return the newest version of the tables that this MLflow knows, and the set of all versions."""
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    script = ScriptDirectory.from_config(_get_alembic_config(""))  # type: ignore[no-untyped-call]
    return script.get_current_head(), {known.revision for known in script.walk_revisions()}
