"""Runs that MLflow's own tool has copied to another store compare the same there.

https://github.com/mlflow/mlflow-export-import
"""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import streams
from support.projects import QUICK, Project, statuses
from support.servers import Servers
from support.stores import Store, spec_of

# The tool is installed into an environment of its own, which takes a minute or two.
pytestmark = [pytest.mark.slow, pytest.mark.extended]

# It imports tabulate without asking for it.
TOOL = ("mlflow-export-import==1.2.0", "tabulate")
SWEEP = "2026-11-22/10-00-00"


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tool's commands."""
    folder = tmp_path_factory.mktemp("tool")
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    subprocess.run([programs / "pip", "install", "--quiet", *TOOL], check=True, capture_output=True)
    return programs


def test_runs_of_another_store_compare_the_same(
    tool: Path, new_project: Callable[..., Project], serve: Servers, empty_store: bytes
) -> None:
    lab, other = new_project(), new_project()
    original = Store(lab.folder, empty_store)
    original.sweep(SWEEP, {"jax": 1.0, "theano": 1.5}, range(8))
    original.track(spec_of("theano", seed=9), streams.killed_in_epoch_3(), {"sweep": SWEEP})
    trained = lab.run("-m", *QUICK, "seed=range(4)", "backend=jax,theano")
    assert trained.returncode == 0, trained.stderr

    # The tool cannot import into a database, because it does not know the error with which a database tells
    # that an experiment exists already.
    server = serve(other)
    exported = str(other.folder / "exported")
    move(tool, "export-experiment", lab.store, "--experiment", "backendexp", "--output-dir", exported)
    move(tool, "import-experiment", server, "--experiment-name", "backendexp", "--input-dir", exported)
    copies = other.tracked(server)
    # The tool loses this. Otherwise the test would prove nothing.
    assert set(statuses(copies)) == {"FINISHED"}
    assert not any(run.inputs.dataset_inputs for run in copies)

    renamed = dict(zip(by_record(lab.tracked()), by_record(copies), strict=True))
    for arguments in ([], [SWEEP], [SWEEP, "--baseline", "theano", "--format", "json"], ["--all"]):
        before = lab.run("compare", *arguments)
        after = other.run("compare", *arguments, f"tracking.uri={server}")
        assert (before.returncode, after.returncode) == ((2, 2) if arguments == ["--all"] else (0, 0))
        said = [before.stdout, before.stderr]
        for old, new in renamed.items():
            said = [text.replace(old, new).replace(old[:8], new[:8]) for text in said]
        assert after.stderr == said[1]
        if "json" in arguments:  # its tags are in the order in which a store returns them
            assert json.loads(after.stdout) == json.loads(said[0])
        else:
            assert after.stdout == said[0]


def move(tool: Path, command: str, store: str, *arguments: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    moved = subprocess.run(
        [tool / command, *arguments],
        env={**kept, "MLFLOW_TRACKING_URI": store},
        capture_output=True,
        text=True,
    )
    assert moved.returncode == 0, moved.stderr


def by_record(runs: list[Any]) -> list[str]:
    """The ids of the runs in the order of their records, which are the same in both stores."""
    return [run.info.run_id for run in sorted(runs, key=lambda run: run.data.tags["backendexp.record"])]
