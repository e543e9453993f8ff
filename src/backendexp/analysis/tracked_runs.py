"""Reads TrackedRuns from a tracking store, or from the directories of runs on disk."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from backendexp.analysis.findings import TrackedRun, keys_of
from backendexp.errors import ComparisonError
from backendexp.runs import measures, record, starts, sweep_ids
from backendexp.runs.record import RunRecord
from backendexp.runs.results import FINISHED
from backendexp.runs.starts import Key
from backendexp.runs.tags import BLOCK, PARALLEL, PARITY, POSITION, ROLE, TIMED
from backendexp.spelling import nearest
from backendexp.tracking.base import BEGAN_MS, DATA_DIGEST, ENDED_MS, STATUS, Reader
from backendexp.tracking.stores import open_reader

HOW_TO_MAKE_ONE = "backendexp -m seed='range(10)' backend=tensorflow,theano, or backendexp experiment=compare"
# How many learning curves of a group of timed runs are read, and how many points. More curves would not make
# a figure clearer, and a server answers a request for each.
_MOST_CURVES, _MOST_POINTS = 50, 100_000
# The store cuts off a dataset's digest after so many characters.
_LONGEST_DIGEST = 36
# The tags that are read into fields of TrackedRun.
_FIELDS = {BEGAN_MS, ENDED_MS, STATUS}
# The plan's keys that have no dot. Any other parameter without a dot comes from `mlflow run`.
_PLAIN_KEYS = ("inference", "seed", "threads", "timeout_s")


# -- from a store ------------------------------------------------------------------------------------


def of_sweeps(
    uri: str, experiment: str, sweeps: Sequence[str], experiment_id: str | None = None
) -> list[TrackedRun]:
    """The runs of each sweep, one sweep after the other. The runs of a sweep are in the order of their start.

    uri, experiment, experiment_id: see MlflowReader.
    sweeps: values of the tag `sweep`.
    Raises ComparisonError: a sweep does not exist, or its runs are deleted. UserError and TrackingError: see
    MlflowReader.
    """
    reader = open_reader(uri, experiment, experiment_id)
    found = []
    for identity in sweeps:
        own = _in_order(_trained(reader.runs({"sweep": identity})))
        if not own:
            _refuse_sweep(reader, identity)
        found += own
    return _with_curves(reader, _with_plans(_counted(found)))


def ids_of(
    uri: str, experiment: str, names: Sequence[str], experiment_id: str | None = None
) -> tuple[str, ...]:
    """The ids of the sweeps with these names. A name is the sweep's id, or the name of its folder.

    If several sweeps have the name, it means the one whose folder is below multirun or outputs in the
    current directory.
    uri, experiment, experiment_id: as in `of_sweeps`, which also lists the other errors.
    Raises ComparisonError: no sweep has the name, or several have.
    """
    reader = open_reader(uri, experiment, experiment_id)
    return tuple(_id_of(reader, name) for name in names)


def _id_of(reader: Reader, name: str) -> str:
    met: Iterator[str] = (
        run.data.tags["sweep"] for run in reader.runs(begin={"sweep": name}, newest_first=True)
    )
    found = [one for one in dict.fromkeys(met) if name in (one, sweep_ids.name_of(one))]
    if not found:
        _refuse_sweep(reader, name)
    if len(found) == 1:
        return found[0]
    for folder in _folders(name):
        here = sweep_ids.id_in(folder)
        if here is not None and here in found:
            return here
    raise ComparisonError(
        f"experiment {reader.experiment!r} has {len(found)} sweeps {name!r}, of one folder or of several "
        f"machines. Name one in full, e.g. {found[0]}, which is the newest; the others are "
        f"{', '.join(found[1:])}"
    )


def of_experiment(uri: str, experiment: str, experiment_id: str | None = None) -> list[TrackedRun]:
    """Every run of an experiment, in the order of their start. Arguments and errors are as in `of_sweeps`."""
    reader = open_reader(uri, experiment, experiment_id)
    found = _in_order(_trained(reader.runs()))
    if not found:
        _refuse_experiment(reader)
    return _with_curves(reader, _with_plans(_counted(found)))


def latest_sweep(uri: str, experiment: str, experiment_id: str | None = None, by: str | None = None) -> str:
    """The newest sweep that has timed runs of more than one backend.

    Sweeps of experiment=scale are skipped, because their runs differ in more than the backend.
    uri, experiment, experiment_id: as in `of_sweeps`.
    by: the setting of which it must have several values, in place of several backends.
    Raises ComparisonError: there is no such sweep.
    """
    reader = open_reader(uri, experiment, experiment_id)
    backends: dict[str, set[str]] = {}
    count = 0
    for run in _trained(reader.runs(newest_first=True)):
        count += 1
        if run.sweep is None or run.role != TIMED:
            continue
        met = backends.setdefault(run.sweep, set())
        was_one = len(met) == 1
        met.add(run.backend if by is None else run.params.get(by, "unknown"))
        if was_one and len(met) > 1 and not any(reader.runs({"sweep": run.sweep, "kind": "scale"})):
            return run.sweep
    if not count:
        _refuse_experiment(reader)
    newest = next(iter(backends), None)
    only = f" (the newest, {newest}, has {' and '.join(sorted(backends[newest]))})" if newest else ""
    sought = "backends" if by is None else f"values of {by}"
    raise ComparisonError(
        f"experiment {reader.experiment!r} has {count} runs, but no sweep that compares {sought}{only}. "
        f"Make one with {HOW_TO_MAKE_ONE}; or name the sweeps to compare; or take all runs with --all"
    )


def _counted(found: Sequence[TrackedRun]) -> list[TrackedRun]:
    """The runs without those that a later start of the same sweep has repeated."""

    def facts(run: TrackedRun) -> tuple[Key, bool, int]:
        # A run without a sweep or a plan repeats no other.
        plan = run.tags.get("plan") if run.sweep else None
        key = (run.sweep, starts.key_of(plan, run.tags)) if plan else run.run_id
        return key, run.status == FINISHED, starts.number_of(run.tags)

    return starts.counted(found, facts)


def _trained(found: Iterable[Any]) -> Iterator[TrackedRun]:
    """Those of MLflow's runs that backendexp trained, without the runs that summarise others."""
    for run in found:
        tags = run.data.tags
        if "kind" in tags or not {"backend", "runtime"} <= tags.keys():
            continue
        # The tags come first, because a copy of a run has only these, see `tracking.base`. Runs of an earlier
        # version have only the store's own fields.
        datasets = run.inputs.dataset_inputs if run.inputs else []
        yield _tracked_run(
            run_id=run.info.run_id,
            name=run.info.run_name or run.info.run_id,
            status=_status(run.info.status, tags),
            began_ms=_whole(tags.get(BEGAN_MS)) or run.info.start_time,
            ended_ms=_whole(tags.get(ENDED_MS)) or run.info.end_time,
            params=run.data.params,
            tags=tags,
            metrics=run.data.metrics,
            digest=tags.get(DATA_DIGEST) or (datasets[0].dataset.digest if datasets else None),
        )


