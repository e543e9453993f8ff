"""Several jobs at once on one machine: every job is waited for, and none is left behind."""

import json
import os
import signal
from pathlib import Path

import pytest

from support.projects import BY_STEPS, ENDLESS, QUICK, Project, named, reached, statuses, summary_of, trained

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("interruptible")]

TWO_AT_ONCE = ("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "backend=theano")


def both_train(lab: Project) -> bool:
    runs = lab.directories()
    return len(runs) >= 2 and all(named(lab.events(n), "epoch") for n in range(2))


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.extended)],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_an_interrupted_sweep_cancels_its_jobs_and_records_them(
    lab: Project, number: signal.Signals, code: int
) -> None:
    begun = lab.start(*TWO_AT_ONCE, *ENDLESS, "seed=range(3)")
    assert reached(lambda: both_train(lab), within=90)
    begun.send_signal(number)
    out, errors = begun.communicate(timeout=90)
    assert begun.returncode == code, errors
    assert "Traceback" not in errors
    runs = lab.tracked()
    assert statuses(trained(runs)) == ["KILLED", "KILLED"]
    assert "RUNNING" not in out
    assert "the sweep ended after 2 of 3 runs" in out
    assert "job 2 (seed=2): it was cancelled before it began" in errors
    assert summary_of(runs).info.status == "FAILED"
    assert lab.nothing_runs(within=5)


def test_a_killed_job_is_a_row_with_its_reason_and_the_others_are_run(lab: Project) -> None:
    # Two of the four jobs train until the first is killed; the others would have waited for their turn.
    epochs = "training.epochs=1000000,3"
    begun = lab.start(*TWO_AT_ONCE, *ENDLESS, epochs, "seed=0,1", "data.samples=2000", "timeout_s=15")
    assert reached(lambda: bool(jobs_begun(lab)), within=90)
    assert reached(lambda: both_train(lab), within=90)
    os.kill(int(jobs_begun(lab)[0]["backendexp.pid"]), signal.SIGKILL)
    out, errors = begun.communicate(timeout=200)
    assert begun.returncode == 1, errors
    runs = trained(lab.tracked())
    assert len(runs) == 4, out + errors
    assert "RUNNING" not in statuses(runs)
    assert statuses(runs).count("FINISHED") == 2
    assert "the process that ran it was killed" in errors + out or any(
        "killed" in run.data.tags["mlflow.note.content"] for run in runs if run.info.status == "KILLED"
    )
    assert lab.nothing_runs(within=5)


def jobs_begun(lab: Project, folder: str = "multirun") -> list[dict[str, str]]:
    files = sorted(Path(lab.folder).glob(f"{folder}/*/*/.jobs/*.json"))
    return [json.loads(file.read_text()) for file in files]


@pytest.mark.extended  # In CI, one block at a time has the machine to itself.
def test_one_job_at_a_time_has_the_machine_to_itself(lab: Project) -> None:
    answer = lab.run(*TWO_AT_ONCE, "hydra.launcher.n_jobs=1", *QUICK, "seed=0,1")
    assert answer.returncode == 0, answer.stderr
    runs = trained(lab.tracked())
    assert statuses(runs) == ["FINISHED", "FINISHED"]
    assert not any("parallel" in run.data.tags for run in runs)
    assert answer.stderr.count("FINISHED") == 2


BLOCKS = (*BY_STEPS, "compare.blocks=3", "hydra/launcher=joblib")


def test_the_blocks_of_a_comparison_are_jobs(lab: Project) -> None:
    answer = lab.run(*BLOCKS, "hydra.launcher.n_jobs=1", *QUICK)
    assert answer.returncode == 0, answer.stderr
    runs = trained(lab.tracked())
    blocks = [run for run in runs if run.data.tags["role"] == "timed"]
    assert sorted((r.data.tags["block"], r.data.params["training.steps_per_execution"]) for r in blocks) == [
        (block, steps) for block in "123" for steps in "12"
    ]
    assert statuses(runs) == ["FINISHED"] * len(runs)
    assert len(runs) > len(blocks)  # the parity part
    # One block at a time has the machine to itself, so its times are judged.
    assert not any("parallel" in run.data.tags for run in runs)
    assert "ran beside others" not in answer.stdout
    assert summary_of(lab.tracked()).data.params["compare.blocks"] == "3"
    assert answer.stderr.count("block 2/3  theano on keras3") == 2
    # The first block on a machine warms up both sides, and the others find them warm.
    (folder,) = (lab.folder / "outputs").glob("*/*")
    assert len(list(folder.glob("*/warm-up/*/result.json"))) == 2
    assert len(list(folder.glob("block-*/theano*/result.json"))) == 6

    again = lab.run("resume", str(folder), "compare.blocks=4")
    assert again.returncode == 0, again.stderr
    assert again.stderr.count(": FINISHED") == 2
    assert len(list(folder.glob("block-*/theano*/result.json"))) == 8


@pytest.mark.extended
def test_a_block_that_was_killed_is_made_again_by_resume(lab: Project) -> None:
    begun = lab.start(
        *BLOCKS, "hydra.launcher.n_jobs=2", "compare.parity=false", *QUICK, "training.epochs=3000"
    )
    assert reached(lambda: len(jobs_begun(lab, "outputs")) >= 2, within=90)
    assert reached(lambda: both_train(lab), within=90)
    os.kill(int(jobs_begun(lab, "outputs")[0]["backendexp.pid"]), signal.SIGKILL)
    out, errors = begun.communicate(timeout=300)
    assert begun.returncode == 1, errors
    assert "RUNNING" not in statuses(lab.tracked())
    assert "No verdict: " in out
    assert lab.nothing_runs(within=5)
    (folder,) = (lab.folder / "outputs").glob("*/*")
    again = lab.run("resume", str(folder))
    assert again.returncode == 0, again.stderr
    finished = [run for run in trained(lab.tracked()) if run.info.status == "FINISHED"]
    assert len({(r.data.tags["block"], r.data.tags["position"]) for r in finished}) == len(finished) == 6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compare.until=decided",), "a launcher cannot run the blocks. Leave out hydra/launcher"),
        (("hydra.launcher.n_jobs=0",), "hydra.launcher.n_jobs is 0: expected a number of processes"),
    ],
    ids=["decided", "none"],
)
def test_experiment_that_a_launcher_cannot_run_is_refused(
    lab: Project, words: tuple[str, ...], said: str
) -> None:
    answer = lab.run(*BLOCKS, *QUICK, *words)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not list(lab.folder.glob("**/starts.jsonl"))
