"""Records a port as an MLflow run of kind=port: on disk first, and then in the store."""

import json
import math
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backendexp import places
from backendexp.errors import TrackingError
from backendexp.porting import report
from backendexp.porting.proof import Task
from backendexp.runs import machine, results, summary_run
from backendexp.runs.session import Destination, Session, source_tags
from backendexp.tracking import links
from backendexp.tracking.base import Metric, Report

KIND = "port"
# What a person who opens the folder would not look for.
_INTERMEDIATE = ("plan.json", "weights.npz")


@dataclass(frozen=True)
class Tracked:
    """Where the run is. stored: whether the store has it, or none was asked for."""

    stored: bool
    said: list[str]


def record(
    whole: dict[str, Any],
    told: report.Report,
    task: Task,
    began: float,
    where: Destination,
    note: str,
    joined: str | None,
) -> Tracked:
    """Write the report into the folder of the port, and send it to the store as a run.

    whole: the report as JSON. note: the same as Markdown.
    joined: the run of the store that this one continues, or None.
    Raises UserError: the folder cannot be written.
    """
    with places.writing(task.folder, places.RUNS):
        model = task.folder / task.target.name
        shutil.copyfile(task.target, model)
        (task.folder / "port.json").write_text(json.dumps(whole, indent=1), encoding="utf-8")
        (task.folder / "port.md").write_text(note, encoding="utf-8")
        _tidy(task.folder)
        files = [model, task.folder / "port.json", task.folder / "port.md"]
        stored = _report(whole, told, began, note, files, joined is not None)
        said = [f"  report  {task.folder / 'port.md'}"]
        if where.kind == "none":
            return Tracked(True, said)
        file = summary_run.write(task.folder, where, stored, joined)
    session = Session()
    try:
        tracker = session.tracker(where)
        if tracker is not None:
            with summary_run.locked(file) as summary:
                run_id = summary.tracked_run_id or summary_run.upload(summary, tracker)
            said.append(f"  run  {links.run_link(tracker.uri, tracker.experiment_id, run_id)}")
            return Tracked(True, said)
    except TrackingError as error:
        session.untracked.append(str(error))
    finally:
        session.close()
    said += [f"backendexp: {why}" for why in session.untracked]
    return Tracked(False, [*said, f"  upload it with  backendexp sync {task.folder}"])


def _tidy(folder: Path) -> None:
    """Remove what the workers exchanged, except for the inputs and the logs."""
    for file in [
        *folder.glob("old-*.npz"),
        *folder.glob("new-*.npz"),
        *(folder / name for name in _INTERMEDIATE),
    ]:
        file.unlink(missing_ok=True)


def _report(
    whole: dict[str, Any],
    told: report.Report,
    began: float,
    note: str,
    artifacts: list[Path],
    joined: bool,
) -> Report:
    ended_ms = round(time.time() * 1000)
    good = told.verdict == report.SAME
    greatest = {
        f"port/{side.replace(' on ', '_')}_greatest_distance": value for side, value in told.greatest.items()
    }
    differing = sum(not all(one["agrees"].values()) for one in told.layers)
    metrics = {
        "port/outputs": float(len(told.layers)),
        "port/outputs_that_differ": float(differing),
        "port/parameters": float(whole["parameters"]),
        **{name: value for name, value in greatest.items() if math.isfinite(value)},
    }
    name = Path(whole["file"]).name
    return Report(
        record_id=uuid.uuid4().hex,
        name=f"port {name}",
        status=results.FINISHED if good else results.FAILED,
        start_ms=round(began * 1000),
        end_ms=ended_ms,
        params={
            "port.file": name,
            "port.sha256": str(whole["sha256"]),
            "port.keras_version": str(whole["keras_version"]),
            "port.saved_on": str(whole["saved_on"] or "unknown"),
            "port.inputs": str(whole["inputs"]),
            "port.reference": str(whole["reference"] or "none"),
        },
        tags={
            **machine.tags(),
            **source_tags(),
            "kind": KIND,
            "verdict": told.verdict,
            "mlflow.note.content": note,
        },
        metrics=[Metric(key, value, ended_ms, 0) for key, value in metrics.items()],
        dataset=None,
        artifacts=artifacts,
        joined=joined,
    )
