"""The table of measures: every number of a run that is tracked, compared or shown, described once.

A new measure is a new row of TABLE, and a field or property of RunResult that holds its value. MLflow's
metrics, the tables at the end of a run and of a sweep, the analysis, the limits of `--fail-if`, the exports
and the report read the table each time they are made, so nothing else has to be edited but the page for users
that lists the metrics; a test checks that page against this table.

The metrics of the model, such as accuracy, are not in the table, because they are only known from the runs.
The functions here take the keys of the runs' values, and add a measure for each metric among them.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from backendexp.runs import keras_metrics
from backendexp.runs.keras_metrics import Better as Better


class Kind(enum.Enum):
    """How a measure is compared, and what its verdicts are called.

    TIME: by the ratio to the baseline: faster or slower. Times have no verdict where runs disturbed each
        other, or where the backends did different work.
    MEMORY: by the ratio to the baseline: less or more.
    RATE: by the ratio to the baseline: less or more of something in a second. It has a verdict where times
        have one.
    QUALITY: by the difference from the baseline, which is equivalent or different. A quality says how good
        the trained model is.
    """

    TIME = "time"
    MEMORY = "memory"
    RATE = "rate"
    QUALITY = "quality"


@dataclass(frozen=True)
class Measure:
    """A number of a run.

    key: its name in this program. A tracked measure has the same name in MLflow, where a slash makes a
        section of charts.
    title: its name in tables and sentences.
    unit: "s" or "MiB", or "" for a pure number.
    kind, better: see there.
    source: the field or property of RunResult that holds the value, in the measure's unit; None where the
        value is not in the result, so that it is not tracked.
    metric: Keras's name of the metric, for a measure that is one of RunResult.qualities; None for the others.
    difference_of: for a measure without a source, the keys of two tracked measures: its value is the first
        less the second, and at least 0.
    aliases: other names under which MLflow gets the same value.
    decimals: digits after the point; None writes three significant digits.
    margin: for a quality, the difference that is too small to matter, unless the caller names another; None
        for times and memory, which share RATIO_MARGIN.
    relative: whether the margin is a share of the mean of the baseline's values.
    compared: whether backends are compared in it.
    optional: whether it is left out of a comparison whose runs do not have it.
    headline: whether its verdict is one of those that a comparison shows first.
    column: its heading in the tables at the end of a run and of a sweep, with its unit; None where it has no
        column there. Of the measures that are compared, those with a column are also shown run by run in the
        report, and as metrics of a comparison's summary run.
    phase: for a part of a run's time, its name in the list of phases at the end of the run.
    scale_ratio: the heading of its ratio in the tables of experiment=scale; None where that experiment does
        not look at it.
    """

    key: str
    title: str
    unit: str
    kind: Kind
    better: Better
    source: str | None
    difference_of: tuple[str, str] | None = None
    aliases: tuple[str, ...] = ()
    decimals: int | None = None
    margin: float | None = None
    relative: bool = False
    optional: bool = False
    metric: str | None = None
    compared: bool = True
    headline: bool = False
    column: str | None = None
    phase: str | None = None
    scale_ratio: str | None = None

    def __post_init__(self) -> None:
        if (self.kind is Kind.QUALITY) != (self.margin is not None):
            raise ValueError(f"measure {self.key!r}: a quality has a margin, and no other measure has one")

    @property
    def heading(self) -> str:
        """The title followed by the unit, which some titles have already."""
        has_unit = not self.unit or self.title.endswith(f"_{self.unit}")
        return self.title if has_unit else f"{self.title} {self.unit}"

    @property
    def short_key(self) -> str:
        """The key without its section, as --fail-if accepts it and as metrics of a summary run have it."""
        return self.key.rpartition("/")[2]

    @property
    def is_ratio(self) -> bool:
        """Whether it is compared by its ratio to the baseline; else by the difference."""
        return self.kind is not Kind.QUALITY


def _time(
    key: str,
    title: str,
    source: str | None,
    *,
    difference_of: tuple[str, str] | None = None,
    compared: bool = True,
    headline: bool = False,
    column: str | None = None,
    phase: str | None = None,
    scale_ratio: str | None = None,
) -> Measure:
    """A time in seconds."""
    return Measure(
        key,
        title,
        "s",
        Kind.TIME,
        Better.LESS,
        source,
        difference_of=difference_of,
        compared=compared,
        headline=headline,
        column=column,
        phase=phase,
        scale_ratio=scale_ratio,
    )


TRAINING_TIME, STEADY_EPOCH, FIRST_EPOCH = "training_time_s", "time/steady_epoch_s", "time/first_epoch_s"
IMPORT_TIME, BUILD_TIME, EVALUATION_TIME = "time/import_s", "time/build_s", "time/evaluate_s"
SAMPLES_PER_S = "inference/samples_per_s"
LATENCY, LATENCY_P95 = "inference/latency_ms", "inference/latency_p95_ms"
GPU_MEMORY = "memory/gpu_peak_mib"
COMPILATION, PEAK_MEMORY = "time/compilation_s", "memory/peak_mib"
LOSS, ACCURACY = "loss", "accuracy"

# Two values of a time, or of memory, are equivalent within 1/(1 + RATIO_MARGIN) to 1 + RATIO_MARGIN of each
# other, unless the caller names another margin.
RATIO_MARGIN = 0.10

# In the order of the columns of tables: times in the order of a run, then the rest.
TABLE: tuple[Measure, ...] = (
    _time(IMPORT_TIME, "import", "import_s", phase="import"),
    _time(BUILD_TIME, "build", "build_s", phase="build"),
    # What epoch 1 took beyond a steady epoch: mostly compilation.
    _time(COMPILATION, "compilation", None, difference_of=(FIRST_EPOCH, STEADY_EPOCH)),
    _time(
        TRAINING_TIME,
        "training_time_s",
        "training_time_s",
        headline=True,
        column="training_time_s",
        scale_ratio="time ratio",
    ),
    _time(
        FIRST_EPOCH,
        "first epoch",
        "first_epoch_s",
        compared=False,
        column="first epoch s",
        phase="first epoch",
    ),
    _time(
        STEADY_EPOCH,
        "steady epoch",
        "steady_epoch_s",
        headline=True,
        column="steady epoch s",
        scale_ratio="epoch ratio",
    ),
    _time(
        "time/remaining_epochs_s", "other epochs", "remaining_epochs_s", compared=False, phase="other epochs"
    ),
    _time(EVALUATION_TIME, "evaluation", "evaluate_s", phase="evaluate"),
    _time("time/cpu_s", "processor time", "cpu_s", compared=False),
    Measure(
        SAMPLES_PER_S,
        "prediction rate",
        "samples/s",
        Kind.RATE,
        Better.MORE,
        "samples_per_s",
        optional=True,
    ),
    Measure(LATENCY, "latency", "ms", Kind.TIME, Better.LESS, "latency_ms", optional=True),
    Measure(
        LATENCY_P95,
        "latency, 95th percentile",
        "ms",
        Kind.TIME,
        Better.LESS,
        "latency_p95_ms",
        optional=True,
    ),
    Measure(
        LOSS,
        "loss",
        "",
        Kind.QUALITY,
        Better.LESS,
        "loss",
        aliases=("test/loss",),
        decimals=4,
        margin=0.05,
        column="loss",
    ),
    Measure(
        PEAK_MEMORY,
        "peak memory",
        "MiB",
        Kind.MEMORY,
        Better.LESS,
        "peak_mib",
        decimals=0,
        column="peak MiB",
        scale_ratio="memory ratio",
    ),
    Measure(
        GPU_MEMORY,
        "peak memory of the GPU",
        "MiB",
        Kind.MEMORY,
        Better.LESS,
        "gpu_peak_mib",
        decimals=0,
        optional=True,
    ),
)

TRAIN_LOSS = "train/loss"
# MLflow gets a metric of the test data and of the training under these names, followed by Keras's name.
_TEST, _TRAIN = "test/", "train/"


def quality(name: str) -> Measure:
    """The measure of a metric of the model.

    name: as Keras writes it, such as accuracy, or left_accuracy of the output `left`.
    """
    facts = keras_metrics.facts_of(name)
    # Accuracy is what the tutorial compares, so it has a name of its own in MLflow.
    alone = name == ACCURACY
    return Measure(
        ACCURACY if alone else _TEST + name,
        name.replace("_", " "),
        "",
        Kind.QUALITY,
        facts.better,
        None,
        aliases=(_TEST + name,) if alone else (),
        decimals=facts.decimals,
        margin=facts.margin,
        relative=facts.relative,
        metric=name,
        column=name,
    )


def qualities(keys: Iterable[str]) -> tuple[Measure, ...]:
    """The measures of the metrics of the model, accuracy first, and the first of them is a headline.

    keys: of measures, or names of metrics in MLflow, in the order in which the metrics are to be shown. Those
        that are no metric of the model are left out.
    """
    names = dict.fromkeys(name for key in keys if (name := _metric_of(key)) is not None)
    found = [quality(name) for name in sorted(names, key=lambda name: name != ACCURACY)]
    return tuple(replace(known, headline=at == 0) for at, known in enumerate(found))


def _metric_of(key: str) -> str | None:
    if key == ACCURACY:
        return ACCURACY
    return key[len(_TEST) :] if key.startswith(_TEST) and key not in _aliases() else None


def _aliases() -> set[str]:
    return {alias for known in TABLE for alias in known.aliases}


def headline_quality(keys: Iterable[str]) -> Measure | None:
    """The quality that a comparison shows first: accuracy, if there is one, else the first metric."""
    return next(iter(qualities(keys)), None)


def by_epoch(known: Measure) -> str:
    """The name under which MLflow gets the values of a metric during training.

    known: one of `qualities`.
    """
    return f"{_TRAIN}{known.metric}"


def measure(key: str) -> Measure:
    """Raises KeyError: the table has no measure of this key."""
    for known in TABLE:
        if known.key == key:
            return known
    raise KeyError(key)


def tracked() -> tuple[Measure, ...]:
    """The measures that MLflow gets of every run. It gets the metrics of the model besides."""
    return tuple(known for known in TABLE if known.source is not None)


def compared(*kinds: Kind, keys: Iterable[str] = ()) -> tuple[Measure, ...]:
    """The measures in which backends are compared, those that are compared by a ratio first.

    kinds: only these, where any are named. keys: see `qualities`.
    """
    every = (*(known for known in TABLE if known.compared), *qualities(keys))
    wanted = [known for known in every if not kinds or known.kind in kinds]
    return tuple(sorted(wanted, key=lambda known: not known.is_ratio))


def ratios(keys: Iterable[str] | None = None) -> tuple[Measure, ...]:
    """The measures that are compared by the ratio to the baseline: times, memory and rates.

    keys: of the measures that the runs have; without them, optional measures are left out.
    """
    there = None if keys is None else set(keys)
    return tuple(
        known
        for known in compared()
        if known.is_ratio and not (known.optional and there is not None and known.key not in there)
    )


def headlines() -> tuple[Measure, ...]:
    """The measures of the table whose verdicts a comparison shows first."""
    return tuple(known for known in compared() if known.headline)


def columns(keys: Iterable[str] = ()) -> tuple[Measure, ...]:
    """The measures that the tables at the end of a run and of a sweep show.

    keys: see `qualities`, whose columns come after that of the loss.
    """
    shown = [known for known in TABLE if known.column is not None]
    after_loss = next((at for at, known in enumerate(shown, 1) if known.key == LOSS), len(shown))
    return (*shown[:after_loss], *qualities(keys), *shown[after_loss:])


def compared_values(metrics: Mapping[str, float], first: Iterable[str] = ()) -> dict[str, float]:
    """The values of the measures that are compared, by key.

    metrics: a run's tracked metrics under their MLflow names. A value that cannot be had from them is left
        out.
    first: names of metrics of the model, in their order. Those that are not named follow by their names.
    """
    values = {}
    names = [name for name in (ACCURACY, *(_TEST + name for name in first)) if name in metrics]
    for known in compared(keys=[*names, *sorted(metrics)]):
        if known.difference_of is None:
            value = metrics.get(known.key)
        else:
            one, other = map(metrics.get, known.difference_of)
            value = None if one is None or other is None else max(0.0, one - other)
        if value is not None:
            values[known.key] = value
    return values
