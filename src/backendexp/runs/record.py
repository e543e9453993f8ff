"""A run's directory: everything about the run is on disk here before it is sent to the tracking store.

spec.json         the plan
context.json      what is known before the run: names, tags, and where it will be tracked
config.yaml       Hydra's resolved configuration
events.jsonl      the events that the worker sent, as it sent them
worker.log        what the engine printed
environment.json  the worker's package versions
result.json       status, reason, message and metrics, for readers without MLflow
model/            the trained model, if it was asked for: model.keras or model.h5
tracked.json      is written last, when the tracking store has taken everything
"""

import json
import re
import shutil
import time
import uuid
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from backendexp import places
from backendexp.errors import UserError
from backendexp.runs import events, machine, results
from backendexp.runs.events import BeingWritten, Event, EventFile
from backendexp.runs.machine import Fate
from backendexp.runs.plan import RunSpec
from backendexp.runs.results import RunResult
from backendexp.tracking import addresses
from backendexp.tracking.base import Dataset, Metric, Report

# The folder of the runs that only fill caches.
WARM_UP = "warm-up"
EVENTS = "events.jsonl"
PARENT_LOST_MESSAGE = "backendexp itself was killed while the run was under way"
_NAMED_AFTER_ITS_ID = re.compile(r"-[0-9a-f]{8}$")
_MLFLOW_NOTE = "mlflow.note.content"


@dataclass(frozen=True)
class Context:
    """What is known before the run.

    id: the run's own id, which never changes. A tag of the store's run holds it.
    name: the name of the run in the UI.
    kind: of the tracking, mlflow or none.
    uri, experiment, experiment_id: where the run will be tracked. If there is an experiment_id, it is used,
        and not the experiment's name. The uri is as `tracking.addresses` shows it.
    run_id: the MLflow run that this run continues, because `mlflow run` has made it; else None.
    tags: tags of the machine, the process and the sweep.
    began: seconds since 1970.
    """

    id: str
    name: str
    kind: str
    uri: str
    experiment: str
    experiment_id: str | None
    run_id: str | None
    tags: dict[str, str]
    began: float


@dataclass(frozen=True)
class RunRecord:
    """A run's directory and what has been written into it.

    result: None while the run is under way.
    unwritten: the events that could not be written into the directory.
    failure: why something could not be written; None if everything was.
    """

    directory: Path
    spec: RunSpec
    context: Context
    result: RunResult | None = None
    unwritten: tuple[Event, ...] = ()
    failure: OSError | None = None
    # Holds the store's run id once it is known, even if the directory cannot be written.
    _tracked_as: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def tracked_run_id(self) -> str | None:
        """The id of the store's run that holds all of this run, or None if it is not tracked completely."""
        path = self.directory / "tracked.json"
        if "run_id" in self._tracked_as:
            return self._tracked_as["run_id"]
        return json.loads(path.read_text(encoding="utf-8"))["run_id"] if path.exists() else None

    @property
    def is_whole_on_disk(self) -> bool:
        """Whether `load` returns the same record."""
        noted = not self._tracked_as or (self.directory / "tracked.json").exists()
        return self.failure is None and not self.unwritten and noted

    def mark_tracked(self, run_id: str) -> OSError | None:
        """Remember that the store has taken everything. Returns the error if that could not be written into
        the directory, else None.

        run_id: of the store.
        """
        self._tracked_as["run_id"] = run_id
        try:
            _write(self.directory / "tracked.json", {"run_id": run_id, "uri": self.context.uri})
        except OSError as error:
            return error
        return None

    @property
    def events(self) -> list[Event]:
        return [*events.read(self.directory / EVENTS), *self.unwritten]


def begin(root: Path, spec: RunSpec, config_yaml: str, **context: Any) -> tuple[RunRecord, EventFile]:
    """Make the directory of a new run, and open the file of its events.

    root: the directory is made below it.
    context: the fields of Context, without id and began.

    While the file is open, no other process closes the run, and it shows that this process is alive.
    """
    identity = uuid.uuid4().hex
    directory = root / f"{spec.backend}-{spec.runtime}-seed{spec.seed}-{identity[:8]}"
    known = Context(id=identity, began=time.time(), **{**context, "uri": addresses.shown(context["uri"])})
    file: EventFile | None = None
    try:
        with places.writing(directory, places.RUNS):
            directory.mkdir(parents=True)
            file = EventFile(directory / EVENTS)
            _write(directory / "spec.json", spec.to_json())
            (directory / "config.yaml").write_text(config_yaml, encoding="utf-8")
            # This file is written last, because from then on `find` finds the run.
            _write(directory / "context.json", asdict(known))
            file.beat()
    except UserError:
        if file is not None:
            file.close()
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return RunRecord(directory, spec, known), file


