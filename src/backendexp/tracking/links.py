"""Builds the addresses of pages in the MLflow UI, and the command that starts the UI."""

import json
import shlex
from urllib.parse import quote

from backendexp.tracking import addresses

LOCAL_SERVER = "http://127.0.0.1:5000"
# Without this parameter the UI shows its pages for language models, and no chart of the runs of a sweep.
_TRAINING = "?workflowType=machine_learning"


def _base(uri: str) -> str:
    return addresses.page(uri) if uri.startswith("http") else LOCAL_SERVER


def run_link(uri: str, experiment_id: str, run_id: str) -> str:
    return f"{_base(uri)}/#/experiments/{experiment_id}/runs/{run_id}{_TRAINING}"


def experiment_link(uri: str, experiment_id: str) -> str:
    return f"{_base(uri)}/#/experiments/{experiment_id}/runs{_TRAINING}"


def compare_link(uri: str, experiment_id: str, run_ids: list[str]) -> str:
    runs, experiments = _encode(run_ids), _encode([experiment_id])
    # The page reads `runs` only if it is the first parameter.
    return f"{_base(uri)}/#/compare-runs?runs={runs}&experiments={experiments}&{_TRAINING[1:]}"


def _encode(names: list[str]) -> str:
    return quote(json.dumps(names, separators=(",", ":")))


def server_command(uri: str) -> str | None:
    """Return the command that serves a local store, or None if the store is already a server."""
    if uri.startswith("http"):
        return None
    return f"backendexp ui {shlex.quote('tracking.uri=' + addresses.shown(uri))}"
