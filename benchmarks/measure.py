"""What the benchmarks share: two sides of a comparison, run in turn under the same conditions.

Whole processes are measured from outside, by wall time from start to exit and by the kernel's account of
memory. Both sides get the same interpreter, engine, thread limits and compile caches. Each is run once,
unrecorded, before the first round: Python's bytecode and Theano's compiled code are warm on both sides.
"""

import argparse
import itertools
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from backendexp import cache, experiments
from backendexp.config.schema import Config
from backendexp.errors import UserError
from backendexp.reporting.tables import Table
from backendexp.runs import machine
from backendexp.runs.plan import RunSpec, plan_run, usable_cores
from backendexp.runs.workers import worker_environment
from backendexp.runtimes import build, catalogue, inventory, prepare

BARE_SCRIPT = Path(__file__).with_name("bare_tutorial.py")
_PACKAGES = ("backendexp", "keras", "tensorflow-cpu", "tensorflow", "jax", "torch", "mlflow", "hydra-core")
# Seconds between two looks at the memory of a process tree.
_SAMPLE_EVERY_S = 0.2


@dataclass(frozen=True)
class Workload:
    """What both sides train: the tutorial, or another size of it."""

    samples: int = 1000
    hidden_units: tuple[int, ...] = (64, 64)
    epochs: int = 20
    features: int = 20
    test_samples: int = 100

    @property
    def overrides(self) -> list[str]:
        """For backendexp."""
        widths = ",".join(map(str, self.hidden_units))
        return [
            f"data.samples={self.samples}",
            f"model.hidden_units=[{widths}]",
            f"training.epochs={self.epochs}",
        ]

    @property
    def options(self) -> list[str]:
        """For the bare script."""
        sizes = ["--samples", str(self.samples), "--epochs", str(self.epochs)]
        return [*sizes, "--hidden-units", *map(str, self.hidden_units)]

    @property
    def data_bytes(self) -> int:
        """Of x and y in float32, the dtype that the engine trains on."""
        return 4 * (self.samples + self.test_samples) * (self.features + 1)


TUTORIAL = Workload()


@dataclass(frozen=True)
class Engine:
    """A backend on a runtime that can run here. environment: what a worker of backendexp gets; it holds
    the thread limits.
    """

    backend: str
    runtime: str
    python: str
    threads: int
    environment: dict[str, str]

    @property
    def title(self) -> str:
        return f"{self.backend} on {self.runtime}"


@dataclass(frozen=True)
class Cost:
    """
    wall_s: seconds from the start of the process to its exit.
    process_bytes: greatest resident memory that any single process of the tree had, from wait4(2).
    tree_bytes: greatest sum of proportional set sizes (what is shared counts once) of the whole tree, or
        None when it was not sampled.
    """

    wall_s: float
    process_bytes: int
    tree_bytes: int | None = None


@dataclass(frozen=True)
class Side:
    """One side of a comparison. folder: makes or names the working directory of the next run."""

    command: list[str]
    environment: dict[str, str]
    folder: Callable[[], Path]


@dataclass(frozen=True)
class Spread:
    """Ratios of the rounds: each round compares two runs that stood next to each other."""

    values: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({min(self.values):.2f} to {max(self.values):.2f})"