def _status(in_store: str, tags: Mapping[str, str]) -> str:
    """The status of a run or of the run that it is a copy of.

    The store sets a status after all tags, so a run that is RUNNING there has not ended. Copies are FINISHED
    however the original ended, and even if it had not ended when it was copied.
    """
    if in_store != FINISHED or BEGAN_MS not in tags:
        return in_store
    return tags.get(STATUS, "RUNNING")


def _in_order(found: Iterable[TrackedRun]) -> list[TrackedRun]:
    """The runs in the order in which they began. Copies were made in another order."""
    return sorted(found, key=lambda run: run.began_ms)


def _with_plans(found: list[TrackedRun]) -> list[TrackedRun]:
    """The runs, each with params. A run that was killed together with backendexp may have left none. It gets
    the params that all other runs of its sweep and backend share, so that it is grouped with them.
    """
    if all(run.params for run in found):
        return found
    shared: dict[tuple[str | None, str, str, str], dict[str, str]] = {}
    for run in found:
        if run.params:
            known = shared.setdefault(_kin(run), run.params)
            shared[_kin(run)] = {k: v for k, v in known.items() if run.params.get(k) == v}
    return [run if run.params else replace(run, params=shared.get(_kin(run), {})) for run in found]


def _with_curves(reader: Reader, found: list[TrackedRun]) -> list[TrackedRun]:
    """The runs with their learning curves: of all parity runs, and of a limited number of timed runs."""
    groups: dict[tuple[str | None, str, str, str], list[TrackedRun]] = {}
    for run in found:
        if run.status == FINISHED:
            groups.setdefault(_kin(run), []).append(run)
    wanted = []
    for own in groups.values():
        if own[0].role == PARITY:
            wanted += [run.run_id for run in own]
            continue
        epochs = own[0].params.get("training.epochs", "")
        most = (
            min(_MOST_CURVES, max(1, _MOST_POINTS // int(epochs))) if epochs.isdigit() and int(epochs) else 1
        )
        wanted += [run.run_id for run in own[:most]]
    quality = measures.headline_quality(keys_of(found))
    losses = reader.histories(wanted, measures.TRAIN_LOSS)
    qualities = {} if quality is None else reader.histories(wanted, measures.by_epoch(quality))
    return [
        replace(
            run,
            loss_by_epoch=losses.get(run.run_id, ()),
            quality_by_epoch=qualities.get(run.run_id, ()),
        )
        for run in found
    ]


def _kin(run: TrackedRun) -> tuple[str | None, str, str, str]:
    return run.sweep, run.backend, run.runtime, run.role


def _folders(name: str) -> list[Path]:
    """The places below the current directory where a sweep of this name or id may have its folder."""
    return [Path(root, sweep_ids.name_of(name)) for root in ("multirun", "outputs")]


def _refuse_sweep(reader: Reader, name: str) -> NoReturn:
    where = f"experiment {reader.experiment!r}"
    deleted = [
        run
        for run in _trained(reader.deleted(begin={"sweep": name}))
        if name in (run.sweep, sweep_ids.name_of(run.sweep or ""))
    ]
    if deleted:
        raise ComparisonError(_deleted(deleted, f"sweep {name} of {where}"))
    folder = next((place for place in _folders(name) if place.is_dir()), None)
    untracked = f" {folder} is here: what the store did not take comes with backendexp sync {folder}"
    known = dict.fromkeys(run.sweep for run in _trained(reader.runs(newest_first=True)) if run.sweep)
    there = f"The newest is {next(iter(known))}." if known else f"Make one with {HOW_TO_MAKE_ONE}."
    raise ComparisonError(
        f"{where} has no sweep {name!r}. {nearest(name, known)}{there}{untracked if folder else ''}"
    )


def _refuse_experiment(reader: Reader) -> NoReturn:
    where = f"experiment {reader.experiment!r}"
    deleted = list(_trained(reader.deleted()))
    if deleted:
        raise ComparisonError(_deleted(deleted, where))
    raise ComparisonError(f"{where} has no runs of backendexp. Make some with {HOW_TO_MAKE_ONE}")


def _deleted(runs: Sequence[TrackedRun], of: str) -> str:
    return (
        f"all runs of {of} are deleted, {len(runs)} in number. Each comes back with: mlflow runs restore "
        f"--run-id {runs[0].run_id} (until mlflow gc removes it for good)"
    )


# -- from disk ---------------------------------------------------------------------------------------


def of_records(records: Sequence[RunRecord]) -> list[TrackedRun]:
    """The runs of these records, with all their learning curves, whether or not the store has taken them.

    A TrackedRun's run_id is the store's id if the store has the run, and else the run's own id.
    """
    return [_of_record(one) for one in records]


def _of_record(one: RunRecord) -> TrackedRun:
    context = one.context
    run_id = one.tracked_run_id or context.id
    if one.result is None:
        return _tracked_run(
            run_id=run_id,
            name=context.name,
            status="RUNNING",
            began_ms=round(context.began * 1000),
            ended_ms=None,
            params=one.spec.params(),
            tags={**context.tags, **record.plan_tags(one.spec)},
            metrics={},
            digest=None,
        )
    report = record.report(one)
    tracked = _tracked_run(
        run_id=run_id,
        name=report.name,
        status=report.status,
        began_ms=report.start_ms,
        ended_ms=report.end_ms,
        params=report.params,
        tags=report.tags,
        metrics=one.result.metrics(),
        digest=report.dataset.digest if report.dataset else None,
    )
    if report.status != FINISHED:
        return tracked
    quality = measures.headline_quality(tracked.values)
    name = None if quality is None else quality.metric
    return replace(
        tracked,
        loss_by_epoch=tuple(epoch.loss for epoch in one.result.epochs),
        quality_by_epoch=tuple(e.metrics[name] for e in one.result.epochs if name in e.metrics),
    )


# -- from either -------------------------------------------------------------------------------------


def _tracked_run(
    *,
    run_id: str,
    name: str,
    status: str,
    began_ms: int,
    ended_ms: int | None,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    metrics: Mapping[str, float],
    digest: str | None,
) -> TrackedRun:
    own = {key: value for key, value in tags.items() if not key.startswith("mlflow.") and key not in _FIELDS}
    if digest is not None:
        own[DATA_DIGEST] = digest[:_LONGEST_DIGEST]
    return TrackedRun(
        run_id=run_id,
        name=name,
        status=status,
        reason=tags.get("failure"),
        sweep=tags.get("sweep"),
        role=tags.get(ROLE, TIMED),
        backend=tags["backend"],
        runtime=tags["runtime"],
        seed=_seed(params, name),
        block=_whole(tags.get(BLOCK)),
        position=_whole(tags.get(POSITION)),
        parallel=tags.get(PARALLEL) == "true",
        load=_number(tags.get("load_average")),
        began_ms=began_ms,
        ended_ms=ended_ms or None,
        params={key: value for key, value in params.items() if "." in key or key in _PLAIN_KEYS},
        tags=own,
        values={
            key: value
            for key, value in measures.compared_values(metrics, tags.get("metrics", "").split()).items()
            if math.isfinite(value)
        },
    )


def _seed(params: Mapping[str, str], name: str) -> int:
    """The seed of a run, or -1 if it is not known: if a run was killed together with backendexp, the store
    may not have its plan.
    """
    named = re.search(r"-seed(\d+)$", name)
    seed = _whole(params.get("seed", named[1] if named else None))
    return -1 if seed is None else seed


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _number(text: str | None) -> float | None:
    """A tag's number, or None if it is none: people can change tags in the UI, so they may hold anything."""
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) else None
