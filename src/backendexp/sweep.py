"""A Hydra sweep: checked whole before it starts, told whole when it ends."""

import contextlib
import json
import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backendexp import machine, record, results, summary, summary_run
from backendexp.errors import ConfigError, TrackingError
from backendexp.experiment import Conclusion
from backendexp.record import RunRecord
from backendexp.session import Destination, Session, source_tags
from backendexp.summary import Table
from backendexp.tracking.base import Metric, Report

_TAG = "sweep"
# In the folder of a sweep: its id, and the process that started it.
_IDENTITY = "sweep-id.json"


@dataclass(frozen=True)
class Sweep:
    """id: tag of its runs. directory: where its jobs write. began: seconds since 1970."""

    id: str
    directory: Path
    began: float

    def records(self) -> list[RunRecord]:
        """The runs of the sweep, from whatever process they were made by, in the order of their start.
        Warm-up runs are not among them.
        """
        return [record.load(directory) for directory in record.find([self.directory])]


def sweep_of(directory: str) -> Sweep:
    """The sweep whose jobs write below `directory`; the same in every process of the sweep, and when it is
    started once more into the same folder. It is named after its folder, and after nobody else's folder of
    that name: two machines may start sweeps within one second.
    """
    path = Path(directory).absolute()
    return Sweep(_identity(path, started_by=None)["id"], path, time.time())


def begin(directory: str) -> Sweep:
    """As `sweep_of`, by the process that starts the sweep.

    Raises ConfigError: another process, which is alive, has started one there.
    """
    path = Path(directory).absolute()
    own = machine.process_tags()
    told = _identity(path, started_by=own)
    starter = told["started_by"]
    if starter not in (None, own) and machine.is_dead(starter) is False:
        raise ConfigError(
            f"another sweep, which still runs, writes into {directory}. Start this one again, or name "
            "another folder with hydra.sweep.dir=FOLDER"
        )
    if starter != own:
        (path / _IDENTITY).write_text(json.dumps({**told, "started_by": own}), encoding="utf-8")
    return Sweep(told["id"], path, time.time())


def _identity(folder: Path, started_by: dict[str, str] | None) -> dict[str, Any]:
    """What the folder holds; the first process that asks decides it, whole and once."""
    file = folder / _IDENTITY
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{folder.parent.name}/{folder.name}-{uuid.uuid4().hex[:6]}"
        part = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
        part.write_text(json.dumps({"id": name, "started_by": started_by}), encoding="utf-8")
        with contextlib.suppress(FileExistsError):
            os.link(part, file)
        part.unlink()
    return dict(json.loads(file.read_text(encoding="utf-8")))


def id_of(directory: Path) -> str | None:
    """The id of the sweep that wrote into a folder. None: none did, or an earlier version, which named its
    sweeps by the last two parts of the path.
    """
    try:
        return str(json.loads((directory / _IDENTITY).read_text(encoding="utf-8"))["id"])
    except OSError:
        return None


def tags(sweep: Sweep) -> dict[str, str]:
    return {_TAG: sweep.id}


def conclude(folder: Path, records: Sequence[RunRecord], planned: int) -> Conclusion:
    """What a sweep came to. planned: how many runs it was to have, 0 where nobody knew."""
    note = markdown(records)
    said = tables_and_caveats(records)
    if len(records) < planned:
        said.append(f"Note: the sweep ended after {len(records)} of {planned} runs.")
    return Conclusion("sweep", said, note, artifacts=[write_page(folder, "sweep", note)])


def tables_and_caveats(records: Sequence[RunRecord]) -> list[str | Table]:
    """For the terminal: every run, the medians, and what to know before believing them."""
    runs = list(records)
    notes = (f"Note: {line}" for line in summary.caveats(runs))
    return [summary.run_table(runs), summary.median_table(runs), *notes]


def markdown(records: Sequence[RunRecord], verdict: str = "") -> str:
    """The same as a note of a summary run. verdict: stands above the tables."""
    runs = list(records)
    parts = [verdict, summary.median_table(runs).markdown(), *summary.caveats(runs)]
    return "\n\n".join([*filter(None, parts), summary.run_table(runs).markdown()]) + "\n"


def write_page(folder: Path, kind: str, note: str) -> Path:
    page = folder / f"{kind}.md"
    page.write_text(note, encoding="utf-8")
    return page


def track_summary(
    session: Session, where: Destination, sweep: Sweep, conclusion: Conclusion, good: bool
) -> str | None:
    """A run of its own that sums the others up, with the conclusion's note as its description. It is on disk,
    in the sweep's directory, whatever becomes of the store.

    Medians are no metrics of a sweep: the UI would draw a chart of one bar for each, among the runs' own.
    good: every run finished, and what was to be shown is shown.
    Returns its run id, or None when there is no store to take it.
    """
    ended_ms = round(time.time() * 1000)
    kind = conclusion.kind
    identity = uuid.uuid4().hex
    note = {"mlflow.note.content": conclusion.note}
    run_tags = {**machine.tags(), **source_tags(), **tags(sweep), "kind": kind, **note}
    joined = session.take_joined()
    report = Report(
        record_id=identity,
        name=f"{kind} {sweep.id}",
        status=results.FINISHED if good else results.FAILED,
        start_ms=round(sweep.began * 1000),
        end_ms=ended_ms,
        params=dict(conclusion.params),
        tags=run_tags,
        metrics=[
            *(Metric(name, value, ended_ms, 0) for name, value in conclusion.metrics.items()),
            *(
                Metric(name, value, ended_ms, size)
                for name, values in conclusion.by_size.items()
                for size, value in values.items()
            ),
        ],
        dataset=None,
        artifacts=list(conclusion.artifacts),
        joined=joined is not None,
    )
    file = summary_run.write(sweep.directory, where, report, joined)
    tracker = session.tracker(where)
    if tracker is None:
        return None
    try:
        with summary_run.locked(file) as told:
            return told.tracked_run_id or summary_run.upload(told, tracker)
    except TrackingError as error:
        session.untracked.append(str(error))
        return None
