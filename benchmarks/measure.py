"""Runs the sides of a comparison in turn and under the same conditions, for all benchmarks in this folder.

Whole processes are measured from outside: the wall time from start to exit, and the memory that the kernel
reports. All sides get the same interpreter, engine, thread limits and compile caches. Each side runs once
before the first round without being recorded, so that Python's bytecode and Theano's compiled code exist for
all sides.
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
from backendexp.runs.worker_pool import worker_environment
from backendexp.runtimes import build, catalogue, inventory, prepare
from backendexp.tracking import addresses

BARE_SCRIPT = Path(__file__).with_name("bare_tutorial.py")
BARE_NETWORK = Path(__file__).with_name("bare_network.py")
_PACKAGES = ("backendexp", "keras", "tensorflow-cpu", "tensorflow", "jax", "torch", "mlflow", "hydra-core")
# How many seconds pass between two samples of the memory of a process tree.
_SAMPLE_EVERY_S = 0.2


@dataclass(frozen=True)
class Workload:
    """The model and data that both sides train: those of the tutorial, or of another size."""

    samples: int = 1000
    hidden_units: tuple[int, ...] = (64, 64)
    epochs: int = 20
    features: int = 20
    test_samples: int = 100

    @property
    def overrides(self) -> list[str]:
        """The arguments that set these sizes in backendexp."""
        widths = ",".join(map(str, self.hidden_units))
        return [
            f"data.samples={self.samples}",
            f"model.hidden_units=[{widths}]",
            f"training.epochs={self.epochs}",
        ]

    @property
    def command(self) -> list[str]:
        """The bare script and the arguments that set these sizes in it."""
        sizes = ["--samples", str(self.samples), "--epochs", str(self.epochs)]
        return [str(BARE_SCRIPT), *sizes, "--hidden-units", *map(str, self.hidden_units)]

    @property
    def data_bytes(self) -> int:
        """The size of x and y in float32, the dtype that the engine trains on."""
        return 4 * (self.samples + self.test_samples) * (self.features + 1)


TUTORIAL = Workload()


@dataclass(frozen=True)
class Network:
    """A convolutional or recurrent network, and the file of arrays that both sides train it on.

    kind: cnn or lstm.
    """

    kind: str
    file: Path
    epochs: int = 5

    @property
    def overrides(self) -> list[str]:
        """The arguments that choose the network in backendexp."""
        return [
            f"model={self.kind}",
            "data=npz",
            f"data.path={self.file}",
            f"training.epochs={self.epochs}",
        ]

    @property
    def command(self) -> list[str]:
        """The bare script and its arguments."""
        return [str(BARE_NETWORK), self.kind, str(self.file), "--epochs", str(self.epochs)]


@dataclass(frozen=True)
class Engine:
    """A backend on a runtime that can run here.

    environment: the environment variables of a worker of backendexp, which contain the thread limits.
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
    """The time and the memory of one process and its descendants.

    wall_s: seconds from the start of the process to its exit.
    process_bytes: the largest resident memory of any single process of the tree, from wait4(2).
    tree_bytes: the largest sum of the proportional set sizes of all processes of the tree, in which shared
        memory counts once. It is None if it was not sampled.
    """

    wall_s: float
    process_bytes: int
    tree_bytes: int | None = None


@dataclass(frozen=True)
class Side:
    """One side of a comparison. `folder` returns the working directory of the next run, and may create it."""

    command: list[str]
    environment: dict[str, str]
    folder: Callable[[], Path]


@dataclass(frozen=True)
class Spread:
    """The ratio in each round, which compares two runs that followed each other."""

    values: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({min(self.values):.2f} to {max(self.values):.2f})"


