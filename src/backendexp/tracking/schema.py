"""The tables of a database store: made whole or not at all, and used only where this MLflow knows them.

mlflow makes the tables of a new store by hundreds of statements, each for itself, and upgrades those of an
older one without being asked. A process that is killed meanwhile leaves a store that no mlflow opens again.
"""

import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

# alembic copies a table of sqlite to change it, and leaves the copy when it is killed.
_COPY = "_alembic_tmp_"
_PATIENCE_S = 20.0
_HALF_MADE = (
    "its tables are half made, as the process that made them was killed. There are no runs in it: remove it, "
    "and the next run makes it anew"
)


def make_whole(file: Path) -> None:
    """Give a new sqlite store its tables, in one transaction; a file that holds any table is left as it is.

    Raises sqlite3.Error, OSError: it cannot be written.
    """
    if file.exists() and file.stat().st_size:
        return
    statements = _statements()
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file, _PATIENCE_S, isolation_level=None)) as store:
        # Another process, on another machine even, may make it too.
        store.execute("BEGIN EXCLUSIVE")
        if not store.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in statements:
                store.execute(statement)
        store.execute("COMMIT")


def _statements() -> list[str]:
    """What makes the tables of a new store, as mlflow makes them, in memory."""
    # mlflow imports it first too: with it, SQLAlchemy knows the tables before they are made.
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
    """Why this MLflow cannot use the tables, and the way out; None: it can, or there are none yet.

    engine: SQLAlchemy's, of the store. Nothing is changed there.
    """
    from alembic.migration import MigrationContext
    from sqlalchemy import inspect, text

    tables = set(inspect(engine).get_table_names())
    if not tables:
        return None
    if "experiments" not in tables:
        others = sorted(tables - {"alembic_version"})
        if engine.dialect.name != "sqlite":
            return None  # A server's database may be shared; mlflow makes its tables beside the others.
        if not others:
            return _HALF_MADE
        return (
            f"it is a database of something else, with the table {others[0]!r}. Name a file of its own, "
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
            "its tables are half upgraded, as the process that upgraded them was killed. Put back the copy "
            "from before, or name another store, such as tracking.uri=sqlite:///new.db"
        )
    import mlflow

    address = shlex.quote(engine.url.render_as_string(hide_password=True))
    if revision is None or revision in known:
        return (
            f"its tables are of an older MLflow than this one, {mlflow.__version__}. Make a copy of it, and "
            f"upgrade it: mlflow db upgrade {address}"
        )
    return (
        f"its tables are of a newer MLflow than this one, {mlflow.__version__}. Upgrade this one: "
        "pip install --upgrade mlflow; or name another store, such as tracking.uri=sqlite:///new.db"
    )


def _revisions() -> tuple[str | None, set[str]]:
    """(the newest, all) versions of the tables that this MLflow knows."""
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    script = ScriptDirectory.from_config(_get_alembic_config(""))  # type: ignore[no-untyped-call]
    return script.get_current_head(), {known.revision for known in script.walk_revisions()}