def load(directory: Path) -> RunRecord:
    """The record of a directory, with its result if the run is over."""
    spec = RunSpec.from_json(json.loads((directory / "spec.json").read_text(encoding="utf-8")))
    known = json.loads((directory / "context.json").read_text(encoding="utf-8"))
    context = Context(**{**known, "uri": addresses.keep(known["uri"])})
    if context.uri != known["uri"]:
        _hide_password(directory, known["uri"])
    result = results.fold(events.read(directory / EVENTS)) if is_over(directory) else None
    return RunRecord(directory, spec, context, result)


def _hide_password(directory: Path, uri: str) -> None:
    """Remove the password from a directory that an earlier version wrote: it wrote the whole address, and
    the directory is uploaded as it is.
    """
    for name in ("context.json", "config.yaml", "tracked.json"):
        file = directory / name
        if file.exists():
            text = file.read_text(encoding="utf-8")
            for form in (uri, json.dumps(uri)[1:-1]):
                text = text.replace(form, addresses.shown(uri))
            file.write_text(text, encoding="utf-8")


def find(roots: list[Path]) -> list[Path]:
    """The directories of runs below `roots`, oldest first.

    A run's directory is named after its id, which distinguishes it from a copy among the artifacts of a
    store. Warm-up runs are left out, unless a root is inside their own folder.
    """
    found = {
        path.parent
        for root in roots
        for path in root.rglob("context.json")
        if _NAMED_AFTER_ITS_ID.search(path.parent.name) and WARM_UP not in path.relative_to(root).parts
    }
    return sorted(found, key=lambda d: (d / "context.json").stat().st_mtime_ns)


def finish(record: RunRecord, file: EventFile | None = None) -> RunRecord:
    """Compute the result from the events, and write it.

    file: the file of the events; it knows which events could not be written.
    Returns the record with the result, and with what could not be written.
    """
    if file is not None:
        record = replace(record, unwritten=tuple(file.unwritten), failure=file.failure)
    result = results.fold(record.events)
    summary = {"status": result.status, "reason": result.reason, "message": result.message}
    failure = record.failure
    try:
        if result.facts:
            _write(record.directory / "environment.json", result.facts)
        if not record.unwritten:  # with result.json the directory would claim that it holds the whole run
            _write(record.directory / "result.json", {**summary, "metrics": result.metrics()})
    except OSError as error:
        failure = failure or error
    return replace(record, result=result, failure=failure)


def write_again(record: RunRecord) -> RunRecord:
    """Write what could not be written when the run ended, for example because the disk was full.

    Returns the record with what still could not be written.
    """
    try:
        file = EventFile(record.directory / EVENTS)
    except BeingWritten:
        return record
    try:
        for event in record.unwritten:
            file.append(event)
        return finish(record, file)
    finally:
        file.close()


def close_lost(record: RunRecord) -> RunRecord:
    """Close a run whose process is dead, and return it with its result. If the run had not ended, it counts
    as killed, and keeps the events that it had.

    If the process lives, or may live, the run is returned without a result, and nothing is written.
    """
    fate = machine.fate(record.context.tags)
    if fate not in (Fate.DEAD, Fate.LOCK_TELLS):
        return replace(record, result=None)
    return close_dead(record, PARENT_LOST_MESSAGE, needs_lock=fate is Fate.LOCK_TELLS)


def close_dead(record: RunRecord, why: str, needs_lock: bool = False) -> RunRecord:
    """Close a run of which something else than its tags shows that its process is dead, as `close_lost` does.

    why: why the process ended, in words.
    needs_lock: whether only the lock of its events proves that it is dead.
    """
    try:
        file = EventFile(record.directory / EVENTS)
    except BeingWritten:
        return replace(record, result=None)
    try:
        if needs_lock and not file.locked:
            return replace(record, result=None)
        if is_over(record.directory):
            return load(record.directory)
        if not events.tell_the_end(record.events):
            file.append(events.ended(events.PARENT_LOST, why))
        return finish(record, file)
    finally:
        file.close()


