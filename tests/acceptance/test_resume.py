"""A sweep or a comparison that was cut short is continued: nothing is lost, and nothing is run twice."""

import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.projects import QUICK, Project, named, reached, trained

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("interruptible")]

# The second job takes some seconds.
CUT_SHORT = ("-m", *QUICK, "backend=theano", "seed=1", "training.epochs=2,4000,3")


def sweep_folder(project: Project) -> str:
    (folder,) = (project.folder / "multirun").glob("*/*/")
    return str(folder.relative_to(project.folder))


def by_status(runs: list[Any]) -> Counter[tuple[str, str]]:
    return Counter((run.data.params["training.epochs"], run.info.status) for run in trained(runs))


@pytest.mark.parametrize("kill", ["parent", pytest.param("Ctrl-C", marks=pytest.mark.extended)])
def test_what_is_missing_of_a_sweep_is_run_and_the_rest_is_not(lab: Project, kill: str) -> None:
    begun = lab.start(*CUT_SHORT)
    assert reached(lambda: named(lab.events(1), "epoch"), 120)
    begun.send_signal(signal.SIGKILL if kill == "parent" else signal.SIGINT)
    begun.communicate(timeout=60)
    folder = sweep_folder(lab)
    first = lab.directories()[0]
    shown = lab.run("resume", folder, "--dry-run")
    assert shown.stdout.count("would be run") == 2
    assert "1 runs have finished" in shown.stdout
    # Another number of epochs is another plan.
    refused = lab.run("resume", folder, "training.epochs=3,4")
    assert refused.returncode == 2
    assert "holds 2 runs that these settings leave out" in refused.stderr
    answer = lab.run("resume", folder)
    assert answer.returncode == 0, answer.stderr
    assert "which has 1 FINISHED, 1 KILLED" in answer.stderr
    runs = lab.tracked()
    assert by_status(runs) == {
        ("2", "FINISHED"): 1,
        ("4000", "KILLED"): 1,
        ("4000", "FINISHED"): 1,
        ("3", "FINISHED"): 1,
    }
    assert lab.directories()[0] == first
    assert len({run.data.tags["sweep"] for run in runs}) == 1
    assert "1 earlier runs were repeated" in answer.stdout
    summary = [run for run in runs if "kind" in run.data.tags][-1]
    assert "3 of 3" in summary.data.tags["mlflow.note.content"]


def test_same_command_in_the_same_folder_runs_nothing_again_and_another_sweep_is_its_own(
    lab: Project,
) -> None:
    command = ["-m", *QUICK, "backend=theano", "seed=1,2", "hydra.sweep.dir=multirun/day/one"]
    assert lab.run(*command).returncode == 0
    again = lab.run(*command)
    assert again.returncode == 0, again.stderr
    assert len(trained(lab.tracked())) == 2
    more = lab.run(*command[:-2], "seed=range(1,5)", command[-1])
    assert more.returncode == 0, more.stderr
    assert len(trained(lab.tracked())) == 4
    assert "2 FINISHED" in more.stderr
    everything = lab.run(*command[:-2], "seed=range(1,5)", command[-1], "resume=redo")
    assert everything.returncode == 0, everything.stderr
    assert len(trained(lab.tracked())) == 8
    assert "4 of 4" in everything.stdout
    assert "4 earlier runs were repeated" in everything.stdout
    # Seeds that were not in it are another sweep.
    assert lab.run(*command[:-2], "seed=8,9", command[-1]).returncode == 0
    runs = trained(lab.tracked())
    assert len(runs) == 10
    sweeps = {seed: {r.data.tags["sweep"] for r in runs if r.data.params["seed"] == seed} for seed in "1489"}
    assert sweeps["1"] == sweeps["4"] != sweeps["8"] == sweeps["9"]
    assert {len(found) for found in sweeps.values()} == {1}


def test_comparison_runs_until_it_is_decided(lab: Project) -> None:
    answer = lab.run(
        *("experiment=compare", "compare.backends=[theano,tensorflow]", "compare.parity=false"),
        *(*QUICK, "compare.until=decided", "compare.blocks=40"),
    )
    assert answer.returncode == 0, answer.stderr
    timed = [run for run in trained(lab.tracked()) if run.data.tags.get("role") == "timed"]
    assert 10 <= len(timed) < 80
    assert "sequential test" in answer.stdout
    assert "faster" in answer.stdout


def test_folder_without_a_sweep_is_refused(empty_lab: Project, tmp_path: Path) -> None:
    for folder in (str(tmp_path), str(tmp_path / "nothing")):
        answer = empty_lab.run("resume", folder)
        assert answer.returncode == 2
        assert answer.stderr.startswith(f"backendexp: {folder} holds no sweep or experiment")
    assert list(empty_lab.folder.iterdir()) == []


def test_jobs_that_leave_no_record_are_a_failure(lab: Project, tmp_path: Path) -> None:
    """As on a cluster whose machines do not share the folder: here the jobs write into another one."""
    elsewhere = f"hydra.sweep.subdir={tmp_path}/${{hydra.job.num}}"
    answer = lab.run("-m", *QUICK, "backend=theano", "seed=1,2", elsewhere)
    assert answer.returncode == 1
    assert "2 of 2 runs left no record in " in answer.stderr


@pytest.mark.extended
def test_a_sweep_that_is_killed_at_any_moment_is_completed_by_the_same_command(
    new_project: Callable[..., Project],
) -> None:
    command = ["-m", *QUICK, "backend=theano", "seed=range(4)", "hydra.sweep.dir=multirun/day/one"]
    began = time.monotonic()
    assert new_project().run(*command).returncode == 0
    whole = time.monotonic() - began
    for moment in range(1, 11):
        project = new_project()
        begun = project.start(*command)
        time.sleep(whole * moment / 11)
        begun.kill()
        begun.communicate(timeout=60)
        answer = project.run(*command)
        assert answer.returncode == 0, answer.stderr
        assert "4 of 4" in answer.stdout
        runs = trained(project.tracked())
        finished = Counter(r.data.params["seed"] for r in runs if r.info.status == "FINISHED")
        assert finished == dict.fromkeys("0123", 1)
        assert {r.info.status for r in runs} <= {"FINISHED", "KILLED"}
        assert len({r.data.tags["sweep"] for r in runs}) == 1
