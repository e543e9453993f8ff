"""`backendexp resume` runs what is missing of a sweep or an experiment, and draws its conclusion again."""

import argparse
import os
import sys
from pathlib import Path

from backendexp.cli.exit_codes import OK
from backendexp.config.schema import SKIP
from backendexp.errors import UserError
from backendexp.runs import starts, sweep_ids
from backendexp.runs.starts import Earlier, Start


def main(arguments: list[str]) -> int:
    """Run the command line of the sweep again, without what has finished, and return the exit code.

    Raises UserError: the folder holds no sweep that can be continued, or the settings leave out runs that it
    has made.
    """
    parser = argparse.ArgumentParser("backendexp resume", description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder of the sweep or of the experiment")
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="KEY=VALUE",
        help="settings to change, such as seed='range(20)', or resume=redo to run everything again",
    )
    parser.add_argument("--dry-run", action="store_true", help="only print what would be run")
    asked = parser.parse_intermixed_args(arguments)
    folder = asked.folder.absolute()
    last = last_start(folder)
    words = command_line(last, folder, asked.settings)
    enter(last)
    if asked.dry_run:
        return _show(folder, words)
    from backendexp.cli import application

    sys.argv[1:] = words
    return application.run(words, continues=True)


def last_start(folder: Path) -> Start:
    """The last start of the sweep in a folder. Raises UserError: there is none."""
    past = starts.read(folder) if folder.is_dir() else []
    if not past:
        raise UserError(
            f"{folder} holds no sweep or experiment that can be continued. Expected a folder with the "
            f"file {starts.FILE}, such as multirun/2026-11-28/10-00-00"
        )
    return past[-1]


def enter(start: Start) -> None:
    """Change to the working directory of a start. Raises UserError: it cannot be entered."""
    try:
        os.chdir(start.folder)
    except OSError as error:
        raise UserError(
            f"the sweep was started in {start.folder}, which cannot be entered ({error.strerror}). Its "
            "relative paths are meant from there"
        ) from error


def command_line(last: Start, folder: Path, settings: list[str]) -> list[str]:
    """The words that continue a sweep.

    last: its last start. folder: of the sweep. settings: they replace those of the last start, whose rule for
        earlier runs was meant for that start only.
    """
    multirun = any(word in ("-m", "--multirun", "hydra.mode=MULTIRUN") for word in last.arguments)
    path = str(folder).replace("'", "\\'")
    given = [*settings, f"hydra.{'sweep' if multirun else 'run'}.dir='{path}'"]
    keys = {"resume", *(_key(word) for word in given)}
    return [*(word for word in last.arguments if _key(word) not in keys), *given]


def _key(word: str) -> str | None:
    return word.partition("=")[0].lstrip("+~") if "=" in word and not word.startswith("-") else None


def _show(folder: Path, words: list[str]) -> int:
    """Print what would be run."""
    from backendexp import experiments
    from backendexp.cli import application, preflight
    from backendexp.config.schema import conf_dir
    from backendexp.experiments.base import PlannedRun
    from backendexp.experiments.sweep import Sweep

    application.register_schema()
    jobs = preflight.check(words, conf_dir()).jobs.values()
    known = sweep_ids.id_in(folder)
    records = Sweep(known, folder, 0.0).records() if known else []
    earlier = Earlier(records, next((job.config.resume for job in jobs), SKIP))
    finished = 0
    for job in jobs:
        name = job.config.experiment
        planned = experiments.design(name).plan(job.spec, job.config, print).runs if name else None
        for run in planned or (PlannedRun(job.spec),):
            if run.warm_up or earlier.leaves_out(run.spec, run.tags):
                continue
            if earlier.take(run.spec, run.tags):
                finished += 1
            else:
                print(f"{run.place + '  ' if run.place else ''}{run.spec.title}: would be run")
    print(f"{finished} runs have finished and would not be run again.")
    return OK
