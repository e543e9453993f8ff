"""The Hydra application: every job becomes a plan, every plan a tracked run, and the end says it all."""

import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backendexp import config, links, parity, preflight, session, summary, sweep
from backendexp.commands import OK, RUN_FAILED
from backendexp.config import Config
from backendexp.plan import RunSpec
from backendexp.preflight import Checked
from backendexp.record import RunRecord
from backendexp.runtime import prepare
from backendexp.session import Destination, Session
from backendexp.sweep import Sweep


def check(arguments: list[str]) -> Checked:
    """Raises UserError: before anything is started, see `preflight`. Runtimes are built here, so that no
    job of a sweep waits for one, or fails for the lack of it, half-way.
    """
    register_schema()
    checked = preflight.check(arguments, config.conf_dir())
    for spec in checked.specs:
        prepare.prepare(spec, _say)
    return checked


def register_schema() -> None:
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=Config)


def run_hydra(conf: Path, job: Callable[[Any], float]) -> None:
    """Run the command line through Hydra. What it raises is ours to tell, not Hydra's to print."""
    import hydra

    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    hydra.main(version_base="1.3", config_path=str(conf), config_name="config")(job)()


@dataclass
class Application:
    """What one process of a Hydra application does.

    planned: jobs, where they are known before. group, where: None until the first job is known.
    """

    session: Session
    planned: int = 0
    group: Sweep | None = None
    where: Destination | None = None
    parity_plan: parity.ParityPlan | None = None

    def run_job(self, tree: Any, hydra: Any) -> float:
        """Run what a job's configuration plans. Returns the test loss (for sweepers that minimise), NaN
        when the run failed.
        """
        from omegaconf import OmegaConf

        checked = config.parse(tree)
        spec = preflight.check_job(checked)
        self.where = session.destination(checked.tracking, Path.cwd())
        root = Path(hydra.runtime.output_dir)
        if hydra.mode is not None and hydra.mode.name == "MULTIRUN":
            self.group = self.group or sweep.sweep_of(hydra.sweep.dir)
        elif checked.parity.enabled:
            self.group = sweep.sweep_of(str(root))
        specs = self._plan(spec, checked)
        config_yaml = OmegaConf.to_yaml(tree, resolve=True)
        alone = self.group is None
        for planned in specs:
            record = self.session.run(
                planned,
                self.where,
                root,
                config_yaml,
                name=checked.tracking.run_name,
                tags=sweep.tags(self.group) if self.group else {},
                run_id=self.session.take_joined() if alone else None,
            )
            if not alone:
                _say_line(record)
        result = record.result
        return result.loss if result and result.loss is not None else math.nan

    def expect_sweep(self, directory: str) -> None:
        """Know the sweep before its jobs, which a launcher may run in other processes."""
        self.group = sweep.sweep_of(directory)

    def _plan(self, spec: RunSpec, checked: Config) -> list[RunSpec]:
        if not checked.parity.enabled:
            return [spec]
        self.parity_plan = parity.plan_parity(spec, checked.parity.probes, _say)
        return self.parity_plan.specs

    def conclude(self) -> int:
        """Stop the workers, say what came out and where to look. Returns the exit code."""
        self.session.close()
        if self.where is None:
            return OK
        if self.group is None:
            return self._conclude_run()
        return self._conclude_sweep(self.group, self.where)

    def _conclude_run(self) -> int:
        if not self.session.records:
            return OK
        record = self.session.records[-1]
        print("\n".join(summary.run_lines(record)))
        for line in summary.caveats([record]):
            print(f"  note  {line}")
        self._say_where([record])
        return _code([record])

    def _conclude_sweep(self, done: Sweep, where: Destination) -> int:
        records = done.records()
        if not records:
            return OK
        agree, verdict = True, ""
        metrics: dict[str, float] = {}
        if self.parity_plan is not None:
            agree, verdict, metrics = self._judge(self.parity_plan, records)
        _print_table(summary.run_table(records))
        _print_table(summary.median_table(records))
        for line in summary.caveats(records):
            print(f"Note: {line}")
        if self.parity_plan is None and len(records) < self.planned:
            print(f"Note: the sweep ended after {len(records)} of {self.planned} runs.")
        if verdict:
            print(verdict)
        kind = "parity" if self.parity_plan else "sweep"
        code = _code(records) if agree else RUN_FAILED
        sweep.track_summary(self.session, where, done, records, kind, metrics, verdict, code == OK)
        self._say_where(records)
        return code

    def _judge(self, plan: parity.ParityPlan, records: list[RunRecord]) -> tuple[bool, str, dict[str, float]]:
        """(the backends agree, the verdict, the metrics of the summary run)."""
        differences = parity.judge(records)
        greatest = [d.distance for d in differences if d.agrees is not None]
        extra = {"parity/greatest_difference": max(greatest)} if greatest else {}
        return *parity.verdict(differences, records, plan.missing), extra

    def _say_where(self, records: list[RunRecord]) -> None:
        """The store and the links; or, for what the store did not take, how it gets there."""
        assert self.where is not None
        tracker = None if self.session.untracked else self.session.tracker(self.where)
        runs = [run for record in records if (run := record.tracked_run_id)]
        if tracker is not None and runs:
            uri, experiment = tracker.uri, tracker.experiment_id
            print(f"  store  {uri}")
            if command := links.server_command(uri):
                print(f"  UI  {command}")
            if len(records) == 1:
                print(f"  run  {links.run_link(uri, experiment, runs[0])}")
            print(f"  experiment  {links.experiment_link(uri, experiment)}")
            if len(runs) > 1:
                print(f"  compare  {links.compare_link(uri, experiment, runs)}")
        lost = [record for record in records if not record.tracked_run_id]
        if lost:
            for why in self.session.untracked:
                print(f"backendexp: {why}", file=sys.stderr)
            place = self.group.directory if self.group else lost[0].directory
            print(f"  results  {place}")
            print(f"  upload them with  backendexp sync {place}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


_current: Application | None = None


def start(checked: Checked, joined: str | None) -> Application:
    """The application of this process. joined: the run that `mlflow run` has made for it."""
    global _current
    _current = Application(Session(joined=joined), planned=len(checked.specs))
    if checked.tracking is not None:
        _current.where = session.destination(checked.tracking, Path.cwd())
    if checked.alone and checked.specs:
        _current.session.start_worker(checked.specs[0])
    return _current


def current() -> Application:
    """The application of this process; a launcher's own process makes its own, and ends it at exit."""
    global _current
    if _current is None:
        import atexit

        register_schema()
        # The parent of the launcher has it, and joins it with its summary.
        os.environ.pop("MLFLOW_RUN_ID", None)
        _current = Application(Session())
        atexit.register(_current.session.close)
    return _current


def _code(records: list[RunRecord]) -> int:
    return RUN_FAILED if session.failures(records) else OK


def _say_line(record: RunRecord) -> None:
    """One line a run of a sweep, as it ends."""
    result = record.result
    assert result is not None
    numbers = "  ".join(f"{c.title} {c.show(c.value(result))}" for c in summary.COLUMNS)
    why = f" ({result.reason})" if result.reason else ""
    print(f"{record.spec.title}: {result.status}{why}  {numbers}", file=sys.stderr, flush=True)


def _print_table(table: summary.Table) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    drawn = Table(*table.titles, box=SIMPLE)
    for row in table.rows:
        drawn.add_row(*map(escape, row))
    # Piped into a file, a table is as wide as it needs to be.
    console = Console() if sys.stdout.isatty() else Console(width=240)
    console.print(drawn)
