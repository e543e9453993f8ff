"""experiment=compare and experiment=scale with real engines and a real store."""

import json
import os
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from backendexp.cli.exit_codes import NOT_TRACKED
from backendexp.runs import events
from support.projects import (
    BY_STEPS,
    QUICK,
    SMALL,
    Project,
    artifact_folder,
    named,
    reached,
    statuses,
    summary_of,
    trained,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("interruptible")]

PAIR = "compare.backends=[theano,tensorflow]"
COMPARE = ("experiment=compare", PAIR, "parity.probes=2", *QUICK)
# Imported by every Python that starts with its folder on the path. Runs of TensorFlow with seed 2 are killed.
DIES_WITH_SEED_2 = """
import os

if os.environ.get("KERAS_BACKEND") == "tensorflow" and "BACKENDEXP_WORKER_START" in os.environ:
    import numpy

    right = numpy.random.RandomState

    class RandomState(right):
        def __init__(self, seed=None):
            if seed == 2:
                os.kill(os.getpid(), 9)
            right.__init__(self, seed)

    numpy.random.RandomState = RandomState
"""


@pytest.fixture(scope="module")
def compared(new_project: Callable[..., Project]) -> tuple[Project, str, str]:
    """A project with a comparison of two backends in three blocks, what it printed, and its progress."""
    project = new_project()
    # The timed runs have dropout and another optimizer, so that one sees that the parity check has neither.
    noisy = ("model.dropout=0.5", "training.optimizer=rmsprop")
    answer = project.run(*COMPARE, *noisy, "compare.blocks=3", "seed=5")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return project, answer.stdout, answer.stderr


def with_role(runs: list[Any], role: str) -> list[Any]:
    return [run for run in trained(runs) if run.data.tags["role"] == role]


def test_every_block_runs_every_backend_once_under_one_seed(compared: tuple[Project, str, str]) -> None:
    runs = with_role(compared[0].tracked(), "timed")
    ran = Counter((run.data.tags["block"], run.data.params["seed"], run.data.tags["backend"]) for run in runs)
    assert ran == {
        (str(n), str(5 + n), backend): 1 for n in (1, 2, 3) for backend in ("theano", "tensorflow")
    }
    for number in "123":
        block = [run for run in runs if run.data.tags["block"] == number]
        assert [run.data.tags["position"] for run in block] == ["1", "2"]
        assert len({run.inputs.dataset_inputs[0].dataset.digest for run in block}) == 1
        assert len({run.data.tags["weights_digest"] for run in block}) == 1


def test_blocks_follow_each_other_and_so_do_their_runs(compared: tuple[Project, str, str]) -> None:
    runs = with_role(compared[0].tracked(), "timed")
    assert [run.data.tags["block"] for run in runs] == ["1", "1", "2", "2", "3", "3"]
    for before, after in pairwise(runs):
        assert before.info.end_time <= after.info.start_time
    assert not any("parallel" in run.data.tags for run in runs)
    assert all(re.fullmatch(r"\d+\.\d\d", run.data.tags["load_average"]) for run in runs)


def test_parity_is_checked_without_dropout_and_apart_from_the_timing(
    compared: tuple[Project, str, str],
) -> None:
    project, printed, _ = compared
    runs = with_role(project.tracked(), "parity")
    places = [(run.data.tags["backend"], run.data.params["parity.probe"]) for run in runs]
    assert places == [("theano", "0"), ("tensorflow", "0"), ("theano", "1"), ("theano", "2")] or places == [
        ("tensorflow", "0"),
        ("theano", "0"),
        ("tensorflow", "1"),
        ("tensorflow", "2"),
    ]
    assert {run.data.params["controls.dropout"] for run in runs} == {"False"}
    assert {run.data.params["training.optimizer"] for run in runs} == {"sgd"}
    assert "Agreement: greatest difference of the loss" in " ".join(printed.split())


def test_warm_up_runs_are_on_disk_and_in_no_store(compared: tuple[Project, str, str]) -> None:
    project, _, progress = compared
    warm = list(project.folder.glob("outputs/*/*/warm-up/*/result.json"))
    assert len(warm) == 2
    assert all(json.loads(path.read_text())["status"] == "FINISHED" for path in warm)
    assert len(trained(project.tracked())) == 10
    assert progress.count("warm-up ") == 2
    answer = project.run("sync")
    assert "0 uploaded, 0 refused, 11 with nothing to upload" in answer.stdout