@dataclass
class Laboratory:
    """A temporary place for all runs of a benchmark. Nothing of the user's stores or caches is used,
    except the built runtimes.
    """

    root: Path
    threads: int
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def engines(self, backends: Sequence[str] | None, runtimes: Sequence[str] | None) -> list[Engine]:
        """Every backend of every runtime that is asked for (None: all) and that can run here."""
        found = []
        for facts in catalogue.RUNTIMES.values():
            for backend in facts.engines:
                if (backends and backend not in backends) or (runtimes and facts.name not in runtimes):
                    continue
                spec = _plan(backend, facts.name, self.threads)
                try:
                    prepare.check_available(spec)
                    if facts.name in build.RECIPES and not build.is_built(facts.name):
                        raise UserError(f"not built yet: backendexp doctor --build {facts.name}")
                except UserError as error:
                    say(f"left out {backend} on {facts.name}: {str(error).splitlines()[0]}")
                    continue
                interpreter = prepare.prepare(spec, say)
                environment = _without_settings(worker_environment(spec, interpreter.own))
                found.append(Engine(backend, facts.name, interpreter.python, self.threads, environment))
        if not found:
            sys.exit("nothing that was asked for can run here; see backendexp doctor")
        return found

    def bare(self, engine: Engine, workload: Workload = TUTORIAL) -> Side:
        """The bare script on this engine."""
        command = [engine.python, str(BARE_SCRIPT), *workload.options]
        return Side(command, engine.environment, self.new_folder)

    def tracked(
        self,
        engine: Engine,
        workload: Workload = TUTORIAL,
        extra: Sequence[str] = (),
        project: Path | None = None,
    ) -> Side:
        """backendexp on this engine. project: where all runs of this side, and others, share a database;
        None: every run has a new project, and so makes a database.
        """
        command = [sys.executable, "-m", "backendexp", *extra, *self.overrides(engine), *workload.overrides]
        return Side(command, own_environment(), lambda: project or self.new_folder())

    @staticmethod
    def overrides(engine: Engine) -> list[str]:
        return [f"backend={engine.backend}", f"runtime={engine.runtime}", f"threads={engine.threads}"]

    def new_folder(self) -> Path:
        folder = self.root / f"project-{next(self._numbers)}"
        folder.mkdir()
        return folder


@contextmanager
def laboratory(threads: int | None) -> Iterator[Laboratory]:
    with tempfile.TemporaryDirectory(prefix="backendexp-bench-") as name:
        root = Path(name)
        built = cache.folder("runtimes")
        own_cache = root / "cache"
        own_cache.mkdir()
        if built.is_dir():
            (own_cache / "runtimes").symlink_to(built, target_is_directory=True)
        before = os.environ.get("BACKENDEXP_CACHE")
        # A cache of its own, so that what an earlier use has compiled does not count.
        os.environ["BACKENDEXP_CACHE"] = str(own_cache)
        try:
            yield Laboratory(root, threads or usable_cores())
        finally:
            del os.environ["BACKENDEXP_CACHE"]
            if before is not None:
                os.environ["BACKENDEXP_CACHE"] = before


def own_environment() -> dict[str, str]:
    return _without_settings(dict(os.environ))


def _without_settings(environment: dict[str, str]) -> dict[str, str]:
    """Without settings of this shell that would reach one side and change what is measured."""
    # Without bytecode every start would compile what it imports again, on both sides, and drown the rest.
    # The hash seed is something that backendexp sets for Theano and a newcomer does not.
    unwanted = ("PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME", "PYTHONHASHSEED")
    return {k: v for k, v in environment.items() if k not in unwanted and not k.startswith("MLFLOW_")}


def _plan(backend: str, runtime: str, threads: int) -> RunSpec:
    experiments.add_settings()
    config = Config(threads=threads)
    config.backend.name, config.runtime.name = backend, runtime
    config.data.samples, config.data.features = TUTORIAL.samples, TUTORIAL.features
    config.data.test_samples = TUTORIAL.test_samples
    return plan_run(config)


def interleave(
    sides: dict[str, Side], rounds: int, warm_up: bool = True, whole_tree: bool = False
) -> list[dict[str, Cost]]:
    """Run every side once a round, in turn, and in the opposite order in the next round, so that a drift
    of the machine meets all of them. Returns the costs of each round, by the side's name.
    """
    if warm_up:
        for name, side in sides.items():
            say(f"warm-up, not recorded: {name}")
            run(side)
    measured = []
    for number in range(1, rounds + 1):
        order = list(sides) if number % 2 else list(reversed(sides))
        costs = {}
        for name in order:
            costs[name] = run(sides[name], whole_tree)
            say(f"round {number}/{rounds}: {name}: {costs[name].wall_s:.2f} s")
        measured.append(costs)
    return measured


