"""Runs sweeps under random faults, and checks that no run is lost and that none is there twice.

The runs train nothing (see `stub_worker.py`), but everything around them is real: the command line in a
process of its own, the worker's main loop with a forked process for each run, an MLflow server or a SQLite
file. A random source with a seed chooses a fault again and again: it kills the worker, the process of a run
or backendexp itself, interrupts backendexp, takes the store away, or fills the disk. Whatever happens, the
user's own remedy follows: the same command if nothing has begun, `backendexp resume FOLDER`, or `backendexp
sync FOLDER` if backendexp asks for it. These are under faults too, until the faults of a sweep are used up.

Then the folder and the store are read, the store with SQL and not through MLflow. Exactly one finished run
counts for every plan, on disk as in the store. No run is open. No record is in the store twice. The status,
the metrics and the events of every run are the same in both places. There is one exception: if the disk was
full when a run ended, the store may have all of the run, and the directory only its beginning. The summary
run is complete, and no process is left. The exit code is 1 if anything of this is not so.

The disk is a small file system in memory, if this process may mount one. Otherwise the size that backendexp
may give to files is set to nothing, which also makes every write fail. The report says which of the two it
was.

The seed decides which faults come, and after how many runs. The moments depend on the machine as well.
"""

import argparse
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fault_kinds
import psutil
from fault_lab import Gate, Lab, Server, laboratory
from measure import say
from stored_runs import Stored, StoredRun

from backendexp.reporting.tables import Table
from backendexp.runs import record, starts, summary_run, sweep_ids
from backendexp.runs.record import RunRecord

