"""Runs the Hydra application, which turns every job into a plan and every plan into a tracked run."""

import copy
import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from backendexp import cache, experiments, places
from backendexp.cli import block_jobs, launching, output, preflight
from backendexp.cli.block_jobs import Block
from backendexp.cli.exit_codes import BAD_INPUT, NOT_TRACKED, OK, RUN_FAILED
from backendexp.cli.overrides import for_shell
from backendexp.cli.preflight import Checked, Job
from backendexp.config import composition, schema
from backendexp.config.schema import SKIP
from backendexp.experiments import sweep
from backendexp.experiments.base import Conclusion, Experiment, PlannedRun
from backendexp.experiments.sweep import Sweep
from backendexp.launchers.tasks import JOBS, Outcome, Task
from backendexp.reporting import tables
from backendexp.reporting.terminal import print_table
from backendexp.runs import machine, session, starts
from backendexp.runs.record import WARM_UP, RunRecord
from backendexp.runs.session import Destination, Session
from backendexp.runs.starts import Earlier, Start
from backendexp.runs.tags import PARALLEL
from backendexp.runtimes import prepare
from backendexp.tracking import addresses, links


def run(arguments: list[str], continues: bool = False, concludes: Path | None = None) -> int:
    """Check everything that the command line asks for, let Hydra run it, and report the results.

    arguments: those of sys.argv, which Hydra reads itself.
    continues: whether a sweep that cannot be continued is an error.
    concludes: the folder of a sweep of which nothing is run, and the conclusion is drawn from the runs that
        exist. None if this is no such case.
    Returns the exit code.
    """
    checked = check(arguments)
    app = start(checked, os.environ.pop("MLFLOW_RUN_ID", None), arguments, continues)
    app.only_concludes = concludes is not None
    try:
        if concludes is not None and checked.jobs and not checked.is_experiment:
            app.expect_sweep(str(concludes))  # Hydra would prepare every job again
        else:
            run_hydra(schema.conf_dir(), _job)
        app.launched = True
    finally:
        code = app.finish()
    return code


def _job(tree: Any) -> float:
    """Run one Hydra job, in this process or, if another launcher is used, in a process of its own."""
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    if hydra.job.chdir:
        # Relative paths must mean what they meant when they were checked. The files of a run are written to
        # its directory regardless.
        os.chdir(hydra.runtime.cwd)
    return current().run_job(tree, hydra)


def check(arguments: list[str]) -> Checked:
    """Check the command line before anything is started, and build the runtimes that it needs.

    Runtimes are built here so that no job of a sweep waits for one, or fails half-way because one is missing.
    Raises UserError: something cannot be run, see `preflight`.
    """
    register_schema()
    cache.check_temporary()
    checked = preflight.check(arguments, schema.conf_dir())
    for spec in checked.specs:
        prepare.prepare(spec, _say)
    return checked


def register_schema() -> None:
    from hydra.core.config_store import ConfigStore

    experiments.add_settings()
    # Hydra 1.4 warns if a name is stored twice.
    ConfigStore.instance().repo.pop("schema.yaml", None)
    ConfigStore.instance().store(name="schema", node=schema.schema_node())
    composition.prefer_own_launchers(schema.conf_dir())


def run_hydra(conf: Path, job: Callable[[Any], float]) -> None:
    """Run the command line through Hydra. Errors are reported by us, not printed by Hydra.

    Raises ConfigError: Hydra refuses something that only its launchers, sweepers and other plugins can know.
    """
    import hydra

    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    # Hydra creates the folders of the runs.
    with composition.own_refusals(), places.writing("The folder of the run", places.RUNS):
        base = composition.version_base()
        hydra.main(version_base=base, config_path=str(conf), config_name="config")(job)()


