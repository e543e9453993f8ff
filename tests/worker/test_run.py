"""A run reports what went wrong. These tests need no engine."""

from typing import Any

import pytest

from backendexp.worker import run


class Heard:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def send(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event, **fields})


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[dict[str, Any]]]:
    """Return what `execute` returns and sends when training raises `error`."""

    def train(spec: Any, directory: str, events: Any) -> None:
        raise error

    monkeypatch.setattr(run, "_train", train)
    heard = Heard()
    return run.execute({}, "", heard), heard.events


class ResourceExhaustedError(Exception):
    """An error with the name that TensorFlow uses."""


class OutOfMemoryError(RuntimeError):
    """An error with the name that PyTorch uses."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ResourceExhaustedError("OOM when allocating tensor"),
        OutOfMemoryError("CUDA out of memory"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 4000000000000 bytes."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000 bytes."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_out_of_memory_is_recognised(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    code, (event,) = failing(error, monkeypatch)
    assert (code, event["event"], event["kind"]) == (1, "failed", "out_of_memory")
    assert event["message"].startswith(f"{type(error).__name__}: ")


def test_exception_is_reported_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    code, (event,) = failing(ValueError("no such layer"), monkeypatch)
    assert (code, event["kind"], event["message"]) == (1, "exception", "ValueError: no such layer")
    assert "in train" in event["traceback"]


def test_divergence_is_reported_with_epoch_and_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    code, (event,) = failing(run.NonFiniteLoss(3, float("nan")), monkeypatch)
    assert (code, event["kind"], event["epoch"]) == (1, "non_finite_loss", 3)
    assert event["message"].startswith(
        "the loss is nan after epoch 3: training diverged. Lower training.lear"
    )


def test_successful_run_reports_that_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_train", lambda spec, directory, events: events.send("trained"))
    heard = Heard()
    assert run.execute({}, "", heard) == 0
    assert [event["event"] for event in heard.events] == ["trained", "finished"]


def test_interrupt_does_not_count_as_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        failing(KeyboardInterrupt(), monkeypatch)
