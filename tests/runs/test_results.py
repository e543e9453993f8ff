import math
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendexp.runs import events, results
from backendexp.runs.events import Event
from backendexp.runs.results import FAILED, FINISHED, KILLED, fold
from support import streams

ENDINGS: list[Event] = [
    {"event": "refused", "time": 1.0, "kind": "engine_missing", "message": "no engine"},
    {"event": "failed", "time": 1.0, "kind": "exception", "message": "boom", "traceback": "Traceback"},
    {"event": "failed", "time": 1.0, "kind": "non_finite_loss", "message": "nan", "epoch": 3},
    streams.exited(0),
    streams.exited(3),
    streams.exited(None, 9),
    streams.exited(None, 11),
    *(
        {"event": "ended", "time": 1.0, "reason": reason, "message": "stopped"}
        for reason in (events.DEADLINE, events.INTERRUPTED, events.PARENT_LOST, events.WORKER_LOST)
    ),
]


def test_successful_run_is_folded_completely() -> None:
    result = fold(streams.whole((0.7, 0.6, 0.5)))
    assert (result.status, result.reason, result.message, result.traceback) == (FINISHED, None, None, None)
    assert [epoch.loss for epoch in result.epochs] == [0.7, 0.6, 0.5]
    assert [epoch.number for epoch in result.epochs] == [1, 2, 3]
    assert result.facts == {
        "keras": "3.15.1",
        "engine": "JAX",
        "engine_version": "0.10.2",
        "python": "3.11.7",
        "packages": {"numpy": "2.4.6"},
    }
    assert (result.start, result.weights, result.weights_digest) == ("fork", 297, "w" * 64)
    assert result.data is not None
    assert result.data["digest"] == "d" * 64
    assert result.peak_bytes == 200 * 2**20


def test_metrics_have_the_names_and_units_of_mlflow() -> None:
    result = fold(streams.whole((0.7, 0.6, 0.5), seconds=0.5, training_time_s=1.5))
    assert result.metrics() == {
        "training_time_s": 1.5,
        "loss": 0.5,
        "accuracy": 0.75,
        "time/import_s": 4.0,
        "time/build_s": 0.2,
        "time/first_epoch_s": 0.5,
        "time/remaining_epochs_s": 1.0,
        "time/steady_epoch_s": 0.5,
        "time/evaluate_s": 0.1,
        "time/cpu_s": 2.5,
        "test/loss": 0.5,
        "test/accuracy": 0.75,
        "memory/peak_mib": 200.0,
    }


def test_steady_epoch_is_the_median_without_the_first_which_compiles() -> None:
    stream = streams.epochs([1.0] * 5)
    for event, seconds in zip(stream, (30.0, 0.1, 0.2, 9.0, 0.3), strict=True):
        event["seconds"] = seconds
    result = fold(stream)
    assert result.first_epoch_s == 30.0
    assert result.steady_epoch_s == pytest.approx(0.25)
    assert result.remaining_epochs_s == pytest.approx(9.6)


def test_one_epoch_has_no_steady_epoch() -> None:
    result = fold(streams.whole((0.7,)))
    assert result.first_epoch_s == 0.5
    assert result.steady_epoch_s is None
    assert "time/steady_epoch_s" not in result.metrics()
    assert "time/remaining_epochs_s" not in result.metrics()


def test_worker_killed_mid_epoch_leaves_a_failed_run_with_its_last_epoch() -> None:
    result = fold(streams.killed_in_epoch_3())
    assert (result.status, result.reason) == (FAILED, "killed_by_signal")
    assert result.message == "the worker was killed by SIGKILL. The kernel does that when memory runs out"
    assert result.epochs[-1].number == 2
    assert result.epochs[-1].loss == 0.6
    assert result.training_time_s is None
    assert result.metrics()["memory/peak_mib"] == 200.0


@pytest.mark.parametrize(
    ("ending", "status", "reason", "said"),
    [
        (ENDINGS[0], FAILED, "engine_missing", "no engine"),
        (ENDINGS[1], FAILED, "exception", "boom"),
        (ENDINGS[2], FAILED, "non_finite_loss", "nan"),
        (streams.exited(3), FAILED, "worker_lost", "the worker left with code 3; see worker.log"),
        (streams.exited(None, 11), FAILED, "killed_by_signal", "killed by SIGSEGV; see worker.log"),
        (events.ended(events.DEADLINE, "stopped"), FAILED, "deadline", "stopped"),
        (events.ended(events.INTERRUPTED, "Ctrl-C"), KILLED, "interrupted", "Ctrl-C"),
        (events.ended(events.PARENT_LOST, "killed"), KILLED, "parent_lost", "killed"),
        (events.ended(events.WORKER_LOST, "gone"), FAILED, "worker_lost", "gone"),
    ],
)
def test_every_ending_has_its_status_reason_and_message(
    ending: Event, status: str, reason: str, said: str
) -> None:
    result = fold([streams.ready(), *streams.epochs([0.5]), ending])
    assert (result.status, result.reason) == (status, reason)
    assert result.message is not None
    assert said in result.message
    assert len(result.epochs) == 1


