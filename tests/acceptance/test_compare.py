"""Two real sweeps, compared in every format: from the database, and from a server."""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable

import pytest

from backendexp.runs import sweep_ids
from support.projects import QUICK, Project, client_of, trained

pytestmark = pytest.mark.slow

BACKENDS = ("theano", "tensorflow")


@pytest.fixture(scope="module")
def swept(new_project: Callable[..., Project]) -> tuple[Project, list[str]]:
    """A project with two sweeps of four seeds on two backends, and the ids of the sweeps, oldest first."""
    project = new_project()
    folders = ("day/first", "day/second")
    for folder in folders:
        answer = project.run(
            "-m",
            *QUICK,
            "inference=false",
            "seed=range(4)",
            f"backend={','.join(BACKENDS)}",
            f"hydra.sweep.dir=multirun/{folder}",
        )
        assert answer.returncode == 0, answer.stderr
    ids = [sweep_ids.id_in(project.folder / "multirun" / folder) for folder in folders]
    assert all(ids)
    return project, [str(identity) for identity in ids]


def rows_of(printed: str) -> dict[tuple[str, str], dict[str, str]]:
    return {(row["group"], row["measure"]): row for row in csv.DictReader(io.StringIO(printed))}


def test_the_latest_sweep_is_compared_backend_by_backend(swept: tuple[Project, list[str]]) -> None:
    project, (_, second) = swept
    answer = project.run("compare")
    assert answer.returncode == 0, answer.stderr
    assert (
        answer.stderr == f"backendexp: comparing the latest sweep that has more than one backend: {second}\n"
    )
    assert answer.stdout.startswith(f"# tensorflow, theano: sweep {second}\n")
    assert "training_time_s" in answer.stdout.splitlines()[2]
    assert "4 of 4 | 4 of 4" in answer.stdout
    assert answer.stdout.count(" FINISHED |") == 8


def test_what_is_written_is_what_was_tracked(swept: tuple[Project, list[str]]) -> None:
    project, (first, _) = swept
    answer = project.run("compare", "multirun/day/first", "--format", "json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    tracked = {run.info.run_id: run for run in project.tracked() if run.data.tags.get("sweep") == first}
    told = [run for group in found["groups"] for run in group["runs"]]
    assert sorted(group["backend"] for group in found["groups"]) == sorted(BACKENDS)
    assert len(told) == 8
    for run in told:
        stored = tracked[run["run_id"]]
        assert run["values"]["training_time_s"] == stored.data.metrics["training_time_s"]
        assert run["loss_by_epoch"] == [value.value for value in project.history(stored, "train/loss")]
    contrast = next(c for c in found["contrasts"] if c["measure"]["key"] == "training_time_s")
    assert contrast["blocks"] == 4
    assert contrast["low"] < contrast["ratio"] < contrast["high"]
    written = rows_of(project.run("compare", first, "--format", "csv").stdout)
    assert float(written[contrast["candidate"], "training_time_s"]["ratio"]) == contrast["ratio"]


def test_the_report_is_a_page_of_its_own(swept: tuple[Project, list[str]]) -> None:
    project, (first, _) = swept
    answer = project.run("compare", first, "--format", "html", "--output", "first.html")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "first.html\n"
    page = (project.folder / "first.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert all(backend in page for backend in BACKENDS)


def test_a_limit_decides_the_exit_code(swept: tuple[Project, list[str]]) -> None:
    project, (first, _) = swept
    wide = project.run("compare", first, "--fail-if", "training_time_s > 1000", "--fail-if", "loss > 100")
    assert wide.returncode == 0, wide.stderr
    narrow = project.run("compare", first, "--fail-if", "training_time_s > 0.000001")
    assert narrow.returncode == 1
    assert "theano against tensorflow: yes, the ratio is " in narrow.stderr
    assert narrow.stdout.startswith("# tensorflow, theano")


def test_two_sweeps_of_equal_work_are_compared_with_each_other(swept: tuple[Project, list[str]]) -> None:
    project, (first, second) = swept
    answer = project.run("compare", first, second, "--format", "csv", "--baseline", first)
    assert answer.returncode == 0, answer.stderr
    found = rows_of(answer.stdout)
    for backend in BACKENDS:
        row = found[f"{backend}, {second}", "loss"]
        assert row["baseline"] == f"{backend}, {first}"
        assert int(row["blocks"]) == 4
        # The same seeds on the same backend: the same training, to the last digits.
        assert abs(float(row["difference"])) < 1e-5
        assert row["verdict"] == "equivalent"


def test_a_server_tells_what_its_database_does(
    swept: tuple[Project, list[str]], serve: Callable[..., str]
) -> None:
    project, (first, _) = swept
    from_database = project.run("compare", first, "--format", "json")
    address = serve(project)
    from_server = project.run("compare", first, "--format", "json", f"tracking.uri={address}")
    assert from_server.returncode == 0, from_server.stderr
    assert json.loads(from_server.stdout) == json.loads(from_database.stdout)


def test_runs_that_were_deleted_are_told_and_come_back(
    swept: tuple[Project, list[str]], lab: Project
) -> None:
    project, (first, _) = swept
    # The other tests need these runs.
    shutil.copytree(project.folder, lab.folder, dirs_exist_ok=True)
    client = client_of(lab.store)
    ids = [run.info.run_id for run in trained(lab.tracked()) if run.data.tags["sweep"] == first]
    for run_id in ids:
        client.delete_run(run_id)
    answer = lab.run("compare", "day/first")
    assert answer.returncode == 2
    of = f"sweep {first} of experiment 'backendexp'"
    assert f"all runs of {of} are deleted, {len(ids)} in number" in answer.stderr
    line = re.search(r"mlflow (runs restore --run-id (\w+))", answer.stderr)
    assert line is not None
    restored = lab.run(*line[1].split(), module="mlflow", MLFLOW_TRACKING_URI=lab.store)
    assert restored.returncode == 0, restored.stderr
    for run_id in ids:
        if run_id != line[2]:
            client.restore_run(run_id)
    assert lab.run("compare", "day/first").returncode == 0
