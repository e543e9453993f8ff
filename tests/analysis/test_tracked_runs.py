"""Runs are read from a real store and from disk."""

import math
import time
from dataclasses import replace
from pathlib import Path

import pytest

from backendexp.analysis import tracked_runs
from backendexp.analysis.findings import TrackedRun
from backendexp.analysis.guards import beside_others
from backendexp.errors import ComparisonError, TrackingError, UserError
from backendexp.runs import record
from backendexp.tracking import mlflow_reader
from support import streams
from support.stores import EPOCHS, Store, events_of, spec_of

A, B = "2026-11-22/10-00-00", "2026-11-23/10-00-00"
DESIGN = {"role": "timed", "block": "3", "position": "2", "parallel": "true", "load_average": "0.42"}


@pytest.fixture(scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory, empty_store: bytes) -> Store:
    """A store in which sweep A has two backends and a failed run, and sweep B has one backend. Tests share
    it, so they must not change it.
    """
    store = Store(tmp_path_factory.mktemp("store"), empty_store)
    store.sweep(A, {"tensorflow": 1.0, "theano": 1.5}, range(3))
    store.track(spec_of("theano", seed=3), streams.killed_in_epoch_3(), {"sweep": A, **DESIGN})
    store.sum_up(A, "sweep")
    store.sweep(B, {"theano": 1.0}, range(2))
    return store


@pytest.fixture
def filled(_shared: Store) -> Store:
    return _shared


@pytest.fixture
def store(tmp_path: Path, empty_store: bytes) -> Store:
    """An empty store."""
    return Store(tmp_path, empty_store)


def of(store: Store, *sweeps: str) -> list[TrackedRun]:
    return tracked_runs.of_sweeps(store.uri, store.experiment, sweeps)


def test_runs_of_a_sweep_come_back_in_their_order_without_its_summary(filled: Store) -> None:
    found = of(filled, A)
    assert [run.run_id for run in found] == filled.run_ids(A)
    assert [(run.backend, run.seed) for run in found] == [
        *((backend, seed) for seed in range(3) for backend in ("tensorflow", "theano")),
        ("theano", 3),
    ]
    assert {(run.runtime, run.sweep, run.role) for run in found} == {("keras3", A, "timed")}


def test_a_run_comes_back_with_all_that_was_measured(filled: Store) -> None:
    run, result = of(filled, A)[0], filled.records[0].result
    assert result is not None
    assert run.status == "FINISHED"
    assert run.reason is None
    metrics = result.metrics()
    assert run.values == {
        **{
            key: metrics[key]
            for key in ("time/import_s", "time/build_s", "training_time_s", "time/steady_epoch_s")
        },
        **{key: metrics[key] for key in ("time/evaluate_s", "memory/peak_mib", "loss", "accuracy")},
        "time/compilation_s": pytest.approx(metrics["time/first_epoch_s"] - metrics["time/steady_epoch_s"]),
    }
    assert run.loss_by_epoch == tuple(epoch.loss for epoch in result.epochs)
    assert len(run.loss_by_epoch) == EPOCHS
    assert run.quality_by_epoch == tuple(epoch.metrics["accuracy"] for epoch in result.epochs)
    assert run.params == filled.records[0].spec.params()
    assert run.tags["keras_version"] == "3.15.1"
    assert run.tags["data_digest"] == "d" * 36
    assert (run.block, run.position, run.parallel, run.load) == (None, None, False, None)


def test_a_run_that_failed_is_a_row_with_its_reason_and_its_place(filled: Store) -> None:
    run = of(filled, A)[-1]
    assert (run.status, run.reason) == ("FAILED", "killed_by_signal")
    assert "training_time_s" not in run.values
    assert run.loss_by_epoch == ()
    assert (run.block, run.position, run.parallel, run.load) == (3, 2, True, 0.42)


def test_disk_and_store_contain_the_same(filled: Store) -> None:
    own = [one for one in filled.records if one.context.tags["sweep"] == A]
    from_store = [
        replace(run, tags={key: value for key, value in run.tags.items() if key != "backendexp.record"})
        for run in of(filled, A)
    ]
    assert tracked_runs.of_records(own) == from_store


def test_a_record_that_is_under_way_is_running(tmp_path: Path) -> None:
    draft = streams.record_of(tmp_path, spec_of("jax", seed=7), [streams.ready()], finish=False)
    (run,) = tracked_runs.of_records([record.load(draft.directory)])
    assert (run.status, run.seed, run.ended_ms, run.values) == ("RUNNING", 7, None, {})
    assert run.run_id == draft.context.id


def test_two_sweeps_come_in_the_order_in_which_they_are_named(filled: Store) -> None:
    assert list(dict.fromkeys(run.sweep for run in of(filled, B, A))) == [B, A]