def test_worker_leaves_out_memory_and_processor_time_if_they_are_unknown() -> None:
    """This is the case on Windows, and in event files of earlier releases."""
    exited = {**streams.exited(), "peak_bytes": None}
    del exited["cpu_s"]
    metrics = fold([*streams.whole()[:-1], exited]).metrics()
    assert not {"memory/peak_mib", "time/cpu_s"} & set(metrics)
    assert metrics["loss"] == 0.5


def test_run_without_events_has_failed() -> None:
    result = fold([])
    assert (result.status, result.reason) == (FAILED, "worker_lost")
    assert result.message == "the worker ended without a word; see worker.log"
    assert result.metrics() == {}
    assert result.facts == {}


def test_deadline_is_the_reason_although_the_parent_killed_the_worker_for_it() -> None:
    result = fold([*streams.killed_in_epoch_3(), events.ended(events.DEADLINE, "stopped at its deadline")])
    assert (result.status, result.reason) == (FAILED, "deadline")


def test_finished_run_stays_finished_when_its_worker_is_lost_afterwards() -> None:
    stream = [e for e in streams.whole() if e["event"] != "exited"]
    assert fold([*stream, events.ended(events.WORKER_LOST, "gone")]).status == FINISHED


def test_worker_that_raised_keeps_its_traceback() -> None:
    assert fold([ENDINGS[1]]).traceback == "Traceback"


@pytest.mark.parametrize("number", [1, 9, 11, 15, 31, 34, 40, 64])
def test_death_by_any_signal_is_reported(number: int) -> None:
    """Linux has signals up to 64, but Python has no names for some of those above 31."""
    result = fold([streams.exited(None, number)])
    assert (result.status, result.reason) == (FAILED, "killed_by_signal")
    known = {s.value: s.name for s in signal.Signals}
    assert known.get(number, str(number)) in (result.message or "")


losses = st.floats(0, 1e30)
whole_streams = st.lists(losses, min_size=1, max_size=6).map(streams.whole)


@given(whole_streams, st.integers(0, 30), st.sampled_from([None, *ENDINGS]))
def test_any_part_of_a_run_folds_to_a_status_and_finite_metrics(
    stream: list[Event], length: int, ending: Event | None
) -> None:
    part = stream[:length] + ([ending] if ending else [])
    result = fold(part)
    assert result.status in (FINISHED, FAILED, KILLED)
    assert (result.status == FINISHED) == any(event["event"] == "finished" for event in part)
    assert (result.reason is None) == (result.status == FINISHED)
    assert (result.message is None) == (result.status == FINISHED)
    assert all(math.isfinite(value) for value in result.metrics().values())
    assert len(result.epochs) == sum(event["event"] == "epoch" for event in part)


def test_statuses_are_those_of_mlflow() -> None:
    from mlflow.entities import RunStatus

    for status in (results.FINISHED, results.FAILED, results.KILLED):
        assert RunStatus.is_terminated(RunStatus.from_string(status))


def test_events_of_an_older_worker_have_accuracy_in_place_of_the_metrics() -> None:
    older = []
    for event in streams.whole((0.7, 0.6)):
        if event["event"] in ("epoch", "evaluated"):
            event = {key: value for key, value in event.items() if key != "metrics"} | {"accuracy": 0.25}
        older.append(event)
    result = fold(older)
    assert [epoch.metrics for epoch in result.epochs] == [{"accuracy": 0.25}] * 2
    assert result.metrics()["accuracy"] == result.metrics()["test/accuracy"] == 0.25


def test_metrics_of_any_name_are_those_of_the_run() -> None:
    result = fold(streams.whole(metrics={"left_auc": 0.5, "mean_absolute_error": 3.0}))
    assert result.qualities == {"left_auc": 0.5, "mean_absolute_error": 3.0}
    metrics = result.metrics()
    assert (metrics["test/left_auc"], metrics["test/mean_absolute_error"]) == (0.5, 3.0)
    assert "accuracy" not in metrics


def test_inference_and_the_gpu_are_measures_in_their_units() -> None:
    predicted: Event = {
        "event": "predicted",
        "time": 1.0,
        "samples": 64,
        "samples_per_s": 1000.0,
        "calls": 200,
        "latency_s": 0.002,
        "latency_p95_s": 0.004,
    }
    device: Event = {"event": "device", "time": 1.0, "kind": "gpu", "name": "A GPU", "peak_bytes": 3 * 2**20}
    metrics = fold([*streams.whole(), predicted, device]).metrics()
    assert metrics["inference/samples_per_s"] == 1000.0
    assert metrics["inference/latency_ms"] == pytest.approx(2.0)
    assert metrics["inference/latency_p95_ms"] == pytest.approx(4.0)
    assert metrics["memory/gpu_peak_mib"] == 3.0
    device |= {"kind": "cpu", "name": None, "peak_bytes": None}
    assert "memory/gpu_peak_mib" not in fold([*streams.whole(), device]).metrics()
