"""experiment=compare: runs every backend in randomised blocks, and finds out which of them is faster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from backendexp.config.schema import Config
from backendexp.errors import UserError
from backendexp.experiments import blocks, sweep
from backendexp.experiments import parity as parity_check
from backendexp.experiments.base import Conclusion, PlannedRun
from backendexp.experiments.blocks import Entrants
from backendexp.reporting import tables
from backendexp.runs.plan import RunSpec
from backendexp.runs.record import RunRecord
from backendexp.runs.tags import BASELINE, PARITY, ROLE, TIMED
from backendexp.worker.settings import setting

CHOOSES_BACKENDS = True


@dataclass
class Settings(blocks.Choice):
    """Sets up the experiment `compare`.

    enabled: whether to run every backend in randomised blocks, and to report which is faster.
    blocks: how many times every backend is timed. Fewer than three are not enough for a verdict.
    margin: two times are equivalent if their ratio is between 1/(1+margin) and 1+margin.
    accuracy_margin: two accuracies are equivalent if they differ by no more than this.
    parity: whether to check first that the backends compute the same results.
    """

    enabled: bool = False
    blocks: int = setting(10, low=3, high=10_000, example="compare.blocks=10")
    margin: float = setting(0.1, low=0, high=1, above=True, example="compare.margin=0.05")
    accuracy_margin: float = setting(0.05, low=0, high=1, above=True, example="compare.accuracy_margin=0.05")
    parity: bool = True

    def check(self, config: Config) -> None:
        self.check_choice("compare")
        if self.enabled:
            blocks.check_seeds(config, "compare", self.blocks)


def first(spec: RunSpec, config: Config) -> RunSpec:
    return _entrants(spec, config.experiments["compare"]).specs[0]


def plan(spec: RunSpec, config: Config, say: Callable[[str], None]) -> "BackendComparison":
    asked = config.experiments["compare"]
    return BackendComparison(_entrants(spec, asked), asked, config.experiments["parity"].probes)


def _entrants(spec: RunSpec, asked: Settings) -> Entrants:
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
        parity = parity_check.check_of(specs, self.probes) if self.asked.parity else []
        tracked = [*parity, *blocks.blocks(specs, self.asked.blocks)]
        # The order within a block is shuffled, so the runs themselves do not show which is the baseline.
        tagged = [replace(run, tags={**run.tags, BASELINE: self.who.baseline}) for run in tracked]
        return [*blocks.warm_ups(specs), *tagged]

    @property
    def opening(self) -> list[str]:
        others = list(self.who.backends[1:])
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
            f"{named} against {self.who.baseline} on {self.who.specs[0].runtime}, {len(self.runs)} runs: "
            f"{warm_up} to warm up{agreement}, {timed} that are timed, in {self.asked.blocks} blocks.",
            *(f"Not here: {why}" for why in self.who.missing),
        ]

    def conclude(self, sweep_id: str, folder: Path, records: Sequence[RunRecord]) -> Conclusion:
        # SciPy and Matplotlib are imported here, because they are not needed until everything is measured.
        from backendexp.analysis import pipeline, tracked_runs
        from backendexp.reporting import artifacts, text

        params = {
            "compare.baseline": self.who.baseline,
            "compare.backends": ", ".join(self.who.backends),
            "compare.blocks": str(self.asked.blocks),
            "compare.margin": str(self.asked.margin),
            "compare.accuracy_margin": str(self.asked.accuracy_margin),
        }
        try:
            found = pipeline.analyse(
                tracked_runs.of_records(list(records)),
                title=f"{', '.join(self.who.backends)} on {self.who.specs[0].runtime}, {sweep_id}",
                baseline=self.who.baseline,
                margin=self.asked.margin,
                accuracy_margin=self.asked.accuracy_margin,
            )
        except UserError as error:
            return _without_verdict(folder, records, str(error), params)
        timed = sum(record.context.tags.get(ROLE) == TIMED for record in records)
        planned = sum(run.tags.get(ROLE) == TIMED for run in self.runs)
        if timed < planned:
            cut_short = f"The comparison ended after {timed} of {planned} timed runs."
            found = replace(found, notes=(cut_short, *found.notes))
        found = replace(found, notes=(*found.notes, *tables.label_caveats(records)))
        written = artifacts.write(found, folder / "comparison")
        agreed = found.parity.agree is True or not self.asked.parity
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