def test_an_experiment_is_all_of_its_runs(filled: Store) -> None:
    found = tracked_runs.of_experiment(filled.uri, filled.experiment)
    assert [run.run_id for run in found] == filled.run_ids(A) + filled.run_ids(B)


def test_more_runs_than_a_page_holds_are_all_there(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_reader, "_PAGE", 2)
    monkeypatch.setattr(mlflow_reader, "_FIRST_FEW", 2)
    assert [run.run_id for run in of(filled, A)] == filled.run_ids(A)
    assert tracked_runs.latest_sweep(filled.uri, filled.experiment) == A


def test_more_curves_than_a_query_takes_are_all_there(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = of(filled, A)
    monkeypatch.setattr(mlflow_reader, "_RUNS_A_QUERY", 2)
    assert of(filled, A) == before


def test_foreign_runs_in_the_experiment_are_ignored(store: Store) -> None:
    store.tracker._client.create_run(store.tracker.experiment_id, tags={"sweep": A, "backend": "mine"})
    store.sweep(A, {"jax": 1.0}, range(1))
    assert [run.backend for run in of(store, A)] == ["jax"]


def test_curves_are_read_of_a_limited_number_of_timed_runs_and_of_all_parity_runs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracked_runs, "_MOST_CURVES", 2)
    store.sweep(A, {"jax": 1.0, "theano": 1.0}, range(3))
    store.sweep(A, {"jax": 1.0, "theano": 1.0}, range(3), {"role": "parity"})
    found = of(store, A)
    for backend in ("jax", "theano"):
        for role, curves in (("timed", [True, True, False]), ("parity", [True, True, True])):
            own = [run for run in found if (run.backend, run.role) == (backend, role)]
            assert [bool(run.loss_by_epoch) for run in own] == curves
            assert [bool(run.quality_by_epoch) for run in own] == curves


def test_fewer_curves_are_read_of_long_trainings(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracked_runs, "_MOST_POINTS", 2 * EPOCHS + 1)
    store.sweep(A, {"jax": 1.0}, range(3))
    assert [len(run.loss_by_epoch) for run in of(store, A)] == [EPOCHS, EPOCHS, 0]
    monkeypatch.setattr(tracked_runs, "_MOST_POINTS", 1)
    assert [len(run.loss_by_epoch) for run in of(store, A)] == [EPOCHS, 0, 0]


def test_compilation_is_never_negative_and_unknown_after_one_epoch(store: Store) -> None:
    quick_start = streams.whole(seconds=0.5)
    next(event for event in quick_start if event["event"] == "epoch")["seconds"] = 0.1
    store.track(spec_of("jax"), quick_start, {"sweep": A})
    store.track(spec_of("jax", training__epochs=1), streams.whole([0.7]), {"sweep": A})
    quick, single = of(store, A)
    assert quick.values["time/compilation_s"] == 0
    assert "time/compilation_s" not in single.values
    assert "time/steady_epoch_s" not in single.values


def test_a_run_killed_before_it_logged_its_plan_is_listed_with_the_others(store: Store) -> None:
    store.sweep(A, {"jax": 1.0, "theano": 1.0}, range(2))
    tags = {"sweep": A, "backend": "jax", "runtime": "keras3"}
    lost = store.tracker.begin("lost", "jax-keras3-seed5", 1, tags, None)
    store.tracker.kill(lost)
    first, *others = of(store, A)
    assert (first.run_id, first.status, first.seed) == (lost, "KILLED", 5)
    own = next(run for run in others if run.backend == "jax").params
    assert first.params == {key: value for key, value in own.items() if key != "seed"}
    nameless = store.tracker.begin("nameless", "my run", 2, tags, None)
    assert next(run for run in of(store, A) if run.run_id == nameless).seed == -1


def test_missing_numbers_are_left_out(store: Store) -> None:
    stream = events_of(spec_of("jax"), 1.0)
    next(event for event in stream if event["event"] == "evaluated")["loss"] = math.nan
    store.track(spec_of("jax"), stream, {"sweep": A, "load_average": "busy", "block": "-1", "position": "²"})
    (run,) = of(store, A)
    assert "loss" not in run.values
    assert "accuracy" in run.values
    assert (run.load, run.block, run.position) == (None, None, None)


def test_params_of_mlflow_run_are_no_part_of_the_plan(store: Store) -> None:
    """`mlflow run` logs its parameters under names of its own."""
    joined = store.tracker._client.create_run(store.tracker.experiment_id).info.run_id
    store.tracker._client.log_param(joined, "epochs", "3")
    store.tracker._client.log_param(joined, "backend", "jax")
    done = streams.record_of(store.folder, spec_of("jax"), streams.whole(), run_id=joined, tags={"sweep": A})
    store.tracker.begin(done.context.id, done.context.name, 1, {}, joined)
    store.tracker.end(joined, record.report(done))
    (run,) = of(store, A)
    assert run.params == done.spec.params()


