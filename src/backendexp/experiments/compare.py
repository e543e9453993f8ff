"""experiment=compare: runs every backend in randomised blocks, and finds out which of them is faster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backendexp.analysis import guards, sides
from backendexp.analysis.findings import INCONCLUSIVE
from backendexp.config import schema
from backendexp.config.schema import Config
from backendexp.errors import ConfigError, UserError
from backendexp.experiments import blocks, sweep
from backendexp.experiments import parity as parity_check
from backendexp.experiments.base import Conclusion, PlannedRun
from backendexp.experiments.blocks import Entrants
from backendexp.reporting import tables
from backendexp.runs.measures import TRAINING_TIME
from backendexp.runs.plan import RunSpec
from backendexp.runs.record import RunRecord
from backendexp.runs.starts import PLANNED, UNTIL_DECIDED
from backendexp.runs.tags import BASELINE, PARITY, ROLE, TIMED
from backendexp.worker.settings import setting

if TYPE_CHECKING:
    from backendexp.analysis.findings import Comparison

CHOOSES_BACKENDS = True
# The parts of the configuration whose settings can be compared. The data must be the same on both sides.
_COMPARABLE = ("engine", "training", "threads", "model", "controls", "runtime.start")


@dataclass
class Settings(blocks.Choice):
    """Sets up the experiment `compare`.

    enabled: whether to run every backend in randomised blocks, and to report which is faster.
    blocks: how many times every backend is timed. Fewer than three are not enough for a verdict.
    margin: two times are equivalent if their ratio is between 1/(1+margin) and 1+margin.
    accuracy_margin: two accuracies are equivalent if they differ by no more than this.
    parity: whether to check first that the backends compute the same results.
    until: blocks runs all blocks. decided stops before if every side is known to be faster, slower or
        equivalent, and judges by a test that allows this.
    by: the setting whose values are compared on one backend. null compares backends.
    values: the values of that setting.
    """

    enabled: bool = False
    blocks: int = setting(10, low=3, high=10_000, example="compare.blocks=10")
    margin: float = setting(0.1, low=0, high=1, above=True, example="compare.margin=0.05")
    accuracy_margin: float = setting(0.05, low=0, high=1, above=True, example="compare.accuracy_margin=0.05")
    parity: bool = True
    until: str = setting("blocks", choices=("blocks", "decided"), example="compare.until=decided")
    by: str | None = None
    values: list[Any] | None = None

    def check(self, config: Config) -> None:
        if self.by is None and self.values is None:
            self.check_choice("compare")
        else:
            self._check_values()
        if self.enabled:
            blocks.check_seeds(config, "compare", self.blocks)

    def _check_values(self) -> None:
        """Raises ConfigError: the values of a setting that are to be compared cannot be."""
        example = "e.g. compare.by=threads compare.values=[1,2]"
        if self.by is None:
            raise ConfigError(f"compare.values is set, but compare.by names no setting: add it, {example}")
        if not schema.has_key(self.by):
            raise ConfigError(f"compare.by: {schema.unknown_key(self.by)}")
        part = self.by.partition(".")[0]
        if (part not in _COMPARABLE and self.by not in _COMPARABLE) or self.by == "model.kind":
            raise ConfigError(
                f"compare.by is {self.by!r}, whose values cannot be compared: expected a setting of "
                f"{', '.join(_COMPARABLE)}, {example}"
            )
        if len({str(value) for value in self.values or ()}) < max(2, len(self.values or ())):
            raise ConfigError(
                f"compare.values is {self.values}: expected two or more different values of "
                f"{self.by}, {example}"
            )
        if self.backends is not None:
            raise ConfigError(
                "compare.by and compare.backends are both set, but the values of a setting are compared on "
                "one backend: leave out compare.backends, and choose the backend with backend=jax"
            )
        known = [sides.setting_of({self.by: str(value)}, self.by) or "" for value in self.values or ()]
        if self.baseline is not None and self.baseline not in {*known, *(k.partition("=")[2] for k in known)}:
            raise ConfigError(
                f"compare.baseline is {self.baseline!r}, which is not one of compare.values: "
                f"{', '.join(known)}"
            )


def chooses_backends(config: Config) -> bool:
    """Whether the experiment runs several backends. It runs one if it compares the values of a setting."""
    return config.experiments["compare"].by is None


def first(spec: RunSpec, config: Config) -> RunSpec:
    return _entrants(spec, config).specs[0]


def plan(spec: RunSpec, config: Config, say: Callable[[str], None]) -> "BackendComparison":
    asked = config.experiments["compare"]
    return BackendComparison(_entrants(spec, config), asked, config.experiments["parity"].probes)


def _entrants(spec: RunSpec, config: Config) -> Entrants:
    asked = config.experiments["compare"]
    if asked.by is not None:
        return blocks.values_of(config, asked.by, asked.values, asked.baseline)
    return blocks.entrants(spec, asked.backends, asked.baseline, "compare")


@dataclass(frozen=True)
class BackendComparison:
    """The experiment on this machine.

    who: the backends that take part.
    asked: the settings of the experiment.
    probes: the number of rounding probes in the parity part.
    """

    who: Entrants
    asked: Settings
    probes: int

    @cached_property
    def runs(self) -> list[PlannedRun]:
        """The warm-up runs, then the parity part, then the timed blocks."""
        specs = self.who.specs
        parity = parity_check.check_of(specs, self.probes) if self.checks_parity else []
        tracked = [*parity, *blocks.blocks(specs, self.asked.blocks)]
        if self.asked.until == "decided":
            tracked = [replace(run, tags={**run.tags, PLANNED: UNTIL_DECIDED}) for run in tracked]
        # The order within a block is shuffled, so the runs themselves do not show which is the baseline.
        tagged = [
            replace(run, tags={**run.tags, BASELINE: self.who.baseline}, side=self.who.side_of(run.spec))
            for run in tracked
        ]
        return [*blocks.warm_ups(specs), *tagged]

    @property
    def checks_parity(self) -> bool:
        """Whether the sides must compute the same. A setting such as the dtype changes what is computed."""
        by = self.who.by
        return self.asked.parity and (by is None or guards.should_not_change_results(by))

    @property
    def opening(self) -> list[str]:
        others = list(self.who.names[1:])
        named = " and ".join([", ".join(others[:-1]), others[-1]] if len(others) > 1 else others)
        warm_up, parity, timed = (
            sum(map(of, self.runs))
            for of in (
                lambda run: run.warm_up,
                lambda run: run.tags.get(ROLE) == PARITY,
                lambda run: run.tags.get(ROLE) == TIMED,
            )
        )
        agreement = f", {parity} to see that they compute the same" if parity else ""
        return [
            f"{named} against {self.who.baseline} on {self.who.place}, {len(self.runs)} runs: "
            f"{warm_up} to warm up{agreement}, {timed} that are timed, in {self.asked.blocks} blocks.",
            *(f"Not here: {why}" for why in self.who.missing),
        ]

    def is_over(self, records: Sequence[RunRecord]) -> bool:
        timed = [record for record in records if record.context.tags.get(ROLE) == TIMED]
        if self.asked.until == "blocks" or not timed or len(timed) % len(self.who.names):
            return False
        try:
            return self._is_decided(self._analysed(records, ""))
        except UserError:  # there are too few blocks
            return False

    def _is_decided(self, found: "Comparison") -> bool:
        """Whether the results so far are enough. A comparison of all blocks is never over before."""
        times = [c for c in found.contrasts if c.measure.key == TRAINING_TIME]
        return self.asked.until == "decided" and all(c.verdict != INCONCLUSIVE for c in times)

    def _analysed(self, records: Sequence[RunRecord], sweep_id: str) -> "Comparison":
        # SciPy is imported here, because it is not needed before there are results.
        from backendexp.analysis import pipeline, tracked_runs

        return pipeline.analyse(
            tracked_runs.of_records(list(records)),
            title=f"{_listed(self.who)} on {self.who.place}, {sweep_id}",
            baseline=self.who.baseline,
            by=self.who.by,
            margin=self.asked.margin,
            accuracy_margin=self.asked.accuracy_margin,
        )

    def conclude(self, sweep_id: str, folder: Path, records: Sequence[RunRecord]) -> Conclusion:
        # Matplotlib is imported here, because it is not needed until everything is measured.
        from backendexp.reporting import artifacts, text

        params = {
            "compare.baseline": self.who.baseline,
            **(
                {"compare.backends": ", ".join(self.who.names)}
                if self.who.by is None
                else {"compare.by": self.who.by, "compare.values": ", ".join(self.who.names)}
            ),
            "compare.blocks": str(self.asked.blocks),
            "compare.margin": str(self.asked.margin),
            "compare.accuracy_margin": str(self.asked.accuracy_margin),
        }
        try:
            found = self._analysed(records, sweep_id)
        except UserError as error:
            return _without_verdict(folder, records, str(error), params)
        timed = sum(record.context.tags.get(ROLE) == TIMED for record in records)
        planned = sum(run.tags.get(ROLE) == TIMED for run in self.runs)
        if timed < planned and not self._is_decided(found):
            cut_short = f"The comparison ended after {timed} of {planned} timed runs."
            found = replace(found, notes=(cut_short, *found.notes))
        found = replace(found, notes=(*found.notes, *tables.label_caveats(records)))
        written = artifacts.write(found, folder / "comparison")
        agreed = found.parity.agree is True or not self.checks_parity
        return Conclusion(
            kind="compare",
            said=[*text.paragraphs(found), *written.defects],
            note=artifacts.note(found, written),
            good=agreed and not written.defects,
            params=params,
            metrics=artifacts.metrics(found),
            artifacts=[written.folder],
            report=written.report,
        )


def _listed(who: Entrants) -> str:
    if who.by is None:
        return ", ".join(who.names)
    return f"{', '.join(who.names[1:])} against {who.baseline}"


def _without_verdict(
    folder: Path, records: Sequence[RunRecord], why: str, params: dict[str, str]
) -> Conclusion:
    note = sweep.markdown(records, f"**No verdict.** {why}")
    return Conclusion(
        kind="compare",
        said=[*sweep.tables_and_caveats(records), f"No verdict: {why}"],
        note=note,
        good=False,
        params=params,
        artifacts=[sweep.write_page(folder, "compare", note)],
    )