def test_progress_tells_what_will_be_run_and_where_it_is(compared: tuple[Project, str, str]) -> None:
    *_, progress = compared
    assert re.search(r"against \w+ on keras3, 12 runs: 2 to warm up, 4 to see .*, 6 that are timed", progress)
    for place in ("warm-up 2/2", "parity 4/4", "block 1/3", "block 3/3"):
        assert f"\n{place}  " in progress


def test_summary_run_holds_the_verdict_the_aggregates_and_the_files(
    compared: tuple[Project, str, str],
) -> None:
    project, printed, _ = compared
    summary = summary_of(project.tracked())
    assert summary.info.status == "FINISHED"
    assert summary.data.tags["kind"] == "compare"
    assert summary.data.params["compare.blocks"] == "3"
    baseline = summary.data.params["compare.baseline"]
    other = {"theano": "tensorflow", "tensorflow": "theano"}[baseline]
    metrics = summary.data.metrics
    medians = [metrics[f"{backend}/training_time_s_median"] for backend in (other, baseline)]
    low, ratio, high = (metrics[f"{other}/training_time_s_ratio{end}"] for end in ("_low", "", "_high"))
    assert low <= ratio <= high
    # Of three blocks, the ratio of the medians lies among the ratios of the pairs.
    assert ratio == pytest.approx(medians[0] / medians[1], rel=1.0)
    note = summary.data.tags["mlflow.note.content"]
    assert f"{other}" in note.splitlines()[0]
    assert "training_time_s" in note.splitlines()[0]
    assert "Agreement" in note
    folder = artifact_folder(summary)
    for name in ("report.html", "comparison.md", "comparison.csv", "comparison.json"):
        assert (folder / name).stat().st_size > 100
    assert len(list((folder / "figures").glob("*.svg"))) >= 4
    assert note.splitlines()[0].removeprefix("- ") in " ".join(printed.split())


def test_where_to_look_is_printed(compared: tuple[Project, str, str]) -> None:
    project, printed, _ = compared
    summary = summary_of(project.tracked())
    assert re.search(rf"  summary  http\S+/runs/{summary.info.run_id}\?", printed)
    report = re.search(r"  report  (\S+)", printed)
    assert report is not None
    assert "<html" in Path(report[1]).read_text()


def test_what_is_asked_of_the_store_later_is_what_was_said(compared: tuple[Project, str, str]) -> None:
    project, *_ = compared
    summary = summary_of(project.tracked())
    baseline = ("--baseline", summary.data.params["compare.baseline"])
    answer = project.run("compare", summary.data.tags["sweep"], *baseline, "--format", "json")
    assert answer.returncode == 0, answer.stderr
    then, now = (
        {
            (c["baseline"], c["candidate"], c["measure"]["key"]): (c["ratio"], c["verdict"])
            for c in found["contrasts"]
        }
        for found in (
            json.loads((artifact_folder(summary) / "comparison.json").read_text()),
            json.loads(answer.stdout),
        )
    )
    assert then.keys() == now.keys()
    for key, (ratio, verdict) in then.items():
        assert now[key] == (ratio if ratio is None else pytest.approx(ratio), verdict)


def test_comparison_is_extended_and_judged_by_a_sequential_test(
    compared: tuple[Project, str, str], lab: Project
) -> None:
    project, printed, _ = compared
    assert "sequential" not in printed
    # The other tests need the three blocks.
    shutil.copytree(project.folder, lab.folder, dirs_exist_ok=True)
    folder = next(lab.folder.glob("outputs/*/*"))
    named_so = str(folder.relative_to(lab.folder))
    dry = lab.run("resume", named_so, "compare.blocks=5", "--dry-run")
    assert dry.stdout.count("would be run") == 4
    assert re.search(r"\b10 runs have finished", dry.stdout), dry.stdout
    answer = lab.run("resume", named_so, "compare.blocks=5", f"tracking.uri={lab.store}")
    assert answer.returncode == 0, answer.stderr
    runs = with_role(lab.tracked(), "timed")
    assert Counter(run.data.tags["block"] for run in runs) == dict.fromkeys("12345", 2)
    found = json.loads((folder / "comparison" / "comparison.json").read_text())
    assert "sequential test" in json.dumps(found)
    # The store tells the same as the folder.
    (swept,) = {run.data.tags["sweep"] for run in runs}
    assert "sequential test" in lab.run("compare", swept).stdout


