"""The summary of a run, the tables at the end of a sweep, and what a reader of them must know."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from backendexp.analysis.order import order_caveat
from backendexp.runs import machine, measures, results
from backendexp.runs.measures import Measure
from backendexp.runs.record import RunRecord
from backendexp.runs.results import RunResult
from backendexp.worker import tasks
from backendexp.worker.data import labels_are_chance, labels_classes

# Every table has a column for each of these keys of the plan.
_ALWAYS_SHOWN = ("backend.name", "runtime.name", "seed")


def _written(measure: Measure, value: float | None) -> str:
    """A value of a measure. It is shorter than in a comparison (`numbers.of`), because a row has many."""
    if value is None:
        return "-"
    return _seconds(value) if measure.decimals is None else f"{value:.{measure.decimals}f}"


def _seconds(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


@dataclass(frozen=True)
class Table:
    titles: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        lines = [self.titles, ["---"] * len(self.titles), *self.rows]
        escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
        return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def run_table(records: list[RunRecord]) -> Table:
    """A table with a row for each run, including failed ones, and a column for each key in which the plans
    differ.
    """
    varied = [key for key in _varied_keys(records) if key not in _ALWAYS_SHOWN]
    shown = _columns(records)
    titles = ["backend", "runtime", "seed", *varied, "status", *_headings(shown)]
    rows = []
    for record in records:
        params = record.spec.params()
        result = record.result
        status = "RUNNING" if result is None else result.status
        if result is not None and result.reason:
            status += f" ({result.reason})"
        numbers = [_written(m, None if result is None else result.value(m)) for m in shown]
        # A setting of one kind of data or of model is none of another's.
        settings = [*(params[k] for k in _ALWAYS_SHOWN), *(params.get(k, "-") for k in varied)]
        rows.append([*settings, status, *numbers])
    return Table(titles, rows)


def numbers_line(result: RunResult) -> str:
    """The run's numbers in `run_table`, in one line, each after its heading."""
    shown = measures.columns(result.quality_keys)
    written = (_written(measure, result.value(measure)) for measure in shown)
    return "  ".join(f"{heading} {number}" for heading, number in zip(_headings(shown), written, strict=True))


def _columns(records: Iterable[RunRecord]) -> tuple[Measure, ...]:
    """The measures that have a column in a table of these runs, with the metrics that a run has."""
    return measures.columns(
        key for record in records if record.result is not None for key in record.result.quality_keys
    )


def _headings(shown: Iterable[Measure]) -> list[str]:
    return [measure.column for measure in shown if measure.column is not None]


def _varied_keys(records: list[RunRecord]) -> list[str]:
    plans = [record.spec.params() for record in records]
    keys = dict.fromkeys(key for plan in plans for key in plan)
    return [key for key in keys if len({plan.get(key) for plan in plans}) > 1]


@dataclass(frozen=True)
class BackendRuns:
    """The runs of one backend on one runtime: how many there are, and the results of those that finished."""

    backend: str
    runtime: str
    runs: int
    finished: list[RunResult]

    def median(self, measure: Measure) -> float | None:
        values = [v for result in self.finished if (v := result.value(measure)) is not None]
        return statistics.median(values) if values else None


def by_backend(records: list[RunRecord]) -> list[BackendRuns]:
    """The runs of each backend on each runtime, in the order in which they first ran."""
    keys = dict.fromkeys((r.spec.backend, r.spec.runtime) for r in records)
    found = []
    for backend, runtime in keys:
        own = [r.result for r in records if (r.spec.backend, r.spec.runtime) == (backend, runtime)]
        done = [result for result in own if result is not None and result.status == results.FINISHED]
        found.append(BackendRuns(backend, runtime, len(own), done))
    return found


def median_table(records: list[RunRecord]) -> Table:
    """A table with the medians over the finished runs of each backend on each runtime."""
    shown = _columns(records)
    titles = ["backend", "runtime", "finished", *(f"median {heading}" for heading in _headings(shown))]
    rows = [
        [
            own.backend,
            own.runtime,
            f"{len(own.finished)} of {own.runs}",
            *(_written(measure, own.median(measure)) for measure in shown),
        ]
        for own in by_backend(records)
    ]
    return Table(titles, rows)


def caveats(records: list[RunRecord]) -> list[str]:
    """Sentences about what a reader of the tables must know before believing them."""
    said = []
    if len({r.spec.runtime for r in records}) > 1:
        said.append(
            "These runs are of different runtimes, so of different Keras versions. They stand side by side; "
            "they do not compare backends."
        )
    hosts = machine.hosts(r.context.tags for r in records)
    if len(hosts) > 1:
        said.append(
            f"These runs are from {len(hosts)} machines ({', '.join(hosts)}), so their times also differ "
            "because of the machines."
        )
    if any(r.result is not None and r.result.compile_cache == "empty" for r in records):
        said.append(
            "A run started with an empty compile cache: its first epoch holds compilation that later runs "
            "do not repeat."
        )
    said += dict.fromkeys(note for r in records if r.result is not None for note in r.result.notes)
    said += label_caveats(records)
    caveat = order_caveat([r.spec.backend for r in records])
    if caveat:
        said.append(caveat)
    return said