@dataclass
class Laboratory:
    """A temporary folder for all runs of a benchmark. Of the user's stores and caches, only the built
    runtimes are used.
    """

    root: Path
    threads: int
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def engines(self, backends: Sequence[str] | None, runtimes: Sequence[str] | None) -> list[Engine]:
        """List the requested backends on the requested runtimes, as far as they can run here. None
        requests all.
        """
        found = []
        for facts in catalogue.RUNTIMES.values():
            for backend in facts.engines:
                if (backends and backend not in backends) or (runtimes and facts.name not in runtimes):
                    continue
                spec = _plan(backend, facts.name, self.threads)
                try:
                    prepare.check_available(spec)
                    if facts.name in build.RECIPES and not build.is_built(facts.name):
                        raise UserError(
                            f"it is not built yet. Build it with: backendexp doctor --build {facts.name}"
                        )
                except UserError as error:
                    say(f"left out {backend} on {facts.name}: {str(error).splitlines()[0]}")
                    continue
                interpreter = prepare.prepare(spec, say)
                environment = _without_settings(worker_environment(spec, interpreter.own))
                found.append(Engine(backend, facts.name, interpreter.python, self.threads, environment))
        if not found:
            sys.exit("none of the requested backends can run here; see backendexp doctor")
        return found

    def bare(self, engine: Engine, workload: Workload | Network = TUTORIAL) -> Side:
        """Return the side that runs the bare script on this engine."""
        command = [engine.python, *workload.command]
        return Side(command, engine.environment, self.new_folder)

    def tracked(
        self,
        engine: Engine,
        workload: Workload | Network = TUTORIAL,
        extra: Sequence[str] = (),
        project: Path | None = None,
    ) -> Side:
        """Return the side that runs backendexp on this engine.

        project: a folder in which all runs of this side, and of other sides, share a database. If it is None,
            every run gets a new folder, and so has to create a database.
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
        # Use a separate cache, so that code compiled earlier does not influence the results.
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
    """Remove the settings of this shell that would reach one side and change the result."""
    # Without bytecode, every start would compile all imported modules again on both sides, which would hide
    # any difference. The hash seed is something that backendexp sets for Theano and a newcomer does not.
    unwanted = ("PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME", "PYTHONHASHSEED")
    return {
        name: value
        for name, value in environment.items()
        if name not in unwanted and not name.startswith(addresses.MLFLOW_VARIABLES)
    }


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
    """Run every side once in each round, and reverse the order in every other round, so that a drift of the
    machine affects all sides alike. Return the costs of each round by the name of the side.
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
    """Run a side once and wait for it to exit. If it fails, end this program, because the cost of a failed
    run is meaningless.
    """
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
        # Use wait4 and not process.wait, because it also returns the peak memory of the process and of all
        # processes that it has waited for.
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    tree_bytes = sampler.stop() if sampler else None
    if process.returncode:
        last_words = output.read_text(errors="replace")[-2000:]
        sys.exit(f"{' '.join(side.command)}\nexited with code {process.returncode}:\n{last_words}")
    # getrusage(2) uses kilobytes on Linux and bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(wall_s, usage.ru_maxrss * unit, tree_bytes)


class _TreeSampler:
    """Samples the memory of a process and its descendants in a thread."""

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
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # the process has just ended
        return 0
    # Only Linux reports the share of a process in shared memory.
    return int(getattr(memory, "pss", memory.rss))


def ratios(
    rounds: list[dict[str, Cost]],
    above: str,
    below: str,
    value: Callable[[Cost], float] = lambda cost: cost.wall_s,
) -> Spread:
    """Divide the cost of the side `above` by that of the side `below` in each round."""
    return Spread([value(costs[above]) / value(costs[below]) for costs in rounds])


def median_of(rounds: list[dict[str, Cost]], name: str, value: Callable[[Cost], float]) -> float:
    return statistics.median(value(costs[name]) for costs in rounds)


def met(value: float, bound: float) -> str:
    """Return "yes" if a cost is at most its bound, or else "no"."""
    return "yes" if value <= bound else "no"


def arguments(
    description: str | None,
    rounds: int,
    backends: Sequence[str] | None,
    runtimes: Sequence[str] | None = None,
) -> argparse.ArgumentParser:
    """Return a parser for the options that all benchmarks have, with the defaults of one of them. None stands
    for all backends or runtimes that can run.
    """
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
        "--threads",
        type=_positive,
        help="threads of the engine, on both sides; default: one for each usable core",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, found {number}")
    return number


def say(text: str) -> None:
    """Print progress to stderr, because stdout is for the report."""
    print(text, file=sys.stderr, flush=True)


def this_machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return f"{machine.cpu_model()}, {usable_cores()} usable cores, {memory:.0f} GiB"


def load() -> str:
    """How busy the machine is, in the words of the reports, which are made at the end."""
    return "load average at the end " + ", ".join(f"{value:.1f}" for value in os.getloadavg())


def report(title: str, table: Table, asked: argparse.Namespace, engines: list[Engine], notes: str) -> None:
    """Print the Markdown section for README.md."""
    print(f"\n### {title}\n\n{table.markdown()}\n\n{notes.strip()}\n")
    print("\n".join(f"- {line}" for line in _describe(asked, engines)))


def _describe(asked: argparse.Namespace, engines: list[Engine]) -> Iterator[str]:
    """Yield sentences on the machine, the versions and the settings that the numbers depend on."""
    yield f"{this_machine()}; {platform.platform()}"
    yield f"{asked.rounds} rounds, {engines[0].threads} threads, {load()}"
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
