"""The progress that a user sees, with and without a terminal."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backendexp.runs import progress
from backendexp.runs.plan import RunSpec
from backendexp.runs.progress import PlainProgress, describe, progress_for
from support import streams
from support.command import REPOSITORY

MakeSpec = Callable[..., RunSpec]


def test_every_event_of_a_run_is_described_or_changes_nothing(make_spec: MakeSpec) -> None:
    spec = make_spec("jax", training__epochs=3)
    said = [describe(event, spec) for event in streams.whole((0.7, 0.6, 0.5))]
    assert [text for text in said if text] == [
        "Keras 3.15.1 on JAX 0.10.2 is ready",
        "making the data",
        "building the model",
        "compiling, first epoch",
        "epoch 1/3  loss 0.7000  accuracy 0.5000",
        "epoch 2/3  loss 0.6000  accuracy 0.5000",
        "epoch 3/3  loss 0.5000  accuracy 0.5000",
        "evaluating",
    ]


def test_phase_of_a_later_release_changes_nothing(make_spec: MakeSpec) -> None:
    assert describe({"event": "phase", "time": 1.0, "name": "dream"}, make_spec()) is None


def test_pipe_gets_plain_lines(make_spec: MakeSpec) -> None:
    assert isinstance(progress_for(make_spec()), PlainProgress)


def test_short_waits_print_nothing(make_spec: MakeSpec, capsys: pytest.CaptureFixture[str]) -> None:
    with PlainProgress(make_spec("jax")) as shown:
        shown.say("importing Keras")
        for event in streams.whole():
            shown.hear(event)
    time.sleep(progress._WAIT_WORTH_A_LINE_S + 0.3)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_long_wait_gets_one_line_on_stderr(
    make_spec: MakeSpec, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_WAIT_WORTH_A_LINE_S", 0.05)
    with PlainProgress(make_spec("jax", seed=3)) as shown:
        shown.say("importing Keras")
        time.sleep(0.5)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "[jax on keras3, seed 3] importing Keras\n")


def test_long_training_prints_a_line_from_time_to_time(
    make_spec: MakeSpec, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with PlainProgress(make_spec("jax")) as shown:
        shown._last_epoch -= 10 * progress._LINE_EVERY_S
        for event in streams.epochs([0.7, 0.6, 0.5]):
            shown.hear(event)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("[jax on keras3, seed 0] epoch 1/3  loss 0.7000  accuracy 0.5000  ")


SCRIPT = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from support import streams
from support.plans import small_config
from backendexp.runs import plan
from backendexp.runs.progress import LiveProgress, progress_for

with progress_for(plan.plan_run(small_config())) as shown:
    assert isinstance(shown, LiveProgress)
    shown.say("waiting for [something]")
    time.sleep(0.6)
    for event in streams.whole((0.7, 0.6, 0.5)):
        shown.hear(event)
        time.sleep(0.3)
print("results")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals in the standard library")
def test_terminal_gets_a_live_line_that_leaves_stdout_to_the_results(project: Path) -> None:
    import pty

    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(REPOSITORY / "tests")],
        stderr=theirs,
        stdout=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(terminal, 1 << 16)
        except OSError:  # Linux raises this at the end of a terminal
            break
        if not chunk:
            break
        shown += chunk
    os.close(terminal)
    out, _ = process.communicate()
    text = shown.decode()
    assert (process.returncode, out) == (0, b"results\n"), text
    assert "waiting for [something]" in text
    assert "tensorflow on keras3, seed 0" in text
    assert "epoch 3/3  loss 0.5000" in text
