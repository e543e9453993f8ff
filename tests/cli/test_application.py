"""Experiments run from their configuration to their conclusion, with small scripts as workers."""

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backendexp.cli import application, exit_codes
from backendexp.cli.application import Application
from backendexp.errors import ConfigError, TrackingError
from backendexp.runs import record, sweep_ids
from support.applications import COMPARE, IN_MEMORY, run
from support.memory import MemoryTracker
from support.sessions import RefusingTracker


def tags_of(tracker: MemoryTracker) -> list[dict[str, str]]:
    """Return the tags of the runs, without those of the summary."""
    return [report.tags for report in tracker.reports.values() if "kind" not in report.tags]


SCALE = (
    "experiment=scale",
    "scale.backends=[tensorflow,theano]",
    "scale.samples=[64,256]",
    "scale.hidden_units=[]",
    "scale.repeats=2",
    IN_MEMORY,
)


def test_comparison_runs_warm_up_parity_and_blocks_and_sums_them_up(
    start: Callable[..., Application], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = MemoryTracker()
    assert run(start("finishes", tracker), project, *COMPARE) == exit_codes.OK
    tags = tags_of(tracker)
    assert Counter(t["role"] for t in tags) == {"parity": 4, "timed": 6}
    assert Counter((t["block"], t["backend"]) for t in tags if t["role"] == "timed") == {
        (block, backend): 1 for block in "123" for backend in ("tensorflow", "theano")
    }
    (swept,) = {t["sweep"] for t in tags}
    assert sweep_ids.name_of(swept) == "2026-01-01/10-00-00"
    assert not any("parallel" in t for t in tags)
    (summary,) = [r for r in tracker.reports.values() if "kind" in r.tags]
    assert (summary.tags["kind"], summary.status) == ("compare", "FINISHED")
    assert summary.params["compare.baseline"] == "tensorflow"
    names = {metric.key for metric in summary.metrics}
    assert {"theano/training_time_s_median", "theano/training_time_s_ratio_low"} <= names
    folder = project / "outputs/2026-01-01/10-00-00/comparison"
    assert summary.artifacts == [folder]
    for name in ("report.html", "comparison.md", "comparison.csv", "comparison.json"):
        assert (folder / name).stat().st_size > 0
    assert list((folder / "figures").glob("*.svg"))
    printed = capsys.readouterr()
    assert f"  report  {folder / 'report.html'}" in printed.out
    assert "theano against tensorflow on keras3, 12 runs: 2 to warm up, 4 to see that they" in printed.err
    assert printed.err.count("block 3/3  ") == 2
    assert printed.err.count("warm-up ") == 2


def test_warm_up_runs_are_in_a_separate_folder_and_in_no_store(
    start: Callable[..., Application], project: Path
) -> None:
    tracker = MemoryTracker()
    app = start("finishes", tracker)
    run(app, project, *COMPARE)
    warm = [r for r in app.session.records if "warm-up" in r.directory.parts]
    assert len(warm) == 2
    assert {r.context.kind for r in warm} == {"none"}
    assert not {r.context.id for r in warm} & {t["backendexp.record"] for t in tracker.tags.values()}
    assert len(record.find([project / "outputs"])) == 10


def test_comparison_continues_after_failed_runs_and_exits_with_1(
    start: Callable[..., Application], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = MemoryTracker()
    code = run(start("reports_a_killed_run", tracker), project, *COMPARE, "compare.parity=false")
    assert code == exit_codes.RUN_FAILED
    assert len(tags_of(tracker)) == 6
    (summary,) = [r for r in tracker.reports.values() if "kind" in r.tags]
    assert summary.status == "FAILED"
    assert summary.tags["mlflow.note.content"].startswith("**No verdict.** ")
    assert summary.params["compare.blocks"] == "3"
    printed = capsys.readouterr().out
    assert "No verdict: " in printed
    assert printed.count("killed_by_signal") == 6


def test_comparison_without_the_parity_part_has_no_such_runs(
    start: Callable[..., Application], project: Path
) -> None:
    tracker = MemoryTracker()
    assert run(start("finishes", tracker), project, *COMPARE, "compare.parity=false") == exit_codes.OK
    assert {t["role"] for t in tags_of(tracker)} == {"timed"}


def test_comparison_whose_store_is_unreachable_is_complete_on_disk(
    start: Callable[..., Application], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    away = "tracking.uri='http://127.0.0.1:9'"
    assert run(start("finishes"), project, *COMPARE[:-1], away) == exit_codes.NOT_TRACKED
    folder = project / "outputs/2026-01-01/10-00-00"
    found = json.loads((folder / "comparison" / "comparison.json").read_text())
    assert found
    printed = capsys.readouterr()
    assert "http://127.0.0.1:9" in printed.err
    assert f"upload them with  backendexp sync {folder}" in printed.out
    assert f"report  {folder}/comparison/report.html" in printed.out


def test_tables_and_summary_run_survive_a_figure_that_cannot_be_drawn(
    start: Callable[..., Application], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = MemoryTracker()
    assert run(start("reports_huge_losses", tracker), project, *COMPARE) == exit_codes.RUN_FAILED
    folder = project / "outputs/2026-01-01/10-00-00/comparison"
    printed = capsys.readouterr().out
    assert "figures/learning-curves.svg is missing: ValueError" in printed
    assert "This is a defect of backendexp" in printed
    assert "theano and tensorflow are equivalent in training_time_s" in " ".join(printed.split())
    assert f"  report  {folder / 'report.html'}" in printed
    (summary,) = [r for r in tracker.reports.values() if "kind" in r.tags]
    assert summary.status == "FAILED"
    assert summary.tags["mlflow.note.content"].startswith("- figures/learning-curves.svg is missing")
    assert "theano/training_time_s_ratio" in {metric.key for metric in summary.metrics}
    assert summary.artifacts == [folder]
    assert not (folder / "figures/learning-curves.svg").exists()


def test_summary_that_the_store_refused_is_reported_with_how_to_upload_it(
    start: Callable[..., Application], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class GoneAtTheEnd(MemoryTracker):
        def begin(
            self, record_id: str, name: str, start_ms: int, tags: dict[str, str], run_id: str | None
        ) -> str:
            if "kind" in tags:
                raise TrackingError("the store is away")
            return super().begin(record_id, name, start_ms, tags, run_id)

    assert run(start("finishes", GoneAtTheEnd()), project, *COMPARE) == exit_codes.NOT_TRACKED
    printed = capsys.readouterr()
    assert "backendexp: the store is away" in printed.err
    assert f"upload them with  backendexp sync {project / 'outputs/2026-01-01/10-00-00'}" in printed.out


def test_interrupted_comparison_reports_the_finished_runs(
    start: Callable[..., Application],
    project: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracker = MemoryTracker()
    app = start("finishes", tracker)
    done = 0
    real = app.session.run

    def interrupted_in_block_4(*arguments: Any, **more: Any) -> Any:
        nonlocal done
        done += more["tags"].get("block") == "4"
        if done:
            raise KeyboardInterrupt
        return real(*arguments, **more)

    monkeypatch.setattr(app.session, "run", interrupted_in_block_4)
    with pytest.raises(KeyboardInterrupt):
        run(app, project, *COMPARE, "compare.blocks=5")
    printed = capsys.readouterr().out
    assert "The comparison ended after 6 of 10 timed runs." in " ".join(printed.split())
    (summary,) = [r for r in tracker.reports.values() if "kind" in r.tags]
    assert "theano/training_time_s_ratio" in {metric.key for metric in summary.metrics}


def test_interrupt_during_the_warm_up_reports_that_nothing_was_measured(
    start: Callable[..., Application],
    project: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = start("finishes", MemoryTracker())

    def interrupted(*arguments: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(app.session, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(app, project, *COMPARE)
    assert "Nothing was measured, so there is nothing to conclude." in capsys.readouterr().out


def test_summary_of_a_comparison_uses_the_run_that_mlflow_created(
    start: Callable[..., Application], project: Path
) -> None:
    tracker = MemoryTracker()
    app = start("finishes", tracker)
    app.session.joined = "f" * 32
    run(app, project, *COMPARE)
    assert tracker.reports["f" * 32].tags["kind"] == "compare"
    assert tracker.reports["f" * 32].joined


def test_scale_runs_its_sizes_and_sums_them_up(
    start: Callable[..., Application], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = MemoryTracker()
    assert run(start("finishes", tracker), project, *SCALE) == exit_codes.OK
    runs = [report for report in tracker.reports.values() if "kind" not in report.tags]
    sizes = Counter((one.params["data.samples"], one.tags["backend"]) for one in runs)
    assert sizes == {(n, backend): 2 for n in ("64", "256") for backend in ("tensorflow", "theano")}
    (summary,) = [r for r in tracker.reports.values() if "kind" in r.tags]
    assert summary.tags["kind"] == "scale"
    by_size = [(m.step, m.value) for m in summary.metrics if m.key == "theano/training_time_s_by_samples"]
    assert by_size == [(64, 1.5), (256, 1.5)]
    printed = capsys.readouterr()
    assert "  report  " in printed.out
    assert "repeat 2/2, 256 samples, layers 16  " in printed.err


def test_parity_is_an_experiment_too(start: Callable[..., Application], project: Path) -> None:
    """Real engines test its conclusion elsewhere, because these workers do not run on Python 3.7."""
    tracker = MemoryTracker()
    run(start("finishes", tracker), project, "experiment=parity", IN_MEMORY)
    assert {t["role"] for t in tags_of(tracker)} == {"parity"}
    (summary,) = [r for r in tracker.reports.values() if "kind" in r.tags]
    assert summary.tags["kind"] == "parity"


@pytest.mark.parametrize("at", ["begin", "end"])
@pytest.mark.parametrize(
    ("mode", "asked"),
    [
        ("RUN", (IN_MEMORY, "backend=jax")),
        ("MULTIRUN", (IN_MEMORY, "backend=jax")),
        ("RUN", COMPARE),
        ("RUN", SCALE),
    ],
    ids=["run", "sweep", "compare", "scale"],
)
def test_runs_that_the_store_refused_have_their_own_exit_code(
    at: str, mode: str, asked: tuple[str, ...], start: Callable[..., Application], project: Path
) -> None:
    app = start("finishes", RefusingTracker(at))
    assert run(app, project, *asked, mode=mode) == exit_codes.NOT_TRACKED == 3


def test_sweep_that_the_store_accepted_only_in_part_is_not_tracked(
    start: Callable[..., Application], project: Path
) -> None:
    class FullAfterOne(MemoryTracker):
        def begin(self, *arguments: Any) -> str:
            if len(self.statuses) == 1:
                raise TrackingError("the disk is full")
            return super().begin(*arguments)

    tracker = FullAfterOne()
    assert run(start("finishes", tracker), project, *COMPARE) == exit_codes.NOT_TRACKED
    assert list(tracker.statuses.values()) == ["FINISHED"]


def test_failed_run_determines_the_exit_code_before_an_unreachable_store(
    start: Callable[..., Application], project: Path
) -> None:
    app = start("reports_a_killed_run", RefusingTracker("begin"))
    assert run(app, project, IN_MEMORY, "backend=jax") == exit_codes.RUN_FAILED


@pytest.mark.parametrize("asked", [("backend=jax",), COMPARE[:-1]], ids=["run", "compare"])
def test_run_without_a_requested_store_succeeds(
    asked: tuple[str, ...], start: Callable[..., Application], project: Path
) -> None:
    assert run(start("finishes"), project, *asked, "tracking=none") == exit_codes.OK


@pytest.mark.parametrize("experiment", ["compare", "scale"])
def test_experiment_cannot_be_a_job_of_a_sweep(
    experiment: str, start: Callable[..., Application], project: Path
) -> None:
    """The jobs of a sweeper that creates them during the sweep have not been checked before."""
    with pytest.raises(ConfigError, match="it cannot be a job of a sweep"):
        run(start("finishes"), project, f"experiment={experiment}", IN_MEMORY, mode="MULTIRUN")


@pytest.mark.parametrize(("parallel", "expected"), [(True, ["true"]), (False, [None])])
def test_run_of_a_launchers_own_process_is_tagged_as_parallel(
    parallel: bool, expected: list[str | None], start: Callable[..., Application], project: Path
) -> None:
    tracker = MemoryTracker()
    app = start("finishes", tracker, parallel=parallel)
    run(app, project, IN_MEMORY, "backend=jax", mode="MULTIRUN")
    assert [t.get("parallel") for t in tags_of(tracker)] == expected


def test_single_run_has_no_tags_of_an_experiment(
    start: Callable[..., Application], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (1.5, 2.0, 3.0))
    tracker = MemoryTracker()
    assert run(start("finishes", tracker), project, IN_MEMORY, "backend=jax") == exit_codes.OK
    (tags,) = tags_of(tracker)
    assert not {"role", "block", "position", "parallel", "sweep"} & set(tags)
    assert tags["load_average"] == "1.50"


def test_process_of_a_launcher_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "_current", None)
    assert application.current().parallel
    checked = application.check(["backend=jax", "tracking=none"])
    try:
        assert not application.start(checked, None).parallel
    finally:
        application.current().session.close()
