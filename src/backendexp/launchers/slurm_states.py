"""The states of Slurm jobs, as scontrol and sacct report them, and what they mean in words."""

import subprocess
from collections.abc import Iterable

# If the jobs of an array that have not begun are cancelled, they share a record with this index, NO_VAL of
# https://github.com/SchedMD/slurm/blob/master/slurm/slurm.h.in
_REST = "4294967294"
# Of a job in one of these states, something may still come.
_UNDER_WAY = {
    *("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "RESIZING", "SUSPENDED", "RUNNING"),
    *("COMPLETING", "STOPPED", "SIGNALING", "STAGE_OUT"),
}
# https://slurm.schedmd.com/squeue.html#SECTION_JOB-STATE-CODES
_REASONS = {
    "CANCELLED": "the Slurm job was cancelled",
    "TIMEOUT": "the Slurm job reached its time limit (timeout_min)",
    "DEADLINE": "the Slurm job reached its deadline",
    "OUT_OF_MEMORY": "the Slurm job used more memory than it was given (mem_gb)",
    "PREEMPTED": "the Slurm job was preempted by another one",
    "NODE_FAIL": "the node of the Slurm job failed",
    "BOOT_FAIL": "the node of the Slurm job could not be started",
}


def reason(state: str) -> str:
    """What a state of a Slurm job means, in words."""
    return _REASONS.get(state, f"the Slurm job ended in the state {state or 'unknown'}")


def is_under_way(state: str) -> bool:
    return state in _UNDER_WAY


class States:
    """The states of jobs.

    jobs: their numbers, those of an array as ARRAY_INDEX.
    """

    def __init__(self, jobs: Iterable[str]) -> None:
        self._of_array = {array: _ask(array) for array in {job.partition("_")[0] for job in jobs}}

    def of(self, job: str) -> str | None:
        """The state of a job, or "" if Slurm has forgotten it. None if Slurm does not answer."""
        array = job.partition("_")[0]
        known = self._of_array[array]
        return None if known is None else known.get(job) or known.get(f"{array}_{_REST}", "")


def _ask(job: str) -> dict[str, str] | None:
    """The state of a job, or of each job of an array. None if Slurm does not answer."""
    shown = _run("scontrol", "--oneliner", "show", "job", job)
    if shown is None or (shown.returncode and "Invalid job id" not in shown.stderr):
        return None
    found = dict(fact for line in shown.stdout.splitlines() for fact in _read_scontrol(line))
    if found:
        return found
    # scontrol has forgotten a job some minutes after its end. sacct has not, where there is a database.
    columns = "--format=JobID,JobIDRaw,State"
    listed = _run("sacct", "--noheader", "--parsable2", "--allocations", columns, "-j", job)
    return {} if listed is None else dict(f for line in listed.stdout.splitlines() for f in _read_sacct(line))


def _run(*command: str) -> "subprocess.CompletedProcess[str] | None":
    try:
        return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None


def _read_scontrol(line: str) -> list[tuple[str, str]]:
    facts = dict(word.partition("=")[::2] for word in line.split() if "=" in word)
    if "JobState" not in facts:
        return []
    names = [facts["JobId"]]
    array, index = facts.get("ArrayJobId"), facts.get("ArrayTaskId")
    if array and index:
        names += [f"{array}_{number}" for number in _numbers_in(index)]
    return [(name, facts["JobState"]) for name in names]


def _numbers_in(index: str) -> list[int]:
    """The numbers in the index of an array, such as "3" or, for jobs that are still pending, "2-4,7%2"."""
    found: list[int] = []
    for part in index.partition("%")[0].split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            found += range(int(first), int(last or first) + 1)
    return found


def _read_sacct(line: str) -> list[tuple[str, str]]:
    name, raw, state = [*line.split("|"), "", ""][:3]
    return [(key, state.split()[0]) for key in (name, raw) if key and state]
