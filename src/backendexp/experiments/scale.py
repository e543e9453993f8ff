"""experiment=scale: runs every backend with growing data and with growing layers, and finds out where one
backend overtakes another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median

from backendexp.analysis import crossings
from backendexp.analysis.findings import ScalePoint
from backendexp.config import schema
from backendexp.config.schema import Config
from backendexp.errors import ConfigError
from backendexp.experiments import blocks
from backendexp.experiments.base import Conclusion, PlannedRun
from backendexp.experiments.blocks import Entrants
from backendexp.reporting import tables
from backendexp.reporting.note import note_of
from backendexp.reporting.tables import Table
from backendexp.runs import measures, results
from backendexp.runs.measures import Kind, Measure
from backendexp.runs.plan import RunSpec
from backendexp.runs.record import RunRecord
from backendexp.worker.settings import setting

CHOOSES_BACKENDS = True


@dataclass
class Settings(blocks.Choice):
    """Sets up the experiment `scale`.

    enabled: whether to run every backend with growing data and growing layers, and to report at which sizes
        another backend becomes the faster one.
    samples: the values that data.samples takes, while all layers have the width of the first layer of
        model.hidden_units.
    hidden_units: the widths that all layers take, while data.samples stays as it is.
    repeats: how many times each size is run.
    epochs: the value that experiment=scale gives to training.epochs.
    """

    enabled: bool = False
    samples: list[int] = setting(
        [1_000, 10_000, 100_000], low=1, high=10**9, example="scale.samples=[1000,10000]"
    )
    hidden_units: list[int] = setting(
        [64, 256, 1024], low=1, high=10**6, example="scale.hidden_units=[1000,10000]"
    )
    repeats: int = setting(3, low=1, high=1_000, example="scale.repeats=3")
    epochs: int = setting(3, low=1, high=10**6, example="scale.epochs=3")

    def check(self, config: Config) -> None:
        self.check_choice("scale")
        if not self.enabled:
            return
        blocks.check_seeds(config, "scale", self.repeats)
        data, model = config.data, config.model
        if self.samples and not data.SIZED:
            raise ConfigError(
                f"scale.samples is set, but data={data.kind} has as many samples as its source. "
                "Use scale.samples=[] to vary only the width, or use data=random"
            )
        if self.hidden_units and not hasattr(model, "hidden_units"):
            raise ConfigError(
                f"scale.hidden_units is set, but model={model.kind} has no hidden_units. "
                "Use scale.hidden_units=[] to vary only the samples, or use model=mlp"
            )
        if max(len(set(self.samples)), len(set(self.hidden_units))) < 2:
            raise ConfigError(
                f"scale.samples is {self.samples} and scale.hidden_units is {self.hidden_units}: expected "
                "two or more sizes of one of them, e.g. scale.samples=[1000,10000,100000]"
            )
        keys = {}
        if self.samples and max(self.samples) > data.samples:
            keys["data_keys"] = "scale.samples, data.test_samples or data.features"
            data = replace(data, samples=max(self.samples))
        if self.hidden_units and max(self.hidden_units) > max(model.hidden_units):
            keys["width_key"] = "scale.hidden_units"
            model = replace(model, hidden_units=[max(self.hidden_units)] * len(model.hidden_units))
        schema.check_memory(data, model, **keys)


def first(spec: RunSpec, config: Config) -> RunSpec:
    return _entrants(spec, config.experiments["scale"]).specs[0]


def plan(spec: RunSpec, config: Config, say: Callable[[str], None]) -> "ScaleStudy":
    asked = config.experiments["scale"]
    return ScaleStudy(_entrants(spec, asked), asked)


def _entrants(spec: RunSpec, asked: Settings) -> Entrants:
    return blocks.entrants(spec, asked.backends, asked.baseline, "scale")


def scaled_measures() -> dict[Measure, str]:
    """The measures that the experiment looks at, each with the heading of its ratio."""
    return {m: m.scale_ratio for m in measures.compared() if m.scale_ratio is not None}


@dataclass(frozen=True)
class Axis:
    """A size that is varied while everything else stays the same.

    name: its name in metrics.
    counts: what the size counts, such as "samples".
    plans: the baseline's plan at each size, from the smallest size to the largest.
    """

    name: str
    counts: str
    plans: dict[int, RunSpec]


@dataclass(frozen=True)
class ScaleStudy:
    who: Entrants
    asked: Settings

    @cached_property
    def axes(self) -> list[Axis]:
        """The axes that have two sizes or more. A plan may be on both axes."""
        spec = self.who.specs[0]
        layers = len(spec.model.hidden_units)
        samples = {n: replace(spec, data=replace(spec.data, samples=n)) for n in sorted(self.asked.samples)}
        widths = {
            n: replace(spec, model=replace(spec.model, hidden_units=[n] * layers))
            for n in sorted(self.asked.hidden_units)
        }
        found = [Axis("samples", "samples", samples), Axis("width", "units a layer", widths)]
        return [axis for axis in found if len(axis.plans) > 1]

    @cached_property
    def plans(self) -> list[RunSpec]:
        """The baseline's plan at every size, each plan once."""
        return list(dict.fromkeys(plan for axis in self.axes for plan in axis.plans.values()))

    @cached_property
    def runs(self) -> list[PlannedRun]:
        """First a warm-up of every size, because each may need different compiled code; then the repeats. A
        repeat runs the sizes in a random order, and a block is one size in one repeat.
        """
        draw = blocks.generator(self.who.specs[0].seed)
        found = blocks.warm_ups([spec for plan in self.plans for spec in self._on_all(plan)])
        number = 0
        for repeat in range(1, self.asked.repeats + 1):
            for at in draw.permutation(len(self.plans)):
                number += 1
                place = f"repeat {repeat}/{self.asked.repeats}, {_size_of(self.plans[at])}"
                found += blocks.shuffled_block(self._on_all(self.plans[at]), draw, number, repeat, place)
        return found

    def _on_all(self, plan: RunSpec) -> list[RunSpec]:
        return [replace(plan, backend=backend) for backend in self.who.names]

    @property
    def opening(self) -> list[str]:
        warm_up = sum(run.warm_up for run in self.runs)
        sizes = " and ".join(
            f"{', '.join(f'{size:,}' for size in axis.plans)} {axis.counts}" for axis in self.axes
        )
        return [
            f"{', '.join(self.who.names)} on {self.who.specs[0].runtime} with {sizes}, "
            f"{len(self.runs)} runs: {warm_up} to warm up, {len(self.runs) - warm_up} that are timed, "
            f"{self.asked.repeats} of each.",
            *(f"Not here: {why}" for why in self.who.missing),
        ]

    def conclude(self, sweep_id: str, folder: Path, records: Sequence[RunRecord]) -> Conclusion:
        from backendexp.reporting import scale_page  # here, because it imports Matplotlib

        found = scale_page.ScaleFindings(
            title=f"{', '.join(self.who.names)} on {self.who.specs[0].runtime}, {sweep_id}",
            said=self._sentences(records),
            growths=[
                scale_page.Growth(
                    axis.counts,
                    self._table(axis, records),
                    [(m, points) for m in scaled_measures() if (points := self.points(axis, m, records))],
                )
                for axis in self.axes
            ],
            notes=self._notes(records),
        )
        tables = [growth.table for growth in found.growths]
        written = scale_page.write(found, folder / "scale")
        page = scale_page.PAGE if written.report else "figures"
        return Conclusion(
            kind="scale",
            said=[*tables, *found.said, *(f"Note: {note}" for note in found.notes), *written.defects],
            note=note_of(
                [*written.defects, *found.said, *tables, *found.notes],
                f"The curves are among the artifacts: {page}.",
            ),
            good=not written.defects,
            params={
                "scale.baseline": self.who.baseline,
                "scale.backends": ", ".join(self.who.names),
                "scale.samples": str(self.asked.samples),
                "scale.hidden_units": str(self.asked.hidden_units),
                "scale.repeats": str(self.asked.repeats),
            },
            by_size=self._metrics(records),
            artifacts=[written.folder],
            report=written.report,
        )

    def points(self, axis: Axis, measure: Measure, records: Sequence[RunRecord]) -> list[ScalePoint]:
        """The values of the finished runs of each backend at each size. If no run of a backend finished at a
        size, there is no point.
        """
        found = []
        for backend in self.who.names:
            for size, plan in axis.plans.items():
                values = [
                    value
                    for record in _at(plan, backend, records)
                    if record.result is not None
                    and record.result.status == results.FINISHED
                    and (value := record.result.value(measure)) is not None
                ]
                if values:
                    found.append(ScalePoint(backend, size, median(values), min(values), max(values)))
        return found

    def _table(self, axis: Axis, records: Sequence[RunRecord]) -> Table:
        """A row for each size and backend: medians, and the ratios of the medians to the baseline's."""
        from backendexp.analysis.numbers import MISSING, of, significant

        at = {
            (measure, point.backend, point.size): point.median
            for measure in scaled_measures()
            for point in self.points(axis, measure, records)
        }
        rows = []
        for size, plan in axis.plans.items():
            for backend in self.who.names:
                runs = _at(plan, backend, records)
                finished = [r for r in runs if r.result is not None and r.result.status == results.FINISHED]
                row = [f"{size:,}", backend, f"{len(finished)} of {len(runs)}"]
                for measure in scaled_measures():
                    value = at.get((measure, backend, size))
                    reference = at.get((measure, self.who.baseline, size))
                    row.append(of(measure, value))
                    row.append(significant(value / reference) if value and reference else MISSING)
                rows.append(row)
        titles = [axis.counts, "backend", "finished"]
        for measure, ratio in scaled_measures().items():
            titles += [measure.heading, ratio]
        return Table(titles, rows)

    def _sentences(self, records: Sequence[RunRecord]) -> list[str]:
        return [
            f"{measure.title}: {sentence}."
            for axis in self.axes
            for measure in scaled_measures()
            if measure.kind is Kind.TIME
            for sentence in crossings.sentences(
                self.points(axis, measure, records), self.who.baseline, axis.counts
            )
        ]

    def _notes(self, records: Sequence[RunRecord]) -> list[str]:
        """What a reader must know before believing the conclusions."""
        planned = sum(not run.warm_up for run in self.runs)
        cut_short = [f"It ended after {len(records)} of {planned} runs."] if len(records) < planned else []
        return [
            *cut_short,
            f"These are medians of {self.asked.repeats} repeats, and their ratios to {self.who.baseline}'s, "
            "without a test. Whether two backends differ at one size is for experiment=compare to say.",
            "training_time_s holds the compilation, which weighs less the longer a training is; "
            "the steady epoch is without it.",
            *tables.label_caveats(records),
        ]

    def _metrics(self, records: Sequence[RunRecord]) -> dict[str, dict[int, float]]:
        """Medians by size, under names such as theano/training_time_s_by_samples. MLflow's UI draws the steps
        of a metric as an axis, so each becomes a curve over the size.
        """
        found: dict[str, dict[int, float]] = {}
        for axis in self.axes:
            for measure in scaled_measures():
                for point in self.points(axis, measure, records):
                    name = f"{point.backend}/{measure.short_key}_by_{axis.name}"
                    found.setdefault(name, {})[int(point.size)] = point.median
        return found


def _size_of(plan: RunSpec) -> str:
    return f"{plan.data.samples:,} samples, layers {'-'.join(map(str, plan.model.hidden_units))}"


def _at(plan: RunSpec, backend: str, records: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs of a backend at the size of `plan`."""
    size = (plan.data.samples, plan.model.hidden_units)
    return [
        r
        for r in records
        if r.spec.backend == backend and (r.spec.data.samples, r.spec.model.hidden_units) == size
    ]
