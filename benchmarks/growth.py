"""Measures how the cost of a sweep grows with its runs: 10, 100 and 1,000 runs of a worker that trains
nothing.

For each size, one sweep is started through the command line, in a new folder with a new store. The CPU
seconds of its own process are counted, because the wall time depends on what else the machine does. They are
divided into the start (up to the first run), the runs (in each half of the sweep), and the end (the tables,
the conclusion and the summary run). The resident memory is read after every run. Then the commands that read
a whole sweep are measured: conclude, compare, and sync, which finds nothing to upload.

The cost of one run must not depend on how many there are: a column shows the ratio of the CPU seconds of a
run in the second half of the sweep to those in the first half. Memory must be flat: another column shows how
many KiB the process grew with each run of the second half.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from backendexp.reporting.tables import Table

_KIB, _MIB = 2**10, 2**20


@dataclass(frozen=True)
class Used:
    """What one process and those that it waited for have used.

    wall_s, cpu_s: seconds. peak_bytes: the largest resident memory of one process.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, nargs="+", default=[10, 100, 1000], help="default: 10 100 1000")
    parser.add_argument("--server", help="the address of an MLflow server, instead of a new SQLite file")
    parser.add_argument("--inside", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    asked, words = parser.parse_known_args()
    if asked.inside:
        sys.argv[1:] = words
        sys.exit(_run_inside(asked.inside))
    sweeps, readers = [], []
    for count in asked.runs:
        with tempfile.TemporaryDirectory(prefix="backendexp-growth-") as folder:
            print(f"{count} runs", file=sys.stderr, flush=True)
            sweeps.append(_sweep(count, Path(folder), asked.server))
            readers.append(_readers(count, Path(folder), asked.server))
    titles = ["runs", "start, CPU s", "a run, CPU s", "second half / first half", "a run, wall s"]
    titles += ["memory after the first run, MiB", "at the end of the runs, MiB", "growth a run, KiB"]
    titles += ["end, CPU s", "folder, KiB a run", "store, KiB a run"]
    print(f"\n### The parent of a sweep\n\n{Table(titles, sweeps).markdown()}")
    titles = ["runs", *(f"{name}, {unit}" for name in READERS for unit in ("CPU s", "MiB"))]
    print(f"\n### The commands that read a sweep\n\n{Table(titles, readers).markdown()}\n")
    import measure  # here, because it would be in the memory of the process that is measured

    print(
        f"- {measure.this_machine()}; {measure.load()}\n"
        f"- {time.strftime('%Y-%m-%d')}; store: {'a server' if asked.server else 'SQLite'}"
    )


def _sweep(count: int, folder: Path, server: str | None) -> list[str]:
    samples = folder / "samples.json"
    # `compare` needs two backends.
    words = ["-m", f"seed=range({count // 2})", "backend=theano,tensorflow", "threads=1", "training.epochs=3"]
    words += ["hydra.sweep.dir=multirun/day/one", f"tracking.uri={_store(folder, server)}"]
    command = [sys.executable, __file__, "--inside", str(samples), *words, *_experiment(server, count)]
    with (folder / "output.txt").open("wb") as output:
        code = subprocess.run(command, cwd=folder, stdout=output, stderr=output).returncode
    if code != 0:
        sys.exit((folder / "output.txt").read_text(encoding="utf-8")[-4000:])
    found: dict[str, Any] = json.loads(samples.read_text(encoding="utf-8"))
    runs = found["runs"]
    assert len(runs) == count
    half = count // 2
    first, second = _cpu_a_run(runs[:half]), _cpu_a_run(runs[half:])
    wall = statistics.median(run["ended"] - run["began"] for run in runs)
    growth = (runs[-1]["rss"] - runs[half]["rss"]) / max(1, count - half - 1) / _KIB
    size = sum(path.stat().st_size for path in folder.rglob("multirun/**/*") if path.is_file())
    stored = (folder / "mlflow.db").stat().st_size / _KIB / count if server is None else float("nan")
    return [
        f"{count:,}",
        f"{runs[0]['cpu_began']:.1f}",
        f"{_cpu_a_run(runs):.3f}",
        f"{second / first:.2f}",
        f"{wall:.2f}",
        f"{runs[0]['rss'] / _MIB:.0f}",
        f"{runs[-1]['rss'] / _MIB:.0f}",
        f"{growth:.0f}",
        f"{found['ended_cpu'] - runs[-1]['cpu_ended']:.1f}",
        f"{size / _KIB / count:.1f}",
        f"{stored:.1f}",
    ]


def _cpu_a_run(runs: list[dict[str, float]]) -> float:
    """The CPU seconds from the end of one run to the end of the next, which include Hydra's job."""
    return (runs[-1]["cpu_ended"] - runs[0]["cpu_ended"]) / max(1, len(runs) - 1)


READERS = {
    "conclude": ["conclude", "multirun/day/one"],
    "compare": ["compare", "--output", "comparison.md"],
    "sync": ["sync", "multirun"],
}


def _readers(count: int, folder: Path, server: str | None) -> list[str]:
    row = [f"{count:,}"]
    for name, words in READERS.items():
        if name == "compare":
            words = [*words, f"tracking.uri={_store(folder, server)}", *_experiment(server, count)]
        with (folder / "output.txt").open("wb") as output:
            used = _measured([sys.executable, "-m", "backendexp", *words], folder, output)
        row += [f"{used.cpu_s:.1f}", f"{used.peak_bytes / _MIB:.0f}"]
    return row


def _measured(command: list[str], folder: Path, output: Any) -> Used:
    began = time.perf_counter()
    started = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
    _, status, usage = os.wait4(started.pid, 0)
    started.returncode = os.waitstatus_to_exitcode(status)
    if started.returncode not in (0, 1):
        sys.exit(f"{' '.join(command)} failed: {Path(output.name).read_text(encoding='utf-8')[-4000:]}")
    unit = 1 if sys.platform == "darwin" else _KIB
    return Used(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)


def _store(folder: Path, server: str | None) -> str:
    return server or f"sqlite:///{folder}/mlflow.db"


def _experiment(server: str | None, count: int) -> list[str]:
    """On a server, every size gets an experiment of its own."""
    return [f"tracking.experiment=growth-{count}"] if server else []


def _run_inside(samples: Path) -> int:
    """Run a command line of backendexp in this process, and note what it has used after each run."""
    import with_stub

    from backendexp.cli import main
    from backendexp.runs.session import Session

    with_stub.use_stub()
    process = psutil.Process()
    runs: list[dict[str, float]] = []
    of_session = Session.run

    def noted(self: Session, *arguments: Any, **settings: Any) -> Any:
        before = {"began": time.time(), "cpu_began": time.process_time()}
        done = of_session(self, *arguments, **settings)
        after = {"ended": time.time(), "cpu_ended": time.process_time(), "rss": process.memory_info().rss}
        runs.append({**before, **after})
        return done

    Session.run = noted  # type: ignore[method-assign]
    code = main.main()
    found = {"runs": runs, "ended_cpu": time.process_time()}
    samples.write_text(json.dumps(found), encoding="utf-8")
    return code


if __name__ == "__main__":
    main()