_WITH_STUB = Path(__file__).with_name("with_stub.py")
# How long a store is away, a disk is full, and an answer is late, in seconds.
_SHORTEST_S, _LONGEST_S = 0.2, 3.0
_MOST_COMMANDS = 60


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000, help="planned runs in all; default: 1000")
    parser.add_argument("--sweep", type=int, default=100, help="planned runs of a sweep; default: 100")
    parser.add_argument("--faults", type=int, default=30, help="faults in each sweep; default: 30")
    parser.add_argument("--seed", type=int, default=0, help="of the random source; default: 0")
    parser.add_argument("--stores", nargs="+", choices=("server", "sqlite"), default=["server", "sqlite"])
    parser.add_argument("--kinds", nargs="+", choices=sorted(fault_kinds.KINDS), help="default: all")
    parser.add_argument("--keep", action="store_true", help="keep the folder, to look at what went wrong")
    asked = parser.parse_args()
    began = time.time()
    totals = Figures()
    with laboratory(asked.keep) as lab:
        draw = random.Random(asked.seed)
        for number in range(-(-asked.runs // asked.sweep)):
            store = asked.stores[number % len(asked.stores)]
            planned = min(asked.sweep, asked.runs - number * asked.sweep)
            sweep = Sweep(
                lab, store, number, planned, asked.faults, draw, asked.kinds or sorted(fault_kinds.KINDS)
            )
            with sweep.equipped():
                sweep.complete()
                found = sweep.figures()
            say(f"sweep {number}, {store}: {found.line()}")
            for problem in found.problems:
                say(f"  {problem}")
            totals.add(found)
        if asked.faults and not totals.faults:
            totals.problems.append("no fault came, so that nothing is shown")
        how = "a file system in memory" if lab.mounted else "a limit on the size of files"
    print(f"\n### Runs under random faults\n\n{totals.table().markdown()}\n")
    print(Table(["fault", "times"], [[k, str(n)] for k, n in sorted(totals.faults.items())]).markdown())
    print(
        f"\n- {asked.sweep} runs a sweep, {asked.faults} faults a sweep, seed {asked.seed}; stores: "
        f"{', '.join(asked.stores)}; the disk was {how}\n"
        f"- {(time.time() - began) / 60:.0f} minutes, {time.strftime('%Y-%m-%d')}"
    )
    for problem in totals.problems:
        print(f"- {problem}")
    sys.exit(1 if totals.problems else 0)


@dataclass
class Figures:
    """What was done, and what was found.

    commands: how often each command was started. codes: how each exit code came about.
    problems: a sentence for everything that is lost, twice or open.
    """

    planned: int = 0
    made: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    in_store: int = 0
    discarded: int = 0
    cut_short: int = 0
    unfinished: int = 0
    summaries: int = 0
    lost: int = 0
    twice: int = 0
    commands: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        for name, value in vars(other).items():
            held = getattr(self, name)
            if isinstance(value, int):
                setattr(self, name, held + value)
            elif isinstance(value, list):
                held.extend(value)
            else:
                held.update(value)

    def line(self) -> str:
        return (
            f"{self.planned} planned, {self.made} made, {dict(self.statuses)}, {self.faults.total()} faults, "
            f"{dict(self.commands)}, lost {self.lost}, twice {self.twice}"
        )

    def table(self) -> Table:
        rows = [
            ["planned runs", str(self.planned)],
            ["runs made", str(self.made)],
            *([f"of these {status}", str(count)] for status, count in sorted(self.statuses.items())),
            ["runs in the stores", str(self.in_store)],
            ["repeats that were deleted from the stores", str(self.discarded)],
            ["runs whose end a full disk did not take, but the store did", str(self.cut_short)],
            ["summary runs", str(self.summaries)],
            ["unfinished files that a kill has left", str(self.unfinished)],
            *([f"starts of `{command}`", str(count)] for command, count in sorted(self.commands.items())),
            *([f"that ended with {code}", str(count)] for code, count in sorted(self.codes.items())),
            ["faults", str(self.faults.total())],
            ["**lost**", str(self.lost)],
            ["**twice**", str(self.twice)],
            ["**other problems**", str(len(self.problems) - self.lost - self.twice)],
        ]
        return Table(["", "count"], rows)


class Sweep:
    """One sweep in a folder of its own, with the commands that complete it.

    planned: the number of its runs. faults: how many come. kinds: their names.
    """

    def __init__(
        self,
        lab: Lab,
        store: str,
        number: int,
        planned: int,
        faults: int,
        draw: random.Random,
        kinds: list[str],
    ) -> None:
        self.lab, self.draw = lab, draw
        self.server = Server(lab, number) if store == "server" else None
        self.gate: Gate | None = None
        self.command: subprocess.Popen[bytes] | None = None
        self.project = lab.disk / f"project-{number}"
        self.project.mkdir()
        self.folder = self.project / "multirun" / "day" / "one"
        self.database = self.server.file if self.server else self.project / "mlflow.db"
        self._seeds = range(number * 1000, number * 1000 + planned)
        self._left = faults
        # The most runs from one fault to the next, so that the faults are spread over the sweep.
        self._rarest = max(1, planned * 2 // max(1, faults))
        unfit = fault_kinds.OF_FILES if self.server else fault_kinds.OF_SERVERS
        self._kinds = [kind for kind in kinds if kind not in unfit]
        self._log = lab.folder / f"output-{number}.txt"
        self._found = Figures(planned=planned)

    @contextmanager
    def equipped(self) -> Iterator[None]:
        if self.server is not None:
            self.server.start()
            self.gate = Gate(self.server.port)
        try:
            yield
        finally:
            if self.gate is not None:
                self.gate.close()
            if self.server is not None:
                self.server.stop()
            shutil.rmtree(self.project / "mlruns", ignore_errors=True)

    @property
    def _address(self) -> str:
        return f"http://127.0.0.1:{self.gate.port}" if self.gate else f"sqlite:///{self.database}"

    def worker(self) -> psutil.Process | None:
        assert self.command is not None
        with suppress(psutil.Error):
            for child in psutil.Process(self.command.pid).children():
                if any("stub_worker" in word for word in child.cmdline()):
                    return child
        return None

    def pause(self) -> None:
        """Wait while a fault lasts, or until the command has ended."""
        until = time.monotonic() + self.draw.uniform(_SHORTEST_S, _LONGEST_S)
        while time.monotonic() < until and self.command is not None and self.command.poll() is None:
            time.sleep(0.02)

    def complete(self) -> None:
        """Start the sweep, and apply the user's remedies until one of them succeeds."""
        words = ["-m", f"seed=range({self._seeds.start},{self._seeds.stop})", "backend=theano", "threads=1"]
        words += ["training.epochs=3", f"tracking.uri={self._address}", f"hydra.sweep.dir={self.folder}"]
        command = words
        for _ in range(_MOST_COMMANDS):
            code = self._run(command)
            if code == 0:
                break
            if code == 3 or command[0] == "sync":
                command = ["sync", str(self.folder)]
            elif (self.folder / starts.FILE).exists():
                command = ["resume", str(self.folder)]
            else:
                command = words
        else:
            self._problem(f"{_MOST_COMMANDS} commands did not complete the sweep")
        # Runs that do not count, because later ones have replaced them, may still have to be uploaded.
        self._left = 0
        self._expect_tracked()
        for _ in range(2):
            if self._run(["sync", str(self.folder)]) != 0:
                self._problem("`backendexp sync` failed although there was no fault")

    def _run(self, words: list[str]) -> int:
        name = words[0] if words[0] in ("resume", "sync") else "-m"
        with self._log.open("ab") as output:
            output.write(f"\n$ {' '.join(words)}\n".encode())
            output.flush()
            self.command = subprocess.Popen(
                [sys.executable, str(_WITH_STUB), *words],
                cwd=self.project,
                env=self.lab.environment,
                stdout=output,
                stderr=output,
            )
            while self._wait_for_next_moment():
                self._inject()
            code = self.command.wait()
            output.write(f"\nended with {code}\n".encode())
        self._found.commands[name] += 1
        self._found.codes["a signal" if code < 0 else f"exit code {code}"] += 1
        return code

    def _wait_for_next_moment(self) -> bool:
        """Wait until the next fault shall come. Returns False if the command has ended before."""
        assert self.command is not None
        if self._left == 0:
            self.command.wait()
            return False
        kind = self.draw.random()
        begun = self._count()
        by_runs = 1 + self.draw.randrange(self._rarest) if kind < 0.8 else 10**9
        # Some faults come at any time, for example before the first run or during the conclusion. A command
        # needs about three seconds to start, and a tenth of one for a run without faults.
        lasts = 3 + 0.1 * len(self._seeds)
        deadline = time.monotonic() + (60 if kind < 0.8 else self.draw.uniform(0, lasts))
        while self.command.poll() is None and time.monotonic() < deadline:
            if self._count() >= begun + by_runs:
                break
            time.sleep(0.02)
        until = time.monotonic() + self.draw.uniform(0, 0.4)
        while self.command.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        return self.command.poll() is None

    def _count(self) -> int:
        return sum(1 for _ in self.folder.glob("*/*/context.json"))

    def _inject(self) -> None:
        kind = self.draw.choice(self._kinds)
        with self._log.open("ab") as output:
            output.write(f"[{time.strftime('%H:%M:%S')} {kind}]\n".encode())
        if fault_kinds.KINDS[kind](self):
            self._found.faults[kind] += 1
            self._left -= 1

    # -- what is there in the end ---------------------------------------------------------------------------

    def _problem(self, text: str) -> None:
        self._found.problems.append(f"{self.project.name}: {text}")

    def _lost(self, text: str) -> None:
        self._found.lost += 1
        self._problem(f"lost: {text}")

    def _twice(self, text: str) -> None:
        self._found.twice += 1
        self._problem(f"twice: {text}")

    def _records(self) -> list[RunRecord]:
        return [record.load(directory) for directory in record.find([self.folder])]

    def _expect_tracked(self) -> None:
        """Exit code 0 promises that the store has everything that counts."""
        for run in starts.counted_records(self._records()):
            if run.tracked_run_id is None:
                self._lost(f"{run.directory.name} counts, but the store does not have it")

    def figures(self) -> Figures:
        """Compare the folder and the store with what was planned."""
        records = self._records()
        stored = Stored(self.database)
        identity = sweep_ids.id_in(self.folder)
        self._found.made = len(records)
        self._found.statuses.update(run.result.status if run.result else "open" for run in records)
        self._found.in_store = len(stored.runs)
        self._found.discarded = stored.deleted
        self._check_plans("on disk", starts.counted_records(records), lambda run: str(run.spec.seed))
        self._check_plans("in the store", stored.counted(identity), lambda run: run.params["seed"])
        for run in records:
            if run.context.tags.get(sweep_ids.TAG) != identity:
                self._problem(f"{run.directory.name} belongs to another sweep of the folder")
            self._check_run(run, stored)
        for run_id, status in stored.statuses.items():
            if status == "RUNNING":
                self._problem(f"run {run_id} of the store is RUNNING")
        self._check_summaries(records, stored)
        self._found.unfinished = sum(1 for _ in self.project.rglob("*.part"))
        servers = self.server.processes() if self.server else []
        for process in self.lab.processes():
            with suppress(psutil.Error):
                if process not in servers:
                    self._problem(f"a process is left: {' '.join(process.cmdline())}")
        return self._found

    def _check_plans(self, where: str, runs: list[Any], seed_of: Callable[[Any], str]) -> None:
        finished = Counter(seed_of(run) for run in runs if _status(run) == "FINISHED")
        others = Counter(seed_of(run) for run in runs if _status(run) != "FINISHED")
        for seed in map(str, self._seeds):
            if finished[seed] == 0:
                self._lost(f"seed {seed} has no finished run {where}")
            if finished[seed] > 1 or others[seed]:
                self._twice(f"seed {seed} has {finished[seed] + others[seed]} runs that count {where}")
        for seed in {*finished, *others} - set(map(str, self._seeds)):
            self._problem(f"seed {seed} was not planned, and is {where}")

    def _check_run(self, run: RunRecord, stored: Stored) -> None:
        name = run.directory.name
        if run.result is None:
            self._problem(f"{name} is open on disk")
            return
        found = stored.runs.get(run.context.id, [])
        if not found:
            self._lost(f"{name} ({run.result.status}) is not in the store")
        if len(found) > 1:
            self._twice(f"{name} is in the store {len(found)} times")
        for one in found:
            if self._cut_short(run, one):
                self._found.cut_short += 1
                continue
            if one.status != run.result.status:
                self._problem(f"{name} is {run.result.status} on disk and {one.status} in the store")
            wanted = Counter((m.key, m.value, m.timestamp_ms, m.step) for m in record.report(run).metrics)
            if wanted != one.metrics:
                more, fewer = one.metrics - wanted, wanted - one.metrics
                self._problem(
                    f"{name} ({run.result.status}, {run.result.reason}) has {more.total()} metrics only in "
                    f"the store and {fewer.total()} only on disk, such as {[*more, *fewer][:2]}"
                )
            events = one.artifacts / record.EVENTS
            ours = (run.directory / record.EVENTS).read_bytes()
            if not events.exists() or events.read_bytes() != ours:
                self._problem(
                    f"the events of {name} ({run.result.status}) in the store are not those on disk"
                )
            if run.tracked_run_id != one.run_id:
                self._problem(f"{name} names {run.tracked_run_id} as its run, and {one.run_id} is its run")

    def _cut_short(self, run: RunRecord, one: StoredRun) -> bool:
        """Whether a full disk has kept the end of a run from its directory, and the store has all of it.

        On disk, such a run counts as killed, and a later start has run its plan again.
        """
        assert run.result is not None
        if not self._found.faults["disk is full"] or run.result.reason != "parent_lost":
            return False
        epochs = Counter(
            (m.key, m.value, m.timestamp_ms, m.step) for m in record.report(run).metrics if m.step
        )
        whole = one.status in ("FINISHED", "FAILED") and not epochs - one.metrics
        return whole and run.tracked_run_id == one.run_id

    def _check_summaries(self, records: list[RunRecord], stored: Stored) -> None:
        known = {run.context.id for run in records}
        summaries = [summary_run.load(file) for file in summary_run.find([self.folder])]
        self._found.summaries = len(summaries)
        for summary in summaries:
            found = stored.runs.get(summary.report.record_id, [])
            if len(found) != 1:
                many = self._twice if found else self._lost
                many(f"{summary.file.name} is in the store {len(found)} times")
            elif found[0].status != summary.report.status:
                self._problem(f"{summary.file.name} is {found[0].status} in the store")
        last = max(summaries, key=lambda one: one.report.end_ms, default=None)
        count = len(self._seeds)
        if last is None or f"{count} of {count}" not in last.report.tags["mlflow.note.content"]:
            self._problem("the last summary run does not hold all runs")
        elif last.report.status != "FINISHED":
            self._problem(f"the last summary run is {last.report.status}")
        # If the disk is full, the summary is written into the folder for temporary files.
        elsewhere = [summary_run.load(file) for file in summary_run.find([self.lab.folder / "tmp"])]
        known |= {one.report.record_id for one in [*summaries, *elsewhere]}
        for identity in set(stored.runs) - known:
            self._problem(f"the store has a run of the record {identity}, which is not in the folder")


def _status(run: Any) -> str:
    if isinstance(run, RunRecord):
        return run.result.status if run.result else "open"
    return str(run.status)


if __name__ == "__main__":
    main()
