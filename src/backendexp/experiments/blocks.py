"""Randomised blocks: which backends take part, and in which order they run.

A block runs every backend once, one right after the other, with the same seed. A slow period of the machine
or a lucky draw of data and weights then affects all backends alike, and what one run leaves in the caches
affects the others at random. So differences within blocks are due to the backends. Fisher, The Design of
Experiments (1935), chapter 4; docs/decisions/0008-randomised-blocks.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from backendexp.analysis.sides import setting_of
from backendexp.config import checks, schema
from backendexp.config.schema import LAST_SEED, Config
from backendexp.errors import BackendUnavailable, ConfigError
from backendexp.experiments.base import PlannedRun
from backendexp.runs.plan import RunSpec, plan_run
from backendexp.runs.tags import BLOCK, POSITION, ROLE, TIMED
from backendexp.runtimes import catalogue, prepare
from backendexp.worker.settings import setting

if TYPE_CHECKING:
    import numpy


@dataclass
class Choice:
    """The settings of an experiment that choose the backends which take part.

    backends: the backends to compare. null stands for all backends that can run on the runtime.
    baseline: the backend that the others are compared with. null stands for tensorflow if it is compared, and
        for the first backend otherwise.
    """

    backends: list[str] | None = setting(
        None, choices=catalogue.BACKENDS, example="backends=[tensorflow,theano]"
    )
    baseline: str | None = None

    def check_choice(self, experiment: str) -> None:
        """Raises ConfigError: the backends are fewer than two, or the baseline is not one of them."""
        if self.backends is not None and len(set(self.backends)) < max(2, len(self.backends)):
            raise ConfigError(
                f"{experiment}.backends is [{', '.join(self.backends)}]: expected two or more different "
                f"ones, e.g. {experiment}.backends=[tensorflow,theano], or null for all that can run here"
            )
        if self.baseline is not None:
            among = self.backends or catalogue.BACKENDS
            key = f"{experiment}.baseline"
            checks.one_of(key, self.baseline, among, f"{key}={among[0]}")


def check_seeds(config: Config, experiment: str, count: int) -> None:
    """Refuse an experiment that counts up from the seed beyond the greatest seed that there is.

    count: how many times it counts up.
    Raises ConfigError: the last seed would be too great.
    """
    if config.seed + count > LAST_SEED:
        raise ConfigError(
            f"seed is {config.seed}, and experiment={experiment} counts up from it {count:,} times: "
            f"expected the last seed to be at most {LAST_SEED:,}, e.g. seed=7"
        )


@dataclass(frozen=True)
class Entrants:
    """The backends that take part, or the values of a setting on one backend.

    by: the setting, or None.
    specs: the same plan on each of them, the baseline first.
    missing: for each backend of the runtime that cannot run here, why, and how to install it.
    """

    specs: tuple[RunSpec, ...]
    missing: tuple[str, ...]
    by: str | None = None

    @property
    def baseline(self) -> str:
        return self.names[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the sides: the backends, or the setting with each of its values."""
        return tuple(self.side_of(spec) or spec.backend for spec in self.specs)

    def side_of(self, spec: RunSpec) -> str:
        """The setting with its value in the plan of a run; "" if backends are compared."""
        return setting_of(spec.params(), self.by) or ""

    @property
    def place(self) -> str:
        """Where the sides run: what all of them share."""
        first = self.specs[0]
        return first.runtime if self.by is None else f"{first.backend}, {first.runtime}"