@pytest.fixture
def deadly(new_project: Callable[..., Project], tmp_path: Path) -> Project:
    """A project in which runs of tensorflow with the seed 2 are killed."""
    (tmp_path / "sitecustomize.py").write_text(DIES_WITH_SEED_2)
    before = os.environ.get("PYTHONPATH")
    return new_project(PYTHONPATH=os.pathsep.join(filter(None, [str(tmp_path), before])))


def test_a_run_that_dies_is_a_row_and_the_rest_goes_on(deadly: Project) -> None:
    answer = deadly.run(*COMPARE, "compare.blocks=4", "compare.parity=false", "inference=false")
    assert answer.returncode == 1, answer.stdout + answer.stderr
    runs = deadly.tracked()
    timed = with_role(runs, "timed")
    ended = {(run.data.tags["block"], run.data.tags["backend"]): run.info.status for run in timed}
    assert ended.pop(("2", "tensorflow")) == "FAILED"
    assert set(ended.values()) == {"FINISHED"}
    assert len(ended) == 7
    summary = summary_of(runs)
    assert summary.info.status == "FAILED"
    ratios = [name for name in summary.data.metrics if name.endswith("/training_time_s_ratio")]
    assert len(ratios) == 1
    page = (artifact_folder(summary) / "comparison.md").read_text()
    assert sum("FAILED" in line for line in page.splitlines() if line.startswith("|")) == 1
    (one,) = [c for c in contrasts_of(summary) if c["measure"]["key"] == "training_time_s"]
    assert one["blocks"] == 3


def contrasts_of(summary: Any) -> list[dict[str, Any]]:
    found = json.loads((artifact_folder(summary) / "comparison.json").read_text())
    return list(found["contrasts"])


LONG = (*BY_STEPS, "compare.parity=false", "compare.blocks=100", *QUICK)


def test_ctrl_c_in_the_middle_keeps_what_was_done_and_says_it(lab: Project) -> None:
    begun = lab.start(*LONG)

    def in_block_4() -> bool:
        last = lab.directories()[-1:]
        tags = json.loads((last[0] / "context.json").read_text())["tags"] if last else {}
        return int(tags.get("block", 0)) >= 4

    assert reached(in_block_4, within=200)
    sent = time.monotonic()
    begun.send_signal(signal.SIGINT)
    out, errors = begun.communicate(timeout=100)
    took = time.monotonic() - sent
    assert begun.returncode == 130, errors
    assert took < 40
    assert "Traceback" not in errors
    runs = lab.tracked()
    assert {run.info.status for run in with_role(runs, "timed")[:6]} == {"FINISHED"}
    assert "RUNNING" not in statuses(runs)
    assert re.search(r"ended after \d+ of 200 timed runs", " ".join(out.split()))
    assert summary_of(runs).data.tags["kind"] == "compare"
    assert lab.nothing_runs(within=0)


def test_ctrl_c_before_three_blocks_are_over_gives_no_verdict_and_keeps_the_runs(lab: Project) -> None:
    begun = lab.start(*LONG, "data.samples=20000")
    assert reached(lambda: len(lab.directories()) > 1 and named(lab.events(), "started"), within=200)
    begun.send_signal(signal.SIGINT)
    out, errors = begun.communicate(timeout=100)
    assert begun.returncode == 130, errors
    assert "Traceback" not in errors
    assert "No verdict: " in out
    runs = lab.tracked()
    assert len(trained(runs)) >= 1
    assert "No verdict." in summary_of(runs).data.tags["mlflow.note.content"]


def test_ctrl_c_during_the_warm_up_leaves_nothing_in_the_store(lab: Project) -> None:
    begun = lab.start(*COMPARE, "data.samples=20000", "training.epochs=100000")

    def warming_up() -> bool:
        logs = lab.folder.glob("outputs/*/*/warm-up/*/events.jsonl")
        return any(named(events.read(log), "epoch") for log in logs)

    assert reached(warming_up, within=200)
    begun.send_signal(signal.SIGINT)
    out, errors = begun.communicate(timeout=60)
    assert begun.returncode == 130, errors
    assert "Nothing was measured" in out
    assert lab.tracked() == []
    assert lab.nothing_runs(within=0)


