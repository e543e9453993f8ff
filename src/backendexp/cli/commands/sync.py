"""`backendexp sync` uploads the runs and summary runs that the tracking store did not accept."""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from backendexp import cache, places
from backendexp.config.schema import TrackingConfig, check_store
from backendexp.errors import TrackingError, UserError
from backendexp.runs import given_up, machine, record, summary_run
from backendexp.runs.given_up import Outcome
from backendexp.runs.machine import Fate
from backendexp.runs.record import RunRecord
from backendexp.runs.session import Destination, destination
from backendexp.tracking import addresses
from backendexp.tracking.base import OpenRun, OpenRuns, Tracker
from backendexp.tracking.mlflow_connection import absolute_uri, database_file
from backendexp.tracking.stores import open_runs_of, open_tracker

_Trackers = dict[Destination, Tracker]
_Upload = Callable[[Path, str | None, _Trackers], int]
_REMEDY = "Make room, or copy the folder to a writable place and sync the copy"


def main(arguments: list[str]) -> int:
    """Upload the runs and return the exit code.

    0: nothing is left to upload. 1: the store did not accept some of the runs, they could not be read, or
        they could not be closed.
    Raises UserError: a folder does not exist, the address of the store cannot be used, or the machine of
    --close has no open runs.
    """
    parser = argparse.ArgumentParser("backendexp sync", description=__doc__)
    parser.add_argument(
        "folders",
        nargs="*",
        type=Path,
        default=[Path("outputs"), Path("multirun")],
        help="the folders to search for runs (default: outputs and multirun)",
    )
    parser.add_argument(
        "--uri",
        help="upload to this store instead of the one that the run was meant for; tracking.uri=URI does the "
        "same. The password of a store is never saved. It is read from here or from MLFLOW_TRACKING_URI",
    )
    parser.add_argument(
        "--close",
        metavar="HOST",
        help="first close the open runs of this machine, which will not come back: those in the folders and "
        "those in the store. A run that shows a sign of life stays open",
    )
    arguments = [re.sub(r"^tracking\.uri=", "--uri=", word) for word in arguments]
    asked = parser.parse_args(arguments)
    missing = [f for f in asked.folders if not f.exists()]
    if missing and arguments and asked.folders != parser.get_default("folders"):
        raise UserError(f"{missing[0]} does not exist. Expected a folder that holds runs")
    if asked.uri:
        check_store("--uri", asked.uri)
    uri = addresses.keep(absolute_uri(asked.uri, Path.cwd())) if asked.uri else None
    directories = record.find(asked.folders)
    refused = False
    if asked.close is not None:
        outcome = _close(asked.close.strip(), directories, uri)
        directories += outcome.to_upload
        refused = bool(outcome.refused)
    code = upload(directories, summary_run.find(asked.folders), uri)
    return 1 if refused else code


def _close(host: str, directories: list[Path], uri: str | None) -> Outcome:
    """Close the open runs of a machine, and say what was closed and what was not. If a store cannot be asked,
    that is said too, and its error is among those of the outcome.

    uri: the address of the only store to look in. If it is None, these are the stores that the open runs in
        the directories were meant for, and the one in which a new run would be tracked.
    Raises UserError: the machine has no open runs.
    """
    if not host:
        raise UserError("--close needs the name of a machine, e.g. --close node7")
    known = [run for path in directories if (run := _read(path)) is not None]
    meant = [run.context.uri for run in known if run.result is None and run.context.kind != "none"]
    here = destination(TrackingConfig(), Path.cwd()).uri
    uris = [uri] if uri is not None else list(dict.fromkeys([here, *meant]))
    files = {one: database_file(one) for one in uris}
    found: list[tuple[OpenRuns, OpenRun]] = []
    away = []
    for one, file in files.items():
        if file is None or file.exists():
            try:
                store = open_runs_of(one)
                found += [(store, run) for run in store.all()]
            except TrackingError as error:  # runs whose directories are here can be closed all the same
                away.append(str(error))
                print(error, file=sys.stderr)
    outcome = given_up.close(host, known, found)
    for sentence in outcome.closed:
        print(sentence)
    for sentence in outcome.refused:
        print(sentence, file=sys.stderr)
    print(f"{len(outcome.closed)} closed, {len(outcome.refused)} not closed")
    outcome.refused += away
    return outcome