def is_over(directory: Path) -> bool:
    return (directory / "result.json").exists()


def report(record: RunRecord) -> Report:
    """Everything that the tracking store gets of a run that is over."""
    result, context = record.result, record.context
    assert result is not None
    history = [
        Metric(name, value, _ms(epoch.ended), epoch.number)
        for epoch in result.epochs
        for name, value in epoch.tracked().items()
    ]
    ended = _last_time(record)
    return Report(
        record_id=context.id,
        name=context.name,
        status=result.status,
        start_ms=_ms(context.began),
        end_ms=_ms(ended),
        params=record.spec.params(),
        tags={**context.tags, **plan_tags(record.spec), **_result_tags(result)},
        metrics=[
            *(Metric(name, value, _ms(ended), 0) for name, value in result.metrics().items()),
            *history,
        ],
        dataset=_dataset(record.spec, result),
        joined=context.run_id is not None,
        artifacts=[record.directory],
    )


def plan_tags(spec: RunSpec) -> dict[str, str]:
    """Tags that are known before the run."""
    sources = {
        f"{part}_source_digest": settings._source_
        for part, settings in (("data", spec.data), ("model", spec.model))
        if getattr(settings, "_source_", None)
    }
    return {"backend": spec.backend, "runtime": spec.runtime, "plan": spec.id, **sources}


def _result_tags(result: RunResult) -> dict[str, str]:
    facts = result.facts
    tags = {
        "keras_version": facts.get("keras"),
        "engine": facts.get("engine"),
        "engine_version": facts.get("engine_version"),
        "python_version": facts.get("python"),
        "compile_cache": result.compile_cache,
        "engine_tier": "+".join(tier for tier, steps in (result.tiers or {}).items() if steps) or None,
        "start": result.start,
        "failure": result.reason,
        "weights_digest": result.weights_digest,
        "unlike_engine": result.unlike_engine,
        "random_layers": ", ".join(result.random_layers or ()) or None,
        # The store does not keep the order of the metrics, and the first is the one that is looked at most.
        "metrics": " ".join(result.qualities) or None,
        "gpu": result.device.get("name"),
        "train_samples": None if result.train_samples is None else str(result.train_samples),
        _MLFLOW_NOTE: _note(result),
    }
    return {key: value for key, value in tags.items() if value is not None}


def _note(result: RunResult) -> str | None:
    """Why the run did not finish, in Markdown, which the UI shows as the run's description."""
    if result.status == results.FINISHED:
        return None
    parts = [_in_words(result.status, result.reason, result.message)]
    if result.traceback:
        parts.append(f"```\n{result.traceback.strip()}\n```")
    return "\n\n".join(parts)


def _in_words(status: str, reason: str | None, message: str | None) -> str:
    return f"**{status}** ({reason}): {message}"


def tags_of_killed(reason: str, message: str) -> dict[str, str]:
    """Tags of a run which is KILLED and of which nothing else is known."""
    return {"failure": reason, _MLFLOW_NOTE: _in_words(results.KILLED, reason, message)}


def _dataset(spec: RunSpec, result: RunResult) -> Dataset | None:
    if result.data is None:
        return None
    path = getattr(spec.data, "path", None)
    name = getattr(spec.data, "_target_", None) or spec.data.kind
    name = Path(path).name if path else f"{name}-seed{spec.seed}"
    shapes = {key: tuple(shape) for key, shape in result.data["shapes"].items()}
    return Dataset(name, result.data["digest"], path, shapes, result.data["bytes"])


def _last_time(record: RunRecord) -> float:
    heard = record.events
    return heard[-1]["time"] if heard else record.context.began


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _write(path: Path, content: Any) -> None:
    """Write a file completely or not at all, so that a reader never sees half of it."""
    part = path.with_suffix(path.suffix + ".part")
    try:
        part.write_text(json.dumps(content, indent=1), encoding="utf-8")
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
