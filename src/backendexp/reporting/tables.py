"""The words and tables at the end of a run and of a sweep."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from backendexp.analysis.order import order_caveat
from backendexp.runs import results
from backendexp.runs.record import RunRecord
from backendexp.runs.results import RunResult
from backendexp.worker.data import labels_are_chance

# Keys of the plan that every table shows in a column of its own.
_ALWAYS_SHOWN = ("backend.name", "runtime.name", "seed")


@dataclass(frozen=True)
class Column:
    """A number of a result: its title with the unit, how to get it, how to write it."""

    title: str
    value: Callable[[RunResult], float | None]
    text: Callable[[float], str]

    def show(self, value: float | None) -> str:
        return "-" if value is None else self.text(value)


def _seconds(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


COLUMNS = (
    Column("training_time_s", lambda r: r.training_time_s, _seconds),
    Column("first epoch s", lambda r: r.first_epoch_s, _seconds),
    Column("steady epoch s", lambda r: r.steady_epoch_s, _seconds),
    Column("loss", lambda r: r.loss, lambda v: f"{v:.4f}"),
    Column("accuracy", lambda r: r.accuracy, lambda v: f"{v:.3f}"),
    Column("peak MiB", lambda r: r.peak_bytes and r.peak_bytes / 2**20, lambda v: f"{v:.0f}"),
)


@dataclass(frozen=True)
class Table:
    titles: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        lines = [self.titles, ["---"] * len(self.titles), *self.rows]
        escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
        return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def run_table(records: list[RunRecord]) -> Table:
    """A row a run, failures included. What differs between the plans has a column."""
    varied = [key for key in _varied_keys(records) if key not in _ALWAYS_SHOWN]
    titles = ["backend", "runtime", "seed", *varied, "status", *(c.title for c in COLUMNS)]
    rows = []
    for record in records:
        params = record.spec.params()
        result = record.result
        status = "RUNNING" if result is None else result.status
        if result is not None and result.reason:
            status += f" ({result.reason})"
        numbers = ["-" if result is None else c.show(c.value(result)) for c in COLUMNS]
        rows.append([*(params[k] for k in _ALWAYS_SHOWN), *(params[k] for k in varied), status, *numbers])
    return Table(titles, rows)


def _varied_keys(records: list[RunRecord]) -> list[str]:
    plans = [record.spec.params() for record in records]
    keys = dict.fromkeys(key for plan in plans for key in plan)
    return [key for key in keys if len({plan.get(key) for plan in plans}) > 1]


@dataclass(frozen=True)
class Group:
    """The runs of one backend on one runtime."""

    backend: str
    runtime: str
    runs: int
    finished: list[RunResult]

    def median(self, column: Column) -> float | None:
        values = [v for v in map(column.value, self.finished) if v is not None]
        return statistics.median(values) if values else None


def groups(records: list[RunRecord]) -> list[Group]:
    keys = dict.fromkeys((r.spec.backend, r.spec.runtime) for r in records)
    found = []
    for backend, runtime in keys:
        own = [r.result for r in records if (r.spec.backend, r.spec.runtime) == (backend, runtime)]
        done = [result for result in own if result is not None and result.status == results.FINISHED]
        found.append(Group(backend, runtime, len(own), done))
    return found


def median_table(records: list[RunRecord]) -> Table:
    """Per backend and runtime, the medians of the runs that finished."""
    titles = ["backend", "runtime", "finished", *(f"median {c.title}" for c in COLUMNS)]
    rows = [
        [g.backend, g.runtime, f"{len(g.finished)} of {g.runs}", *(c.show(g.median(c)) for c in COLUMNS)]
        for g in groups(records)
    ]
    return Table(titles, rows)


def caveats(records: list[RunRecord]) -> list[str]:
    """What a reader of the table must know before believing it."""
    said = []
    if len({r.spec.runtime for r in records}) > 1:
        said.append(
            "These runs are of different runtimes, so of different Keras versions. They stand side by side; "
            "they do not compare backends."
        )
    if any(r.result is not None and r.result.compile_cache == "empty" for r in records):
        said.append(
            "A run started with an empty compile cache: its first epoch holds compilation that later runs "
            "do not repeat."
        )
    said += label_caveats(records)
    caveat = order_caveat([r.spec.backend for r in records])
    if caveat:
        said.append(caveat)
    return said


def label_caveats(records: Sequence[RunRecord]) -> list[str]:
    """What the labels make of the numbers, once for all runs that it is true of."""
    said: dict[str, None] = {}
    for record in records:
        # Runs of earlier versions do not tell of their labels.
        data = (record.result.data if record.result else None) or {}
        for name, labels in data.get("labels", {}).items():
            if labels["low"] == labels["high"]:
                meaning = "nothing could be learned" if name == "y_train" else "accuracy tells little"
                said[f"{name} holds one class only, every label is {labels['low']:g}: {meaning}."] = None
        if not data.get("labels", {}).get("y_test", {}).get("zeros_and_ones", True):
            said[
                "y_test holds other labels than 0 and 1, and accuracy counts only these: look at the loss."
            ] = None
    return list(said)


def phases(result: RunResult) -> str:
    """The phases of a run in the order of time."""
    parts = (
        ("import", result.import_s),
        ("build", result.build_s),
        ("first epoch", result.first_epoch_s),
        ("other epochs", result.remaining_epochs_s),
        ("evaluate", result.evaluate_s),
    )
    return " · ".join(f"{name} {_seconds(value)} s" for name, value in parts if value is not None)


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
    if result.loss is not None and result.accuracy is not None:
        yield f"  loss  {result.loss:.4f}   accuracy  {result.accuracy:.3f}{_chance(record)}"
    if phases(result):
        yield f"  phases  {phases(result)}"
    if result.peak_bytes:
        yield f"  memory  {result.peak_bytes / 2**20:.0f} MiB at its peak"


def _chance(record: RunRecord) -> str:
    """Where accuracy lies by luck alone: two standard errors of a fair coin, Bernoulli."""
    if not labels_are_chance(record.spec.data.kind):
        return ""
    half_width = 2 * (0.25 / record.spec.data.test_samples) ** 0.5
    low, high = max(0.0, 0.5 - half_width), min(1.0, 0.5 + half_width)
    return f"   (labels are coin flips: {low:.2f} to {high:.2f} is luck)"