# -- copies in another store -------------------------------------------------------------------------


@pytest.fixture
def copies(filled: Store, tmp_path: Path, empty_store: bytes) -> Store:
    """The runs of `filled`, newest first, as tools copy them: without their times, statuses and datasets."""
    from mlflow.entities import Param, RunTag

    original, copy = filled.tracker._client, Store(tmp_path, empty_store)
    client, experiment = copy.tracker._client, copy.tracker.experiment_id
    for run in original.search_runs([filled.tracker.experiment_id]):
        run_id = client.create_run(experiment).info.run_id
        points = [p for key in run.data.metrics for p in original.get_metric_history(run.info.run_id, key)]
        params = [Param(*pair) for pair in run.data.params.items()]
        client.log_batch(run_id, points, params, [RunTag(*pair) for pair in run.data.tags.items()])
        client.set_terminated(run_id)
    return copy


def test_copies_are_read_like_their_originals(copies: Store, filled: Store) -> None:
    def without_ids(found: list[TrackedRun]) -> list[TrackedRun]:
        return [replace(run, run_id="") for run in found]

    for sweep in (A, B):
        assert without_ids(of(copies, sweep)) == without_ids(of(filled, sweep))
    assert of(copies, A)[-1].status == "FAILED"
    assert {run.tags["data_digest"] for run in of(copies, A)} == {"d" * 36}
    at = (copies.uri, copies.experiment)
    assert tracked_runs.latest_sweep(*at) == A
    assert without_ids(tracked_runs.of_experiment(*at)) == without_ids(
        tracked_runs.of_experiment(filled.uri, filled.experiment)
    )


def test_copies_of_runs_that_ran_at_the_same_time_are_known_as_such(store: Store) -> None:
    client, experiment = store.tracker._client, store.tracker.experiment_id
    for name, began, ended in (("late", 1800, 2500), ("early", 1000, 2000)):
        times = {"backendexp.began_ms": str(began), "backendexp.ended_ms": str(ended)}
        tags = {"backend": "jax", "runtime": "keras3", "backendexp.status": "FINISHED", "sweep": A, **times}
        client.set_terminated(client.create_run(experiment, tags=tags, run_name=name).info.run_id)
    early, late = found = of(store, A)
    assert (early.name, late.name) == ("early", "late")
    assert beside_others(found) == {early.run_id, late.run_id}


def test_copy_of_a_run_that_had_not_ended_has_not_ended_either(store: Store) -> None:
    client = store.tracker._client
    tags = {"backend": "jax", "runtime": "keras3", "sweep": A, "backendexp.began_ms": "1000"}
    client.set_terminated(client.create_run(store.tracker.experiment_id, tags=tags).info.run_id)
    assert [run.status for run in of(store, A)] == ["RUNNING"]


def test_run_of_an_earlier_version_is_read_from_the_fields_of_the_store(store: Store) -> None:
    client = store.tracker._client
    tags = {"backend": "jax", "runtime": "keras3", "sweep": A}
    for number in range(3):
        run = client.create_run(store.tracker.experiment_id, 1000 + number, tags, f"jax-{number}")
        client.set_terminated(run.info.run_id, "FAILED" if number == 2 else "FINISHED", 2000 + number)
    found = of(store, A)
    assert [(run.began_ms, run.ended_ms) for run in found] == [(1000, 2000), (1001, 2001), (1002, 2002)]
    assert [run.status for run in found] == ["FINISHED", "FINISHED", "FAILED"]


# -- the latest sweep --------------------------------------------------------------------------------


def test_the_latest_sweep_is_the_newest_that_times_several_backends(store: Store) -> None:
    latest = "2026-11-22/12-00-00"
    store.sweep("2026-11-22/11-00-00", {"jax": 1.0, "theano": 1.0}, range(1))
    store.sweep(latest, {"jax": 1.0, "theano": 1.0}, range(1))
    store.sweep("one backend", {"theano": 1.0}, range(2))
    store.sweep("parity", {"jax": 1.0, "theano": 1.0}, range(1), {"role": "parity"})
    store.sweep("scale", {"jax": 1.0, "theano": 1.0}, range(1))
    store.sum_up("scale", "scale")
    store.sum_up(latest, "compare")
    assert tracked_runs.latest_sweep(store.uri, store.experiment) == latest