@dataclass
class Application:
    """Runs the jobs of one process of a Hydra application.

    planned: the number of jobs, or 0 if it is not known in advance.
    jobs: the jobs that were checked before anything started, see `preflight.Checked`.
    parallel: whether this is one of several processes that a launcher has started.
    group: the sweep that the runs belong to. It is None until the first job is known, and stays None for a
        single run.
    where: the store that the runs are tracked in. It is None until the first job is known.
    experiment: the experiment that the job asks for. It is None until the first job is known, and stays None
        for a single run.
    arguments: the command line.
    continues: whether a sweep that cannot be continued is an error.
    earlier: what earlier starts of the sweep have done.
    launched: whether Hydra has run all jobs without an error.
    has_machine: in a launcher's process, whether no other run uses the machine meanwhile.
    is_detached: whether the jobs were only submitted.
    only_concludes: whether nothing is run, and the conclusion is drawn from the runs that exist.
    _is_launched: whether a launcher runs the blocks of the experiment.
    _reported: the folders of the runs of other processes of which a line was printed.
    """

    session: Session
    planned: int = 0
    jobs: Mapping[str, Job] = field(default_factory=dict)
    parallel: bool = False
    group: Sweep | None = None
    where: Destination | None = None
    experiment: Experiment | None = None
    arguments: tuple[str, ...] = ()
    continues: bool = False
    earlier: Earlier = field(default_factory=Earlier)
    launched: bool = False
    has_machine: bool = False
    is_detached: bool = False
    only_concludes: bool = False
    _is_launched: bool = False
    _reported: set[Path] = field(default_factory=set)

    def run_job(self, tree: Any, hydra: Any) -> float:
        """Run what the configuration of a job plans.

        Returns the test loss, which some sweepers minimise, or NaN if the run failed.
        """
        multirun = hydra.mode is not None and hydra.mode.name == "MULTIRUN"
        job = self.jobs.get(preflight.text_of(tree))
        if job is None:  # the sweeper chose it, or a launcher runs it in a process of its own
            config = schema.parse(tree)
            job = Job(config, preflight.check_job(config, multirun))
        checked, spec = job.config, job.spec
        self.where = session.destination(checked.tracking, Path.cwd())
        root = Path(hydra.runtime.output_dir)
        name = checked.experiment
        launcher = launching.launcher_of_experiment(self, hydra, checked) if name else None
        self.experiment = experiments.design(name).plan(spec, checked, _say) if name else None
        planned = self.experiment.runs if self.experiment else (PlannedRun(spec),)
        if multirun and self.parallel:  # a launcher's process may outlive a sweep
            self._join(hydra.sweep.dir, root)
        elif multirun and self.group is None:
            self.expect_sweep(hydra.sweep.dir)
        elif not multirun and self.experiment is not None:
            self._begin(str(root), planned, checked.resume)
        for line in self.experiment.opening if self.experiment else ():
            _say(line)
        config_yaml = _resolved(tree)
        run_name = checked.tracking.run_name
        if launcher is not None:
            self._launch(launcher, planned, root, config_yaml, run_name)
            return math.nan
        result = None
        ended: list[RunRecord] = []
        is_over = getattr(self.experiment, "is_over", None)
        for run in self._to_make(planned):
            record = run if isinstance(run, RunRecord) else self._run(run, root, config_yaml, run_name)
            result = record.result
            if isinstance(run, RunRecord) or not run.warm_up:
                ended.append(record)
            if is_over is not None and is_over(ended):
                break
        return result.loss if result and result.loss is not None else math.nan

    def _join(self, directory: str, folder: Path) -> None:
        """Join the sweep of the process that has started the launcher."""
        assert self.where is not None
        joined = sweep.join(directory, folder)
        self.group, self.earlier, self.planned = joined.sweep, joined.earlier, joined.planned
        for run in joined.open_tries:
            self.session.close_lost(run, self.where, "its process was lost, and the job was started again")

    def _to_make(self, planned: Sequence[PlannedRun]) -> Iterator[PlannedRun | RunRecord]:
        """The planned runs, or instead of a planned run the one that an earlier start has made of it. Runs
        that warm up are left out if no other run is to be made on their backend.
        """
        found: list[PlannedRun | RunRecord] = []
        for run in planned:
            done = None if run.warm_up else self.earlier.take(run.spec, run.tags)
            if done is not None:
                found.append(done)
            elif not self.only_concludes and not self.earlier.leaves_out(run.spec, run.tags):
                found.append(run)
        cold = {run.spec.backend for run in found if isinstance(run, PlannedRun) and not run.warm_up}
        for one in found:
            if isinstance(one, RunRecord) or not one.warm_up or one.spec.backend in cold:
                yield one

    def _launch(
        self,
        launcher: Any,
        planned: Sequence[PlannedRun],
        root: Path,
        config_yaml: str,
        run_name: str | None,
    ) -> None:
        """Let a launcher run the blocks of an experiment, each as one job."""
        assert self.where is not None
        left = [run for run in self._to_make(planned) if isinstance(run, PlannedRun)]
        tasks = block_jobs.of_experiment(
            left, root.absolute(), self.where, config_yaml, run_name, launcher.alone, _run_block
        )
        if tasks:
            self._is_launched = True
            launching.launch(self, launcher.scheduler(self), tasks, launcher.detach)

    def run_block(self, block: Block) -> float:
        """Run a block of an experiment in a process that a launcher has started, and return its last loss.

        The backends are warmed up on this machine, unless an earlier block has done so.
        """
        self.where = block.where
        self._join(str(block.sweep), block.folder)
        loss = math.nan
        for run in self._to_make(block.runs):
            if isinstance(run, RunRecord):
                continue
            mark = block.sweep / JOBS / f"warm-{machine.host()}-{run.spec.id}"
            if run.warm_up and mark.exists():
                continue
            result = self._run(run, block.folder, block.config_yaml, block.run_name).result
            if run.warm_up:
                mark.touch()
            elif result is not None and result.loss is not None:
                loss = result.loss
        return loss

    def _run(self, planned: PlannedRun, root: Path, config_yaml: str, run_name: str | None) -> RunRecord:
        assert self.where is not None
        alone = self.group is None
        shared = {**sweep.tags(self.group), starts.PLANNED: str(self.planned)} if self.group else {}
        if self.parallel and not self.has_machine:
            shared[PARALLEL] = "true"
        record = self.session.run(
            planned.spec,
            replace(self.where, kind="none") if planned.warm_up else self.where,
            root / WARM_UP if planned.warm_up else root,
            config_yaml,
            name=run_name or planned.name,
            tags={**shared, **planned.tags},
            run_id=self.session.take_joined() if alone else None,
        )
        if not alone:
            if not self.parallel:  # the parent of a launcher's processes says it
                _say_line(record, planned.place)
            if self.experiment is None:
                self.session.forget(record)
        return record

    @contextmanager
    def as_job(self, has_machine: bool) -> Iterator[Callable[[], list[str]]]:
        """Run one job in a process that a launcher has started.

        has_machine: whether no other run uses the machine meanwhile.
        Yields a function that returns why runs of the job were not tracked or not written.
        """
        self.has_machine = has_machine
        self.session.untracked.clear()
        self.session.unwritten.clear()
        yield lambda: [*self.session.unwritten, *self.session.untracked]

    def job_ended(self, task: Task, outcome: Outcome) -> None:
        """Close what a job of a launcher has left open, and print a line for each of its runs."""
        assert self.group is not None
        assert self.where is not None
        runs = [run for run in self.group.runs_in(task.folder) if run.directory not in self._reported]
        for run in runs:
            self._reported.add(run.directory)
            if run.result is None:
                run = self.session.close_lost(run, self.where, outcome.why or "its process has ended")
            if run.result is not None:
                _say_line(run, task.title if self._is_launched else "")
        if outcome.why is not None and not runs:
            _say(f"job {task.number} ({task.title}): {outcome.why}")
        for note in outcome.notes:
            if note not in self.session.untracked:
                self.session.untracked.append(note)

    def detached(self, tasks: Sequence[Task]) -> None:
        """Say that the jobs were submitted, and how to collect their results."""
        assert self.group is not None
        self.is_detached = True
        place = for_shell(str(self.group.directory))
        print(f"{len(tasks)} jobs were submitted. When they have ended:  backendexp conclude {place}")

    def expect_sweep(self, directory: str) -> None:
        """Begin or continue the sweep before its jobs start, because a launcher may run them in other
        processes.
        """
        configs = [job.config for job in self.jobs.values()]
        planned = None
        if configs and not any(config.experiment for config in configs):
            planned = [PlannedRun(job.spec) for job in self.jobs.values()]
        self._begin(directory, planned, configs[0].resume if configs else SKIP)

    def _begin(self, directory: str, planned: Sequence[PlannedRun] | None, rule: str) -> None:
        """planned: the runs of the sweep, or None if they are not known."""
        keys = None if planned is None else {starts.key_of(run.spec.id, run.tags) for run in planned}
        self.planned = (
            self.planned if self.experiment is None else sum(not run.warm_up for run in planned or ())
        )
        start = Start(1, self.arguments, str(Path.cwd()), time.time(), self.planned, rule)
        self.group, self.earlier = sweep.begin(
            directory, start, keys, self.continues, adds=not self.only_concludes
        )
        if self.group.start > 1 and not self.only_concludes:
            ended = Counter(run.result.status for run in self.earlier.runs if run.result)
            known = ", ".join(f"{count} {status}" for status, count in ended.items()) or "no runs"
            _say(f"Continuing {self.group.id}, which has {known}.")

    def finish(self) -> int:
        """Stop the workers and report the results and where to find them. Returns the exit code."""
        self.session.close()
        for why in self.session.unwritten:
            print(f"backendexp: {why}", file=sys.stderr)
        if self.where is None or self.is_detached:
            return OK
        if self.group is None:
            return self._conclude_run()
        try:
            return self._conclude_sweep(self.group, self.where)
        finally:
            sweep.end(self.group)

    def _conclude_run(self) -> int:
        if not self.session.records:
            return OK
        record = self.session.records[-1]
        print("\n".join(tables.run_lines(record)))
        for line in tables.caveats([record]):
            print(f"  note  {line}")
        self._say_where([record])
        return _code([record]) or self._code_of_store([record])

    def _conclude_sweep(self, done: Sweep, where: Destination) -> int:
        # If the disk was full, this process still has the records of its own runs.
        own = {record.directory: record for record in self.session.records}
        everything = done.all_records()
        counted = starts.counted_records(everything)
        records = [own.get(record.directory, record) for record in counted]
        missing = self._missing(records)
        if missing:
            print(
                f"backendexp: {missing} of {self.planned} runs left no record in {done.directory}. If other "
                "machines run the jobs, they need this folder too: hydra.sweep.dir names it",
                file=sys.stderr,
            )
        if not records:
            if self.experiment is not None:
                print("Nothing was measured, so there is nothing to conclude.")
            return RUN_FAILED if missing else OK
        if repeated := len(everything) - len(counted):
            print(f"Note: {repeated} earlier runs were repeated, so they do not count.")
        try:
            conclusion = self._conclusion(done, records)
        except OSError as error:
            print(f"backendexp: {places.sentence(error, done.directory, places.RUNS)}", file=sys.stderr)
            with places.writing(tempfile.gettempdir(), places.TEMPORARY):
                done = replace(done, directory=Path(tempfile.mkdtemp(prefix="backendexp-")))
                conclusion = self._conclusion(done, records)
            print(f"backendexp: the summary of the runs is in {done.directory} instead", file=sys.stderr)
        for said in conclusion.said:
            if isinstance(said, tables.Table):
                print_table(said)
            else:
                print(said)
        code = _code(records) if conclusion.good else RUN_FAILED
        summary_id = sweep.track_summary(self.session, where, done, conclusion, code == OK)
        self._say_where(records, summary_id, conclusion.report)
        return code or (RUN_FAILED if missing else self._code_of_store(records, summary_id))

    def _missing(self, records: list[RunRecord]) -> int:
        """Return how many planned runs left no record, although none was interrupted or left out."""
        by_itself = self.experiment is not None and not self._is_launched
        if by_itself or not self.launched or self.earlier.leaves_out_some:
            return 0
        return max(0, self.planned - len(records))

    def _lost(self, records: list[RunRecord], summary_id: str | None = None) -> bool:
        """Return whether a run, or the summary run of a sweep, is missing from the store."""
        no_summary = self.group is not None and summary_id is None
        return no_summary or any(record.tracked_run_id is None for record in records)

    def _code_of_store(self, records: list[RunRecord], summary_id: str | None = None) -> int:
        """Return NOT_TRACKED if a store was asked for but did not accept all the runs, otherwise OK."""
        assert self.where is not None
        asked = self.where.kind != "none"
        return NOT_TRACKED if asked and self._lost(records, summary_id) else OK

    def _conclusion(self, done: Sweep, records: list[RunRecord]) -> Conclusion:
        if self.experiment is not None:
            return self.experiment.conclude(done.id, done.directory, records)
        return sweep.conclusion_of(done.directory, records, self.planned)

    def _say_where(
        self, records: list[RunRecord], summary_id: str | None = None, report: Path | None = None
    ) -> None:
        """Print where the report and the runs are, and how to upload the runs that the store lacks."""
        assert self.where is not None
        if report is not None:
            print(f"  report  {report}")
        tracker = None if self.session.untracked else self.session.tracker(self.where)
        runs = [run for record in records if (run := record.tracked_run_id)]
        if tracker is not None and runs:
            uri, experiment = tracker.uri, tracker.experiment_id
            print(f"  store  {uri}")
            if command := links.server_command(uri):
                print(f"  UI  {command}")
            if len(records) == 1:
                print(f"  run  {links.run_link(uri, experiment, runs[0])}")
            if summary_id is not None:
                print(f"  summary  {links.run_link(uri, experiment, summary_id)}")
            print(f"  experiment  {links.experiment_link(uri, experiment)}")
            if len(runs) > 1 and report is None:
                print(f"  compare  {links.compare_link(uri, experiment, runs)}")
        if self._lost(records, summary_id):
            for why in self.session.untracked:
                print(f"backendexp: {why}", file=sys.stderr)
            place = self.group.directory if self.group else records[0].directory
            print(f"  results  {place}")
            # A run that could not be saved on disk cannot be uploaded from there.
            if not any(record.failure for record in records):
                print(f"  upload them with  backendexp sync {for_shell(str(place))}")


