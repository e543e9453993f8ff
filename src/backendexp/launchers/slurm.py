"""Runs tasks as an array of Slurm jobs, with submitit (https://github.com/facebookincubator/submitit)."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from backendexp.errors import ConfigError, UserError
from backendexp.launchers import slurm_states
from backendexp.launchers import tasks as job
from backendexp.launchers.slurm_states import States
from backendexp.launchers.tasks import JOBS, Outcome, Task

# The result of a job may appear on a shared disk this long after Slurm says that the job has ended.
_LATE_S = 15.0
SUBMITTED = "submitted.json"


class Slurm:
    """settings: the fields of conf/hydra/launcher/slurm.yaml that submitit knows.
    timeout_min: the time limit of each job, in minutes.
    """

    poll_s = 2.0

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)
        self._jobs: dict[int, Any] = {}
        self._gone: dict[int, float] = {}

    def submit(self, tasks: Sequence[Task]) -> None:
        import submitit

        folder = tasks[0].sweep / JOBS
        base = ("timeout_min", "cpus_per_task", "mem_gb", "gpus_per_node", "name")
        given = {key: value for key, value in self._settings.items() if value is not None}
        executor = submitit.AutoExecutor(folder / "%j", cluster="slurm")
        executor.update_parameters(
            nodes=1,
            tasks_per_node=1,
            stderr_to_stdout=True,
            **{key if key in base else f"slurm_{key}": value for key, value in given.items()},
        )
        try:
            with executor.batch():
                jobs = [executor.submit(job.execute, task) for task in tasks]
        except Exception as error:
            # submitit raises its own errors, which have the message of sbatch.
            raise UserError(f"Slurm does not take the jobs: {' '.join(str(error).split())}") from error
        self._jobs = {task.number: made for task, made in zip(tasks, jobs, strict=True)}
        known = {task.number: (made.job_id, str(task.folder)) for task, made in zip(tasks, jobs, strict=True)}
        (folder / SUBMITTED).write_text(json.dumps(known), encoding="utf-8")

    @property
    def job_ids(self) -> list[str]:
        return [made.job_id for made in self._jobs.values()]

    def ended(self) -> Iterable[tuple[int, Outcome]]:
        states = States(self.job_ids)
        for number, made in list(self._jobs.items()):
            outcome = self._outcome(number, made, states.of(made.job_id))
            if outcome is not None:
                del self._jobs[number]
                yield number, outcome

    def _outcome(self, number: int, made: Any, state: str | None) -> Outcome | None:
        from submitit.core import utils

        result = made.paths.result_pickle
        if result.exists():
            kind, value = utils.pickle_load(result)
            return value if kind == "success" else Outcome(why=str(value).strip())
        if state is None or slurm_states.is_under_way(state):
            self._gone.pop(number, None)
            return None
        since = self._gone.setdefault(number, time.monotonic())
        if time.monotonic() - since < (_LATE_S if state in ("", "COMPLETED") else 0):
            return None
        return Outcome(why=why_ended(state, made.paths.stdout))

    def cancel(self) -> None:
        cancel(self.job_ids)

    def close(self) -> None:
        cancel(self.job_ids)
        self._jobs = {}


def why_ended(state: str, log: Path) -> str:
    """Why a job ended that has no result, in words.

    log: the file with its output, into which Slurm writes too.
    """
    if state not in ("FAILED", "COMPLETED", ""):
        return slurm_states.reason(state)
    try:
        output = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        output = ""
    # Where Slurm measures the memory itself, without cgroups, the state does not say it.
    if "exceeded memory limit" in output.lower():
        return slurm_states.reason("OUT_OF_MEMORY")
    return f"{slurm_states.reason(state)}; its output is in {log}"


def log_of(sweep: Path, job_id: str) -> Path:
    """The file with the output of a job, as submitit names it."""
    return sweep / JOBS / job_id / f"{job_id}_0_log.out"


def cancel(job_ids: Sequence[str]) -> None:
    """Ask Slurm to end jobs."""
    if job_ids:
        subprocess.run(["scancel", *job_ids], capture_output=True, timeout=60)


def submitted(sweep: Path) -> dict[Path, str]:
    """The Slurm jobs that were submitted last for a sweep, by the folders of their runs."""
    try:
        known = json.loads((sweep / JOBS / SUBMITTED).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {Path(folder): number for number, folder in known.values()}


def check() -> None:
    """Raises ConfigError: this machine cannot submit jobs to Slurm."""
    from importlib.util import find_spec

    if find_spec("submitit") is None:
        raise ConfigError(
            "hydra/launcher=slurm needs submitit. Install it with: pip install 'backendexp[slurm]'"
        )
    if shutil.which("sbatch") is None:
        raise ConfigError(
            "hydra/launcher=slurm needs Slurm's command sbatch, which is not on PATH: start backendexp on a "
            "machine from which jobs can be submitted"
        )


def machines(partition: str | None) -> set[str]:
    """The names of the machines on which jobs may run.

    Raises ConfigError: Slurm does not answer.
    """
    of_partition = ["--partition", partition] if partition else []
    answer = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--format=%N", *of_partition],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    if answer.returncode:
        raise ConfigError(f"Slurm does not answer: {' '.join(answer.stderr.split())}")
    if not answer.stdout.strip():
        raise ConfigError(f"Slurm has no node in the partition {partition!r}: sinfo lists the partitions")
    return set(answer.stdout.split())
