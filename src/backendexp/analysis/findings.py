"""What a comparison reads and what it finds: plain data between the store, the statistics and the reports."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from backendexp.runs import measures
from backendexp.runs.measures import Measure

# Verdicts on a time, of the candidate against the baseline.
FASTER, SLOWER, EQUIVALENT, INCONCLUSIVE = "faster", "slower", "equivalent", "inconclusive"
# Of memory, faster and slower are
LESS, MORE = "less", "more"
# The two could not be, or must not be, compared in time; `Contrast.withheld` says why.
WITHHELD = "withheld"
# Verdicts on a quality (loss, accuracy): equivalent and inconclusive as above, or
DIFFERENT = "different"


@dataclass(frozen=True)
class TrackedRun:
    """A run as the store holds it.

    status: MLflow's: FINISHED, FAILED, KILLED, RUNNING. reason: why it did not finish, or None.
    role: timed, or parity: trained without dropout to show that the backends agree.
    block, position: of a comparison's design, both from 1; None in an ordinary sweep.
    parallel: it ran while another run of this machine did.
    load: the load average when it began, or None.
    began_ms, ended_ms: since 1970; ended_ms is None while it runs.
    params: the plan under its dotted names. tags: those of backendexp, under their names in the store;
        and data_digest, of the dataset (as the store keeps it), where there is one.
    values: Measure.key to number; what the run did not reach is not there.
    loss_by_epoch, accuracy_by_epoch: of training, one number an epoch; empty where they were not read.
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
    accuracy_by_epoch: tuple[float, ...] = ()


@dataclass(frozen=True)
class Spread:
    """Of the finished runs of a group: median, first and third quartile, and how many had the number."""

    median: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True)
class Chance:
    """Labels are coin flips: what guessing would get.

    correct, guesses: over all finished runs of the group, each with its own test samples.
    accuracy, low, high: the share that was right, and its exact 95% interval (Clopper and Pearson).
    p: of a share at least as far from one half by chance alone (exact binomial test).
    sentence: what that means.
    """

    correct: int
    guesses: int
    accuracy: float
    low: float
    high: float
    p: float
    sentence: str


@dataclass(frozen=True)
class Group:
    """The timed runs of one side: of a backend on a runtime, in one sweep where two sweeps are compared.

    label: unique within the comparison: "theano", or with what else tells the sides apart,
        "theano (keras2)", "theano, 2026-11-22/10-00-00".
    engine: "PyTensor 3.0.7" and the like, "" when no run got that far.
    outliers: run ids by measure key; they are labelled, and stay in every number.
    chance: None where the labels can be learned, or no run finished.
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
        """The runtime, and the version of its Keras where a run got far enough to tell it."""
        versions = (run.tags.get("keras_version") for run in self.runs)
        return self.runtime, next(filter(None, versions), None)


@dataclass(frozen=True)
class Contrast:
    """One measure of a candidate against the baseline, over the blocks that both finished.

    baseline, candidate: labels of groups. blocks: how many pairs.
    ratio, low, high: candidate over baseline, the geometric mean of the pairs' ratios, and its 95% interval.
    bootstrap_low, bootstrap_high: another 95% interval of the ratio, see `statistics.bootstrap_intervals`.
        The verdict does not look at it.
    faster_share: the share of blocks in which the candidate was the faster (ties count half).
    p: of the paired test that the ratio is 1. p_holm: corrected for all pairs of groups (Holm).
    verdict: FASTER, SLOWER, EQUIVALENT, INCONCLUSIVE or WITHHELD; of memory LESS and MORE in place of the
        first two. withheld: why, or None; then there is no test either, and p and p_holm are None.
    more_blocks: how many more would decide, in the mean, when it is inconclusive; else None.
    sentence: the verdict in words, with its numbers.
    The numbers are None where there are fewer than two pairs, or a pair has no ratio.
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
    """Loss or accuracy of a candidate against the baseline, over the blocks that both finished.

    difference, low, high: candidate less baseline, the mean of the pairs' differences, and its 90% interval,
        which is the one that two one-sided tests at 5% look at.
    margin: what is too small to matter, in the measure's unit. p_equivalent: of the two one-sided tests
        (TOST, Schuirmann 1987), the greater. p_different: of the paired test, after Holm.
    verdict: EQUIVALENT, DIFFERENT or INCONCLUSIVE; WITHHELD where the pair may not be compared at all, and
        then the two p are None.
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
    """Did the backends compute the same thing, from the parity runs of the comparison?

    agree: None where there were no parity runs. greatest: distance of the losses, or None.
    distances: group label to its distance from the reference, and what rounding explains.
    sentences: the verdict, a line each.
    """

    agree: bool | None
    greatest: float | None
    distances: dict[str, tuple[float, float]]
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """
    title: what was compared, for a heading. baselines: labels of the groups that the others are compared
        with: one for each Keras, because there is no verdict across; or, where two sweeps are compared, each
        backend's group of the first sweep.
    groups: the baselines first. contrasts: TIMES and MEMORY of every pair, the baseline's pairs first.
    qualities: likewise for QUALITIES.
    margin: of a time's ratio: within 1/(1+margin) to 1+margin two times are equivalent.
    common: the parameters that all runs share. versions: Keras, Python, CPU and the like, likewise.
    notes: what a reader must know before believing it (spread, drift, outliers, failures, parallel runs).
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

    def group(self, label: str) -> Group:
        return next(group for group in self.groups if group.label == label)

    def baseline_of(self, label: str) -> str | None:
        """The label of the baseline that a group is compared with: that of its own Keras, where there is one.
        None for a baseline.
        """
        if label in self.baselines:
            return None
        known = {c.baseline for c in self.contrasts if c.candidate == label}
        own = [baseline for baseline in self.baselines if baseline in known]
        keras = self.group(label).keras
        return next((b for b in own if self.group(b).keras == keras), own[0] if own else None)

    def headlines(self) -> tuple[str, ...]:
        """The sentences that answer the question: training time and accuracy of each pair with the
        baseline.
        """
        found: Sequence[Contrast | QualityContrast] = (*self.contrasts, *self.qualities)
        with_baseline = [pair for pair in found if pair.baseline in self.baselines]
        return tuple(
            pair.sentence
            for measure in measures.headlines()
            for pair in with_baseline
            if pair.measure.key == measure.key
        )


@dataclass(frozen=True)
class ScalePoint:
    """What a backend took at one size of experiment=scale.

    backend: the label that figures and tables show. size: of what was varied, such as the samples; above 0.
    median, low, high: of the repeats, in the unit of the measure; low and high are the least and greatest.
    """

    backend: str
    size: float
    median: float
    low: float
    high: float
