"""Reads the runs of a tracking store with SQL, so that neither MLflow nor backendexp judges itself."""

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlparse

from backendexp.runs import starts, sweep_ids


@dataclass
class StoredRun:
    """A run as the tables of the store have it. metrics: key, value, milliseconds since 1970 and step."""

    run_id: str
    status: str
    artifacts: Path
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: Counter[tuple[str, float, int, int]] = field(default_factory=Counter)


class Stored:
    """What a store has, read from its SQLite file.

    runs: the runs of each record. statuses: of all runs that are not deleted. deleted: how many are.
    """

    def __init__(self, file: Path) -> None:
        with closing(sqlite3.connect(file)) as base:
            found = {
                row[0]: StoredRun(row[0], row[1], _artifacts(row[2], file.parent))
                for row in base.execute(
                    "SELECT run_uuid, status, artifact_uri FROM runs WHERE lifecycle_stage = 'active'"
                )
            }
            self.deleted = base.execute(
                "SELECT count(*) FROM runs WHERE lifecycle_stage = 'deleted'"
            ).fetchone()[0]
            for table in ("tags", "params"):
                for run_id, key, value in base.execute(f"SELECT run_uuid, key, value FROM {table}"):
                    if run_id in found:
                        getattr(found[run_id], table)[key] = value
            for run_id, *metric in base.execute("SELECT run_uuid, key, value, timestamp, step FROM metrics"):
                if run_id in found:
                    found[run_id].metrics[tuple(metric)] += 1
        self.statuses = {run_id: run.status for run_id, run in found.items()}
        self.runs: dict[str, list[StoredRun]] = {}
        for run in found.values():
            self.runs.setdefault(run.tags.get("backendexp.record", ""), []).append(run)

    def counted(self, identity: str | None) -> list[StoredRun]:
        """The runs of a sweep that count, as `backendexp compare` chooses them."""
        runs = [
            run
            for several in self.runs.values()
            for run in several
            if run.tags.get(sweep_ids.TAG) == identity and "plan" in run.tags
        ]
        return starts.counted(
            runs,
            lambda run: (
                starts.key_of(run.tags["plan"], run.tags),
                run.status == "FINISHED",
                starts.number_of(run.tags),
            ),
        )


def _artifacts(uri: str, folder: Path) -> Path:
    """The folder with the artifacts of a run. Those of a server are below its own folder."""
    path = unquote(urlparse(uri).path)
    if uri.startswith("mlflow-artifacts:"):
        return folder / "artifacts" / path.lstrip("/")
    return Path(path)