def entrants(spec: RunSpec, names: Sequence[str] | None, baseline: str | None, experiment: str) -> Entrants:
    """The backends that take part, on the runtime of `spec`.

    names: the backends that were asked for, or None for all that can run here.
    baseline: the backend that the others are compared with; None chooses tensorflow if it takes part, and
        else the first backend.
    experiment: the name of the experiment, for error messages.
    Raises BackendUnavailable: a backend that was asked for cannot run here, or fewer than two can.
    Raises ConfigError: a backend that was asked for cannot run a model as `engine` says.
    Raises RuntimeUnavailable: the runtime cannot be built, or the named interpreter cannot be used.
    """
    for name in names or ([baseline] if baseline else []):
        candidate = replace(spec, backend=name)
        _check_offered(candidate)
        _check_able(candidate)
    able, missing = [], []
    for name in names or catalogue.RUNTIMES[spec.runtime].engines:
        candidate = replace(spec, backend=name)
        try:
            _check_able(candidate)
            able.append(candidate)
        except (BackendUnavailable, ConfigError) as error:
            missing.append(str(error))
    if len(able) < 2:
        there = f"only {able[0].backend}" if able else "none"
        raise BackendUnavailable(
            f"experiment={experiment} needs two backends or more, and of those that runtime {spec.runtime!r} "
            f"offers, this machine has {there}.\n" + "\n".join(missing)
        )
    here = [candidate.backend for candidate in able]
    chosen = baseline or ("tensorflow" if "tensorflow" in here else here[0])
    # The sort is stable, so the other backends keep their order.
    able.sort(key=lambda candidate: candidate.backend != chosen)
    return Entrants(tuple(able), tuple(missing))


def values_of(config: Config, by: str, values: Sequence[Any], baseline: str | None) -> Entrants:
    """The values of a setting that take part, on the backend and the runtime of the configuration.

    baseline: the value that the others are compared with; None chooses the first.
    Raises UserError: a value cannot be used, or the backend cannot run here.
    """
    from omegaconf import OmegaConf

    specs = []
    for value in values:
        tree = schema.tree_of(config)
        OmegaConf.update(tree, by, value)
        specs.append(plan_run(schema.parse(tree)))
    prepare.check_available(specs[0])
    found = Entrants(tuple(specs), (), by)
    if len(set(found.names)) < len(specs):
        raise ConfigError(
            f"compare.values is [{', '.join(map(str, values))}], of which two mean the same here: "
            f"{', '.join(found.names)}. Expected two or more different ones"
        )
    if baseline is not None:
        specs.sort(key=lambda spec: setting_of(spec.params(), by) not in (baseline, f"{by}={baseline}"))
    return Entrants(tuple(specs), (), by)


def _check_able(spec: RunSpec) -> None:
    """Raises ConfigError: the backend cannot run a model as `engine` says.
    Raises BackendUnavailable, RuntimeUnavailable: it cannot run here.
    """
    checks.check_execution(spec, spec.backend, catalogue.RUNTIMES[spec.runtime])
    prepare.check_available(spec)


def _check_offered(spec: RunSpec) -> None:
    facts = catalogue.RUNTIMES[spec.runtime]
    if spec.backend not in facts.engines:
        raise BackendUnavailable(
            f"backend {spec.backend!r} is not offered by runtime {spec.runtime!r}, which has "
            f"{', '.join(facts.engines)}. Leave it out; runs of two runtimes have different Keras versions, "
            "so they are not compared"
        )


def blocks(specs: Sequence[RunSpec], count: int) -> list[PlannedRun]:
    """The runs of `count` blocks.

    specs: plans that have the same seed. Block n, counted from 1, has that seed plus n.

    Equal plans are run in the same order, because NumPy's generator draws the order, starting from the seed.
    """
    draw = generator(specs[0].seed)
    return [
        run for n in range(1, count + 1) for run in shuffled_block(specs, draw, n, n, f"block {n}/{count}")
    ]


def generator(seed: int) -> "numpy.random.Generator":
    import numpy  # here, because the import takes a tenth of a second, and a single run does not need it

    return numpy.random.default_rng(seed)


def shuffled_block(
    specs: Sequence[RunSpec], draw: "numpy.random.Generator", number: int, seed: int, place: str
) -> list[PlannedRun]:
    """The runs of one block in a random order.

    draw: draws the order.
    number: of the block.
    seed: is added to the seed of the specs.
    place: see PlannedRun.
    """
    return [
        PlannedRun(
            replace(specs[at], seed=specs[at].seed + seed),
            {ROLE: TIMED, BLOCK: str(number), POSITION: str(position)},
            place,
        )
        for position, at in enumerate(draw.permutation(len(specs)), 1)
    ]


def warm_ups(specs: Sequence[RunSpec]) -> list[PlannedRun]:
    """A warm-up run of each plan, so that no timed run is the first to look for compiled code on disk."""
    return [
        PlannedRun(replace(spec, log_model=False), {}, f"warm-up {number}/{len(specs)}", warm_up=True)
        for number, spec in enumerate(specs, 1)
    ]