def _read(directory: Path) -> RunRecord | None:
    """The record of a directory, or None if it cannot be read; the upload says why."""
    try:
        return record.load(directory)
    except (json.JSONDecodeError, OSError):
        return None


def upload(directories: list[Path], summaries: list[Path], uri: str | None) -> int:
    """Upload every run that has ended and is not in its store yet, each of them once.

    directories: the directories of the runs.
    summaries: the files of the runs that summarise a sweep. They are uploaded last, as they are when a sweep
        is tracked while it runs.
    Returns the exit code.
    """
    trackers: _Trackers = {}
    still_open: Counter[str] = Counter()
    uploaded, refused = 0, 0
    upload_run = partial(_upload_run, still_open=still_open)
    work: list[tuple[Path, _Upload]] = [
        *((path, upload_run) for path in directories),
        *((path, _upload_summary) for path in summaries),
    ]
    for path, upload_one in work:
        try:
            uploaded += upload_one(path, uri, trackers)
        except TrackingError as error:
            refused += 1
            print(f"{path}: {error}", file=sys.stderr)
        except json.JSONDecodeError as error:  # a copy that was cut short, as happens on a full disk
            refused += 1
            print(f"{path}: cannot be read: {error}", file=sys.stderr)
        except OSError as error:
            refused += 1
            print(f"{path}: {places.sentence(error, path, _REMEDY)}", file=sys.stderr)
    there = len(work) - uploaded - refused
    print(f"{uploaded} uploaded, {refused} refused, {there} with nothing to upload")
    for host, count in sorted(still_open.items()):
        runs = "1 run" if count == 1 else f"{count} runs"
        print(f"{runs} of {host} may still be under way. {given_up.remedy(host)}", file=sys.stderr)
    return 1 if refused else 0


def _upload_run(directory: Path, uri: str | None, trackers: _Trackers, still_open: Counter[str]) -> int:
    """Upload the run of one directory. Returns 1 if it was uploaded, 0 if there was nothing to do.

    still_open: counts for each machine the runs that may be under way there, unless this process sees that
        they are.
    """
    from filelock import FileLock

    with FileLock(cache.lock_file(str(directory.resolve()))):
        run = record.load(directory)
        if run.tracked_run_id is not None:
            return 0
        if run.result is None:
            run = record.close_lost(run)
        if run.result is None:
            if machine.fate(run.context.tags) is not Fate.LIVES:
                still_open[run.context.tags.get(machine.HOST, "unknown")] += 1
            return 0  # it is still training
        context = run.context
        # If the address names the store that the run was meant for, it was given only for its password.
        uri = None if uri == context.uri else uri
        meant = Destination("mlflow", context.uri, context.experiment, context.experiment_id)
        tracker = _tracker_for(meant, uri, trackers)
        # If the store has already accepted a part of the run, that run is continued, so that it exists once.
        run_id = tracker.find(context.id) or tracker.begin(
            context.id,
            context.name,
            round(context.began * 1000),
            {**context.tags, **record.plan_tags(run.spec)},
            context.run_id if uri is None else None,
        )
        tracker.end(run_id, record.report(run))
        if (error := run.mark_tracked(run_id)) is not None:
            print(f"{directory}: {places.sentence(error, directory, _REMEDY)}", file=sys.stderr)
        print(f"{directory}: uploaded as run {run_id}")
    return 1


def _upload_summary(file: Path, uri: str | None, trackers: _Trackers) -> int:
    """Upload the summary run of one file. Returns 1 if it was uploaded, 0 if there was nothing to do."""
    with summary_run.locked(file) as summary:
        if summary.tracked_run_id is not None:
            return 0
        uri = None if uri == summary.where.uri else uri
        if uri is not None:  # The run that the summary would continue exists only in the original store.
            summary = replace(summary, joins=None)
        run_id = summary_run.upload(summary, _tracker_for(summary.where, uri, trackers))
        print(f"{file}: uploaded as run {run_id}")
    return 1


def _tracker_for(meant: Destination, uri: str | None, trackers: _Trackers) -> Tracker:
    """Return the open store to upload to, and open it if this is the first upload there.

    meant: the store that the run was meant for. uri: the address of another store to use instead, or None.
    """
    by_id = meant.experiment_id if uri is None else None
    where = Destination("mlflow", uri or meant.uri, meant.experiment, by_id)
    if where not in trackers:
        trackers[where] = open_tracker(where.uri, where.experiment, where.experiment_id, Path.cwd())
    return trackers[where]
