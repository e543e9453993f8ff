"""`backendexp conclude` draws the conclusion of a sweep or an experiment again, from the runs that exist."""

import argparse
import re
import sys
from pathlib import Path

from backendexp.cli.commands import resume, sync
from backendexp.cli.exit_codes import RUN_FAILED
from backendexp.launchers import slurm
from backendexp.launchers.slurm_states import States, is_under_way
from backendexp.runs import record

# The jobs of the sweep have run elsewhere, and none is started.
_LAUNCHER = re.compile(r"\+*hydra[./]launcher\b")


def main(arguments: list[str]) -> int:
    """Make the tables and the summary run of a sweep, without running anything, and return the exit code.

    1: jobs of the sweep have not ended, or a run failed or is missing.
    Raises UserError: the folder holds no sweep, or one that is under way.
    """
    parser = argparse.ArgumentParser("backendexp conclude", description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder of the sweep or of the experiment")
    folder = parser.parse_args(arguments).folder.absolute()
    last = resume.last_start(folder)
    if left := close_ended_jobs(folder):
        print(f"backendexp: {left}", file=sys.stderr)
        return RUN_FAILED
    resume.enter(last)
    words = [word for word in resume.command_line(last, folder, []) if not _LAUNCHER.match(word)]
    from backendexp.cli import application

    sys.argv[1:] = words
    return application.run(words, continues=True, concludes=folder)


def close_ended_jobs(folder: Path) -> str | None:
    """Close the runs that submitted jobs have left open, with the reason that Slurm gives.

    folder: of the sweep.
    Returns which jobs have not ended, in words; None if all have, or if none was submitted.
    """
    submitted = slurm.submitted(folder)
    states = States(submitted.values())
    under_way = {job: state for job in submitted.values() if is_under_way(state := states.of(job) or "")}
    if under_way:
        some, state = next(iter(under_way.items()))
        array = some.partition("_")[0]
        return (
            f"{len(under_way)} of {len(submitted)} jobs have not ended; job {some} is {state}. Try again "
            f"later, or cancel them with: scancel {array}"
        )
    closed = []
    for place, job in submitted.items():
        final = states.of(job)
        if final is None:
            continue  # Slurm does not answer, so nothing is known
        why = slurm.why_ended(final, slurm.log_of(folder, job))
        for run in map(record.load, record.find([place])):
            if run.result is None and record.close_dead(run, why).result is not None:
                closed.append(run)
    tracked = [run.directory for run in closed if run.context.kind != "none"]
    if tracked:
        sync.upload(tracked, [], None)
    return None