def test_without_a_sweep_of_several_backends_it_says_what_there_is(store: Store) -> None:
    store.sweep(A, {"theano": 1.0}, range(2))
    with pytest.raises(ComparisonError) as refusal:
        tracked_runs.latest_sweep(store.uri, store.experiment)
    assert str(refusal.value).startswith(
        "experiment 'backendexp' has 2 runs, but no sweep that compares backends "
        f"(the newest, {A}, has theano). Make one with backendexp -m"
    )


# -- what is refused ---------------------------------------------------------------------------------


def test_a_missing_store_is_not_created(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    for read in (
        lambda: tracked_runs.of_sweeps(uri, "backendexp", [A]),
        lambda: tracked_runs.of_experiment(uri, "backendexp"),
        lambda: tracked_runs.latest_sweep(uri, "backendexp"),
    ):
        with pytest.raises(
            UserError, match=r"mlflow\.db does not exist, so there are no runs to read\. Choose"
        ):
            read()
    assert list(tmp_path.iterdir()) == [tmp_path / "project"]


def test_an_experiment_that_does_not_exist_is_reported_with_the_nearest(filled: Store) -> None:
    with pytest.raises(UserError) as refusal:
        tracked_runs.of_experiment(filled.uri, "backendxp")
    assert str(refusal.value) == (
        f"experiment 'backendxp' is not in {filled.uri}. Did you mean 'backendexp'? "
        "It has: Default, backendexp, first"
    )


def test_an_experiment_is_found_by_its_id_first(filled: Store) -> None:
    found = tracked_runs.of_experiment(filled.uri, "no such name", filled.tracker.experiment_id)
    assert len(found) == 9


def test_a_deleted_experiment_is_reported_with_the_line_that_restores_it(store: Store) -> None:
    store.tracker._client.delete_experiment(store.tracker.experiment_id)
    with pytest.raises(UserError) as refusal:
        tracked_runs.of_experiment(store.uri, store.experiment)
    assert str(refusal.value) == (
        f"experiment 'backendexp' of {store.uri} is deleted. Restore it with: mlflow experiments restore "
        f"--experiment-id {store.tracker.experiment_id}"
    )


@pytest.mark.parametrize(
    "name", ["2026-11-22/10-00-01", "it's/one", 'a "b"/c', "'\"/both", "%/%", "a; b/--", "x" * 300]
)
def test_a_sweep_that_does_not_exist_is_reported_with_the_newest(name: str, filled: Store) -> None:
    with pytest.raises(ComparisonError) as refusal:
        of(filled, name)
    said = str(refusal.value)
    assert said.startswith(f"experiment 'backendexp' has no sweep {name!r}. ")
    assert f"The newest is {B}." in said
    assert ("Did you mean" in said) == name.startswith("2026")


def test_a_sweep_whose_name_has_quotes_is_found(store: Store) -> None:
    for name in ("it's/one", 'a "b"/c'):
        store.sweep(name, {"jax": 1.0}, range(1))
        assert [run.sweep for run in of(store, name)] == [name]


def test_error_for_a_sweep_that_is_only_on_disk_says_how_to_upload_it(filled: Store, project: Path) -> None:
    folder = Path("multirun/2026-11-24/10-00-00")
    folder.mkdir(parents=True)
    with pytest.raises(ComparisonError, match=f"{folder} is here: .* backendexp sync {folder}$"):
        of(filled, "2026-11-24/10-00-00")


def test_deleted_runs_are_reported_with_the_line_that_restores_them(store: Store) -> None:
    store.sweep(A, {"jax": 1.0}, range(2))
    store.delete(A)
    how = f"Each comes back with: mlflow runs restore --run-id {store.run_ids(A)[0]} (until mlflow gc"
    with pytest.raises(ComparisonError) as refusal:
        of(store, A)
    assert f"all runs of sweep {A} of experiment 'backendexp' are deleted, 2 in number. {how}" in str(
        refusal.value
    )
    for read in (tracked_runs.of_experiment, tracked_runs.latest_sweep):
        with pytest.raises(ComparisonError) as refusal:
            read(store.uri, store.experiment)
        assert f"all runs of experiment 'backendexp' are deleted, 2 in number. {how}" in str(refusal.value)


def test_error_for_an_experiment_without_runs_says_how_to_make_some(store: Store) -> None:
    for read in (tracked_runs.of_experiment, tracked_runs.latest_sweep):
        with pytest.raises(
            ComparisonError, match=r"'backendexp' has no runs of backendexp\. Make some with backendexp -m"
        ):
            read(store.uri, store.experiment)


def test_a_missing_server_is_reported_within_seconds() -> None:
    began = time.monotonic()
    with pytest.raises(TrackingError, match=r"the tracking store http://127\.0\.0\.1:9 cannot be read: "):
        tracked_runs.of_experiment("http://127.0.0.1:9", "backendexp")
    assert time.monotonic() - began < 30