@pytest.mark.extended
def test_a_comparison_whose_store_is_away_is_on_disk(lab: Project) -> None:
    away = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    answer = lab.run(*COMPARE, "compare.blocks=3", "compare.parity=false", **away)
    assert answer.returncode == NOT_TRACKED, answer.stdout + answer.stderr
    assert "http://127.0.0.1:9" in answer.stderr
    assert len(list(lab.folder.glob("outputs/*/*/comparison/report.html"))) == 1
    synced = lab.run("sync", "--uri", lab.store)
    assert "7 uploaded" in synced.stdout, synced.stdout + synced.stderr
    summary = summary_of(lab.tracked())
    assert summary.data.params["compare.blocks"] == "3"
    assert "training_time_s" in summary.data.tags["mlflow.note.content"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["backend=theano"], "backend=theano names one backend, but experiment=compare runs several"),
        (["-m", "seed=1,2"], "it cannot be a job of a sweep"),
        (["compare.backends=[tensorflow]"], "expected two or more different ones"),
        (["compare.blocks=1"], "compare.blocks is 1: expected a number from 3"),
        (["compare.backends=[jax,theano]", "runtime=keras2"], "is not offered by runtime 'keras2'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_compared_is_told_before_anything_runs(
    arguments: list[str], said: str, empty_lab: Project
) -> None:
    answer = empty_lab.run("experiment=compare", *arguments)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert list(empty_lab.folder.iterdir()) == []


@pytest.mark.extended
def test_the_tutorials_versions_are_compared_on_their_runtime(lab: Project, keras2_python: str) -> None:
    answer = lab.run("experiment=compare", "runtime=keras2", "compare.blocks=3", *SMALL, timeout=550)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    runs = trained(lab.tracked())
    assert {(run.data.tags["engine"], run.data.tags["keras_version"]) for run in runs} == {
        ("TensorFlow", "2.3.1"),
        ("Theano", "2.3.1"),
    }
    assert "Agreement" in answer.stdout
    # The warm-up has seen to that.
    assert {run.data.tags.get("compile_cache") for run in runs} <= {"filled", None}


# -- scale -------------------------------------------------------------------------------------------

SCALE = (
    "experiment=scale",
    "scale.backends=[theano,tensorflow]",
    "scale.samples=[256,1024]",
    "scale.hidden_units=[16,64]",
    "scale.repeats=2",
    "data.samples=256",
    "data.features=8",
    "data.test_samples=64",
    "model.hidden_units=[16,16]",
    "model.dropout=0",
    "training.optimizer=sgd",
    "inference=false",
    "threads=1",
)


def test_scale_runs_every_size_and_draws_how_the_backends_grow(lab: Project) -> None:
    answer = lab.run(*SCALE, timeout=500)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    runs = lab.tracked()
    sizes = Counter(
        (run.data.params["data.samples"], run.data.params["model.hidden_units"], run.data.tags["backend"])
        for run in trained(runs)
    )
    assert sizes == {
        (samples, units, backend): 2
        for samples, units in (("256", "[16, 16]"), ("1024", "[16, 16]"), ("256", "[64, 64]"))
        for backend in ("theano", "tensorflow")
    }
    assert {run.data.params["training.epochs"] for run in trained(runs)} == {"3"}
    assert len(list(lab.folder.glob("outputs/*/*/warm-up/*/result.json"))) == 6
    summary = summary_of(runs)
    assert (summary.info.status, summary.data.tags["kind"]) == ("FINISHED", "scale")
    curve = lab.history(summary, "theano/training_time_s_by_samples")
    assert [point.step for point in curve] == [256, 1024]
    assert all(point.value > 0 for point in curve)
    folder = artifact_folder(summary)
    assert len(list((folder / "figures").glob("*.svg"))) == 6
    assert (folder / "scale.html").read_text().count("<svg") == 6
    assert "| samples | backend | finished |" in summary.data.tags["mlflow.note.content"]
    assert "2 of 2" in answer.stdout
    assert re.search(r"  report  \S+scale\.html", answer.stdout)


def test_a_size_that_fails_is_a_row_and_the_rest_goes_on(deadly: Project) -> None:
    answer = deadly.run(*SCALE, "scale.hidden_units=[]", timeout=500)
    assert answer.returncode == 1, answer.stdout + answer.stderr
    runs = deadly.tracked()
    ended = Counter(
        (run.data.tags["backend"], run.data.params["seed"], run.info.status) for run in trained(runs)
    )
    assert ended == {
        ("theano", "1", "FINISHED"): 2,
        ("theano", "2", "FINISHED"): 2,
        ("tensorflow", "1", "FINISHED"): 2,
        ("tensorflow", "2", "FAILED"): 2,
    }
    assert summary_of(runs).info.status == "FAILED"
    assert "| 1,024 | tensorflow | 1 of 2 |" in summary_of(runs).data.tags["mlflow.note.content"]