def label_caveats(records: Sequence[RunRecord]) -> list[str]:
    """Sentences about labels that make accuracy or training meaningless, each sentence only once."""
    said: dict[str, None] = {}
    for record in records:
        # Runs of earlier versions have not recorded their labels, or not whether they are alike.
        data = (record.result.data if record.result else None) or {}
        for name, labels in data.get("labels", {}).items():
            if labels.get("alike", labels["low"] == labels["high"]):
                said[_alike(name, labels)] = None
            if name.startswith("y_test") and not labels["zeros_and_ones"] and _counts_zeros_and_ones(record):
                said[
                    f"{name} holds other labels than 0 and 1, and accuracy counts only these: look at the "
                    "loss."
                ] = None
    return list(said)


def _alike(name: str, labels: Mapping[str, float]) -> str:
    low, high = labels["low"], labels["high"]
    every = f"every label is {low:g}" if low == high else "all rows are alike"
    meaning = "nothing could be learned" if name.startswith("y_train") else "accuracy tells little"
    return f"{name} holds one class only, {every}: {meaning}."


def _counts_zeros_and_ones(record: RunRecord) -> bool:
    """Whether a run has an accuracy that compares each label with the output, so that it counts only the
    labels 0 and 1. Where there are several classes, accuracy compares the class of the greatest output.
    """
    assert record.result is not None
    loss = record.spec.training.loss
    known = set(record.result.qualities) & {"accuracy", "binary_accuracy"}
    # A loss that is still auto is chosen by the worker, which takes no accuracy for amounts.
    return bool(known) and loss not in (tasks.AUTO, tasks.SPARSE)


def phases(result: RunResult) -> str:
    """The phases of a run and how long they took, in their order."""
    return " · ".join(
        f"{measure.phase} {_seconds(value)} s"
        for measure in measures.tracked()
        if measure.phase is not None and (value := result.value(measure)) is not None
    )


def run_lines(record: RunRecord) -> Iterable[str]:
    """The summary of one run."""
    result, spec = record.result, record.spec
    assert result is not None
    facts = result.facts
    stack = (
        f" (Keras {facts['keras']}, {facts['engine']} {facts['engine_version']}, "
        f"Python {facts['python']}, {spec.threads} threads)"
        if facts
        else ""
    )
    yield f"{result.status}  {spec.title}{stack}"
    if result.message:
        yield f"  {result.reason}: {result.message}"
    if result.training_time_s is not None:
        steady = f", steady epoch {_seconds(result.steady_epoch_s)} s" if result.steady_epoch_s else ""
        yield f"  training_time_s  {_seconds(result.training_time_s)}{steady}"
    if result.loss is not None:
        found = [(m.metric, _written(m, result.value(m))) for m in measures.qualities(result.quality_keys)]
        others = [f"   {name}  {value}" for name, value in found]
        yield f"  loss  {result.loss:.4f}{''.join(others)}{_chance(record)}"
    if phases(result):
        yield f"  phases  {phases(result)}"
    if result.samples_per_s and result.latency_ms and result.latency_p95_ms:
        yield (
            f"  inference  {result.samples_per_s:,.0f} samples/s, one sample "
            f"{_seconds(result.latency_ms)} ms (95% within {_seconds(result.latency_p95_ms)} ms)"
        )
    if result.peak_mib:
        yield f"  memory  {result.peak_mib:.0f} MiB at its peak"
    if result.gpu_peak_mib:
        yield f"  gpu  {result.device.get('name')}, {result.gpu_peak_mib:.0f} MiB at its peak"


def _chance(record: RunRecord) -> str:
    """The range in which luck alone puts the accuracy: two standard errors on either side of one over the
    number of classes. Empty if the labels can be learned.
    """
    assert record.result is not None
    if not labels_are_chance(record.spec.data.kind) or "accuracy" not in record.result.qualities:
        return ""
    assert record.result.data is not None
    classes = labels_classes(record.spec.params())
    expected = 1 / classes
    half_width = 2 * (expected * (1 - expected) / record.result.data["shapes"]["y_test"][0]) ** 0.5
    low, high = max(0.0, expected - half_width), min(1.0, expected + half_width)
    labels = "coin flips" if classes == 2 else "random"
    return f"   (labels are {labels}: {low:.2f} to {high:.2f} is luck)"