def run(side: Side, whole_tree: bool = False) -> Cost:
    """Run a side once and wait for its exit. Ends this program when it fails: there is no such cost."""
    folder = side.folder()
    output = folder / "output.txt"
    with output.open("wb") as sink:
        began = time.perf_counter()
        process = subprocess.Popen(
            side.command,
            cwd=folder,
            env=side.environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
        sampler = _TreeSampler(process.pid) if whole_tree else None
        # Not process.wait: wait4 also tells the peak of the process and of all that it has waited for.
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    tree_bytes = sampler.stop() if sampler else None
    if process.returncode:
        last_words = output.read_text(errors="replace")[-2000:]
        sys.exit(f"{' '.join(side.command)}\nleft with code {process.returncode}:\n{last_words}")
    # getrusage(2): kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(wall_s, usage.ru_maxrss * unit, tree_bytes)


class _TreeSampler:
    """Watches the memory of a process and its descendants from a thread."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(_SAMPLE_EVERY_S):
            try:
                tree = [self._root, *self._root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self._peak = max(self._peak, sum(map(_own_share_bytes, tree)))

    def stop(self) -> int:
        self._over.set()
        self._thread.join()
        return self._peak


def _own_share_bytes(process: psutil.Process) -> int:
    try:
        memory = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # it has just ended
        return 0
    # Only Linux knows a process's share of what is shared.
    return int(getattr(memory, "pss", memory.rss))


def ratios(
    rounds: list[dict[str, Cost]],
    above: str,
    below: str,
    value: Callable[[Cost], float] = lambda cost: cost.wall_s,
) -> Spread:
    """A side's cost divided by the other's, round by round."""
    return Spread([value(costs[above]) / value(costs[below]) for costs in rounds])


def median_of(rounds: list[dict[str, Cost]], name: str, value: Callable[[Cost], float]) -> float:
    return statistics.median(value(costs[name]) for costs in rounds)


def met(value: float, bound: float) -> str:
    """Whether a cost is at most its bound."""
    return "yes" if value <= bound else "no"


def arguments(
    description: str | None,
    rounds: int,
    backends: Sequence[str] | None,
    runtimes: Sequence[str] | None = None,
) -> argparse.ArgumentParser:
    """The options that all benchmarks have, with their own defaults; None means all that can run."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=_positive, default=rounds, help=f"default: {rounds}")
    parser.add_argument(
        "--backends",
        nargs="+",
        choices=catalogue.BACKENDS,
        default=backends,
        help=f"default: {' '.join(backends) if backends else 'all that can run here'}",
    )
    parser.add_argument(
        "--runtimes",
        nargs="+",
        choices=list(catalogue.RUNTIMES),
        default=runtimes,
        help=f"default: {' '.join(runtimes) if runtimes else 'all that can run here'}",
    )
    parser.add_argument(
        "--threads", type=_positive, help="of the engine, on both sides; default: every usable core"
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1, found {number}")
    return number


def say(text: str) -> None:
    """Progress goes to stderr; stdout is the report."""
    print(text, file=sys.stderr, flush=True)


def report(title: str, table: Table, asked: argparse.Namespace, engines: list[Engine], notes: str) -> None:
    """Print the Markdown section that README.md takes."""
    print(f"\n### {title}\n\n{table.markdown()}\n\n{notes.strip()}\n")
    print("\n".join(f"- {line}" for line in _describe(asked, engines)))


def _describe(asked: argparse.Namespace, engines: list[Engine]) -> Iterator[str]:
    """What the numbers depend on."""
    memory = psutil.virtual_memory().total / 2**30
    yield f"{machine.cpu_model()}, {usable_cores()} usable cores, {memory:.0f} GiB; {platform.platform()}"
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    yield f"{asked.rounds} rounds, {engines[0].threads} threads, load average at the end {load}"
    yield f"Python {platform.python_version()}: {', '.join(_installed())}"
    for name in sorted({engine.runtime for engine in engines} & set(build.RECIPES)):
        found = inventory.take_inventory(next(e.python for e in engines if e.runtime == name))
        versions = [
            f"{package} {found.version(package)}" for package in ("keras", "tensorflow", "theano", "numpy")
        ]
        yield f"{name}: Python {found.python}: {', '.join(versions)}"
    commit = machine.git_commit(str(Path(__file__).parent))
    yield f"commit {commit or 'unknown'}, {time.strftime('%Y-%m-%d')}, g++ {shutil.which('g++') or 'none'}"


def _installed() -> Iterator[str]:
    for name in _PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
