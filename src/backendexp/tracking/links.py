"""Where to look: addresses in the MLflow UI, and the line that starts it."""

import json
import shlex
from urllib.parse import quote

from backendexp.tracking import addresses

LOCAL_SERVER = "http://127.0.0.1:5000"
# Without it the UI shows its pages for language models, and of a sweep's runs no chart.
_TRAINING = "?workflowType=machine_learning"


def _base(uri: str) -> str:
    return addresses.page(uri) if uri.startswith("http") else LOCAL_SERVER


def run_link(uri: str, experiment_id: str, run_id: str) -> str:
    return f"{_base(uri)}/#/experiments/{experiment_id}/runs/{run_id}{_TRAINING}"


def experiment_link(uri: str, experiment_id: str) -> str:
    return f"{_base(uri)}/#/experiments/{experiment_id}/runs{_TRAINING}"


def compare_link(uri: str, experiment_id: str, run_ids: list[str]) -> str:
    runs, experiments = _encode(run_ids), _encode([experiment_id])
    # The page reads `runs` only as the first parameter.
    return f"{_base(uri)}/#/compare-runs?runs={runs}&experiments={experiments}&{_TRAINING[1:]}"


def _encode(names: list[str]) -> str:
    return quote(json.dumps(names, separators=(",", ":")))


def server_command(uri: str) -> str | None:
    """The line that serves a local store, or None: the store is a server already."""
    if uri.startswith("http"):
        return None
    return f"backendexp ui {shlex.quote('tracking.uri=' + addresses.shown(uri))}"
