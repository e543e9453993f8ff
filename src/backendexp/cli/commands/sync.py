"""`backendexp sync` uploads the runs and summary runs that the tracking store did not accept."""

import argparse
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

from backendexp import cache, places
from backendexp.config.schema import check_store
from backendexp.errors import TrackingError, UserError
from backendexp.runs import record, summary_run
from backendexp.runs.session import Destination
from backendexp.tracking import addresses
from backendexp.tracking.base import Tracker
from backendexp.tracking.mlflow_connection import absolute_uri
from backendexp.tracking.stores import open_tracker

_REMEDY = "Make room, or copy the folder to a writable place and sync the copy"


def main(arguments: list[str]) -> int:
    """Upload the runs and return the exit code.

    0: nothing is left to upload. 1: the store did not accept some of the runs, or they could not be read.
    Raises UserError: a folder does not exist, or the address of the store cannot be used.
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
    arguments = [re.sub(r"^tracking\.uri=", "--uri=", word) for word in arguments]
    asked = parser.parse_args(arguments)
    missing = [f for f in asked.folders if not f.exists()]
    if missing and arguments and asked.folders != parser.get_default("folders"):
        raise UserError(f"{missing[0]} does not exist. Expected a folder that holds runs")
    if asked.uri:
        check_store("--uri", asked.uri)
    uri = addresses.keep(absolute_uri(asked.uri, Path.cwd())) if asked.uri else None
    return upload(record.find(asked.folders), summary_run.find(asked.folders), uri)


def upload(directories: list[Path], summaries: list[Path], uri: str | None) -> int:
    """Upload every run that has ended and is not in its store yet, each of them once.

    directories: the directories of the runs.
    summaries: the files of the runs that summarise a sweep. They are uploaded last, as they are when a sweep
        is tracked while it runs.
    Returns the exit code.
    """
    trackers: dict[Destination, Tracker] = {}
    uploaded, refused = 0, 0
    work = [*((path, _upload_run) for path in directories), *((path, _upload_summary) for path in summaries)]
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
    return 1 if refused else 0


def _upload_run(directory: Path, uri: str | None, trackers: dict[Destination, Tracker]) -> int:
    """Upload the run of one directory. Returns 1 if it was uploaded, 0 if there was nothing to do."""
    from filelock import FileLock

    with FileLock(cache.lock_file(str(directory.resolve()))):
        run = record.load(directory)
        if run.tracked_run_id is not None:
            return 0
        if run.result is None:
            run = record.close_lost(run)
        if run.result is None:
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


def _upload_summary(file: Path, uri: str | None, trackers: dict[Destination, Tracker]) -> int:
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


def _tracker_for(meant: Destination, uri: str | None, trackers: dict[Destination, Tracker]) -> Tracker:
    """Return the open store to upload to, and open it if this is the first upload there.

    meant: the store that the run was meant for. uri: the address of another store to use instead, or None.
    """
    by_id = meant.experiment_id if uri is None else None
    where = Destination("mlflow", uri or meant.uri, meant.experiment, by_id)
    if where not in trackers:
        trackers[where] = open_tracker(where.uri, where.experiment, where.experiment_id, Path.cwd())
    return trackers[where]
