"""What a comparison reads and what it finds: the plain data that the store, statistics and reports share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from backendexp.runs import measures
from backendexp.runs.measures import Kind, Measure

# Verdicts on a time: how the candidate compares with the baseline.
FASTER, SLOWER, EQUIVALENT, INCONCLUSIVE = "faster", "slower", "equivalent", "inconclusive"
# Verdicts on memory, in place of faster and slower.
LESS, MORE = "less", "more"
# The two could not be compared, or must not be; `Contrast.withheld` says why.
WITHHELD = "withheld"
# A verdict on a quality (loss, accuracy and other metrics), which can also be equivalent or inconclusive.
DIFFERENT = "different"


@dataclass(frozen=True)
class TrackedRun:
    """A run as the store holds it.

    status: MLflow's status: FINISHED, FAILED, KILLED or RUNNING.
    reason: why the run did not finish, or None.
    role: "timed", or "parity" for a run that was trained without dropout to check that the backends agree.
    block, position: the run's place in the design of experiment=compare, both counted from 1; None in an
        ordinary sweep.
    parallel: whether it ran at the same time as another run on its machine, according to its tag.
    load: the load average when the run began, or None if it is not known.
    began_ms, ended_ms: milliseconds since 1970; ended_ms is None while the run is under way.
    params: the plan under its dotted names.
    tags: backendexp's tags under their names in the store. If the run has a dataset, the tag data_digest
        holds the dataset's digest as the store keeps it.
    values: the run's compared measures, from the measure's key to its value. Values that the run did not
        reach are left out.
    loss_by_epoch, quality_by_epoch: the training curves of the loss and of the headline quality
        (`measures.headline_quality`), one number for each epoch; empty if they were not read.
    """

    run_id: str
    name: str
    status: str
    reason: str | None
    sweep: str | None
    role: str
    backend: str
    runtime: str
    seed: int
    block: int | None
    position: int | None
    parallel: bool
    load: float | None
    began_ms: int
    ended_ms: int | None
    params: dict[str, str]
    tags: dict[str, str]
    values: dict[str, float]
    loss_by_epoch: tuple[float, ...] = ()
    quality_by_epoch: tuple[float, ...] = ()


def keys_of(runs: Iterable[TrackedRun]) -> tuple[str, ...]:
    """The keys of the measures of which a run has a value, each once."""
    return tuple(dict.fromkeys(key for run in runs for key in run.values))


@dataclass(frozen=True)
class Spread:
    """The spread of one measure over the finished runs of a group.

    low, high: the first and the third quartile.
    runs: how many of the runs have a value.
    """

    median: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True)
class Chance:
    """Whether the accuracy of a group differs from guessing, where nothing can be learned from the data.

    correct, guesses: the number of right answers and of all answers, over all finished runs of the group,
        each on its own test samples.
    accuracy, low, high: the share of right answers, and its exact 95% interval (Clopper and Pearson).
    p: the probability that chance alone gives a share at least as far from the expected one (exact binomial
        test).
    expected: the share that guessing gets on average: one over the number of classes.
    sentence: what that means, in words.
    """

    correct: int
    guesses: int
    accuracy: float
    low: float
    high: float
    p: float
    sentence: str
    expected: float = 0.5


@dataclass(frozen=True)
class Group:
    """The timed runs of one backend on one runtime; of one sweep only, where two sweeps are compared.

    label: unique within the comparison: "theano", or the backend with what distinguishes it from the other
        groups, such as "theano (keras2)" or "theano, 2026-11-22/10-00-00".
    engine: the name and version of the engine, such as "PyTensor 3.0.7"; "" if no run got that far.
    outliers: ids of the outlying runs, by the key of the measure. Outliers are labelled, and stay in every
        number.
    chance: None if the labels can be learned, or if no run finished.
    """

    label: str
    backend: str
    runtime: str
    sweep: str | None
    engine: str
    runs: tuple[TrackedRun, ...]
    spreads: dict[str, Spread]
    outliers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    chance: Chance | None = None

    @property
    def finished(self) -> tuple[TrackedRun, ...]:
        return tuple(run for run in self.runs if run.status == "FINISHED")

    @property
    def keras(self) -> tuple[str, str | None]:
        """The runtime, and the version of its Keras; None if no run got far enough to report the version."""
        versions = (run.tags.get("keras_version") for run in self.runs)
        return self.runtime, next(filter(None, versions), None)


@dataclass(frozen=True)
class Contrast:
    """A time or the memory of a candidate compared with the baseline, over the blocks that both finished.

    baseline, candidate: labels of groups.
    blocks: the number of blocks in which both have a value.
    ratio, low, high: candidate over baseline: the geometric mean of the ratios within blocks, and its 95%
        interval, which is not adjusted for the number of comparisons.
    bootstrap_low, bootstrap_high: another 95% interval of the ratio, see `statistics.bootstrap_intervals`.
        The verdict does not use it.
    faster_share: the share of blocks in which the candidate's value was the better one (ties count half).
    p: from the paired test of the hypothesis that the ratio is 1.
    p_holm: the same p, adjusted for the number of pairs of groups (Holm). The verdict uses this one.
    verdict: FASTER, SLOWER, EQUIVALENT, INCONCLUSIVE or WITHHELD; for memory, LESS and MORE take the place
        of the first two.
    withheld: why there is no verdict, or None. If there is no verdict there was no test, and p and p_holm
        are None.
    more_blocks: if the verdict is inconclusive, about how many more blocks would decide, or None if no
        feasible number would; None for every other verdict.
    sentence: the verdict in words, with its numbers.

    The numbers are None if there are fewer than two pairs of values, or if a pair has no ratio.
    """

    measure: Measure
    baseline: str
    candidate: str
    blocks: int
    ratio: float | None
    low: float | None
    high: float | None
    bootstrap_low: float | None
    bootstrap_high: float | None
    faster_share: float | None
    p: float | None
    p_holm: float | None
    verdict: str
    withheld: str | None
    more_blocks: int | None
    sentence: str


@dataclass(frozen=True)
class QualityContrast:
    """The loss or a metric of a candidate compared with the baseline, over the blocks that both finished.

    baseline, candidate, blocks, sentence: as in Contrast.
    difference, low, high: candidate less baseline: the mean of the differences within blocks, and its 90%
        interval. 90% is the level at which the interval lies within the margin exactly where the two
        one-sided tests at 5% show equivalence. The interval is not adjusted for the number of comparisons.
    margin: the difference that is too small to matter, in the measure's unit.
    p_equivalent: the greater p of the two one-sided tests (TOST, Schuirmann 1987).
    p_different: from the paired test, adjusted for the number of pairs (Holm).
    verdict: EQUIVALENT, DIFFERENT or INCONCLUSIVE; WITHHELD if the pair must not be compared at all, and
        then both p are None.
    """

    measure: Measure
    baseline: str
    candidate: str
    blocks: int
    difference: float | None
    low: float | None
    high: float | None
    margin: float
    p_equivalent: float | None
    p_different: float | None
    verdict: str
    sentence: str


@dataclass(frozen=True)
class Parity:
    """Whether the backends computed the same, according to the parity runs of the comparison.

    agree: None if there were no parity runs.
    greatest: the greatest distance between losses that were compared, or None if none were.
    distances: by the label of a group, the distance of its losses from the reference's, and the distance
        that rounding explains.
    sentences: the verdict, and a sentence for each run that was judged.
    """

    agree: bool | None
    greatest: float | None
    distances: dict[str, tuple[float, float]]
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """
    title: what was compared, for a heading.
    baselines: labels of the groups that the others are compared with. There is one for each Keras version,
        because there are no verdicts across versions. Where two sweeps are compared, the baselines are the
        groups of the first sweep.
    groups: all groups, the baselines first.
    contrasts: the times and the memory of every pair, the pairs with a baseline first.
    qualities: the loss and the metrics of every pair, in the same order.
    margin: two times whose ratio is within 1/(1+margin) to 1+margin are equivalent.
    common: the parameters that all runs share.
    versions: the versions and facts of the machine that all runs share, such as Keras, Python and the CPU.
    notes: what a reader must know before believing the numbers: spread, drift, outliers, failures and
        parallel runs.
    by: the setting whose values were compared, or None if backends or sweeps were.
    """

    title: str
    baselines: tuple[str, ...]
    groups: tuple[Group, ...]
    contrasts: tuple[Contrast, ...]
    qualities: tuple[QualityContrast, ...]
    parity: Parity
    margin: float
    common: dict[str, str]
    versions: dict[str, str]
    notes: tuple[str, ...]
    by: str | None = None

    def group(self, label: str) -> Group:
        return next(group for group in self.groups if group.label == label)

    def baseline_of(self, label: str) -> str | None:
        """The label of the baseline that a group is compared with: the one with the same Keras, if there is
        one. None for a baseline.
        """
        if label in self.baselines:
            return None
        known = {c.baseline for c in self.contrasts if c.candidate == label}
        own = [baseline for baseline in self.baselines if baseline in known]
        keras = self.group(label).keras
        return next((b for b in own if self.group(b).keras == keras), own[0] if own else None)

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """The measures in which the groups are compared: those of the table, and the runs' metrics."""
        keys = keys_of(run for group in self.groups for run in group.runs)
        return tuple(m for m in measures.compared(keys=keys) if m.key in keys or not m.optional)

    @property
    def shown_by_run(self) -> tuple[Measure, ...]:
        """The measures that a person looks through run by run."""
        return tuple(known for known in self.measures if known.column is not None)

    @property
    def quality(self) -> Measure | None:
        """The quality whose verdict is shown first, or None if the runs have no metrics."""
        return next((m for m in self.measures if m.headline and m.kind is Kind.QUALITY), None)

    @property
    def qualities_title(self) -> str:
        """The heading of the loss and the metrics."""
        others = [m.title for m in self.measures if m.kind is Kind.QUALITY and m.key != measures.LOSS]
        return f"Loss and {others[0] if len(others) == 1 else 'metrics'}"

    def headlines(self) -> tuple[str, ...]:
        """The sentences that answer the question: for each measure that is a headline, the verdict on every
        pair with a baseline.
        """
        found: Sequence[Contrast | QualityContrast] = (*self.contrasts, *self.qualities)
        with_baseline = [pair for pair in found if pair.baseline in self.baselines]
        return tuple(
            pair.sentence
            for measure in self.measures
            if measure.headline
            for pair in with_baseline
            if pair.measure.key == measure.key
        )


@dataclass(frozen=True)
class ScalePoint:
    """What a backend needed at one size of experiment=scale.

    backend: the label that figures and tables show.
    size: the value of what was varied, such as the number of samples; above 0.
    median, low, high: the median, the least and the greatest value of the repeats, in the measure's unit.
    """

    backend: str
    size: float
    median: float
    low: float
    high: float