def _resolved(tree: Any) -> str:
    """Return the configuration as YAML, with interpolations resolved and passwords hidden.

    The address of the store is shortened first, because an interpolation may bring a password into it.
    """
    from omegaconf import OmegaConf

    tree = copy.deepcopy(tree)
    if tree.tracking.uri is not None:
        tree.tracking.uri = addresses.shown(tree.tracking.uri)
    return OmegaConf.to_yaml(tree, resolve=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


_current: Application | None = None


def start(
    checked: Checked, joined: str | None, arguments: Sequence[str] = (), continues: bool = False
) -> Application:
    """Start the application of this process.

    joined: the id of the run that `mlflow run` has created for it, or None.
    arguments, continues: see Application.
    """
    global _current
    sweep.draw_mark()
    _current = Application(
        Session(joined=joined),
        planned=checked.count,
        jobs=checked.jobs,
        arguments=tuple(arguments),
        continues=continues,
    )
    if checked.tracking is not None:
        _current.where = session.destination(checked.tracking, Path.cwd())
    if checked.alone and checked.jobs:
        _current.session.start_worker(checked.specs[0])
    return _current


def current() -> Application:
    """Return the application of this process.

    A process that a launcher has started creates its own application, and closes it at exit.
    """
    global _current
    if _current is None:
        import atexit

        output.protect()
        register_schema()
        # The parent of the launcher has this run id, and joins that run with its summary.
        os.environ.pop("MLFLOW_RUN_ID", None)
        _current = Application(Session(), parallel=True)
        atexit.register(_current.session.close)
    return _current


def _run_block(block: Block) -> tuple[float, tuple[str, ...]]:
    """Run a block of an experiment in a process that a launcher has started, see `block_jobs.Block`."""
    app = current()
    with app.as_job(block.alone) as notes:
        return app.run_block(block), tuple(notes())


def _code(records: list[RunRecord]) -> int:
    if session.failures(records):
        return RUN_FAILED
    # A run that is neither in its directory nor in the store is lost.
    return BAD_INPUT if any(r.failure and not r.tracked_run_id for r in records) else OK


def _say_line(record: RunRecord, place: str) -> None:
    """Print one line when a run of a sweep ends.

    place: the position of the run in the experiment, or an empty string.
    """
    result = record.result
    assert result is not None
    numbers = tables.numbers_line(result)
    why = f" ({result.reason})" if result.reason else ""
    _say(f"{f'{place}  ' if place else ''}{record.spec.title}: {result.status}{why}  {numbers}")
