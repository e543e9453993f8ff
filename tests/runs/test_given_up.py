"""Runs of a machine that will not come back are closed, unless they show a sign of life."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from backendexp.errors import UserError
from backendexp.runs import given_up, machine, record
from backendexp.runs.events import EventFile
from backendexp.runs.given_up import Outcome
from backendexp.runs.record import RunRecord
from support import streams
from support.memory import MemoryTracker
from support.plans import small_plan
from support.sessions import dead_process

GONE = {**machine.tags(), "backendexp.host": "node7", "backendexp.machine": "another"}
LOST = "the machine node7 did not come back"
MINUTE = 60.0


def open_run(root: Path, tags: dict[str, str] = GONE, silent_s: float = 10 * MINUTE) -> RunRecord:
    """A run of two epochs whose process gave its last sign of life `silent_s` seconds ago."""
    run = streams.record_of(root, small_plan(), streams.whole()[:9], tags=tags, finish=False)
    then = time.time() - silent_s
    os.utime(run.directory / "events.jsonl", (then, then))
    return run


def begun(store: MemoryTracker, run: RunRecord, directory: str | None = None) -> str:
    tags = {**run.context.tags, "backendexp.directory": directory or str(run.directory)}
    return store.begin(run.context.id, run.context.name, 0, tags, None)


def close(host: str, known: list[RunRecord], *stores: MemoryTracker) -> Outcome:
    return given_up.close(host, known, [(store, run) for store in stores for run in store.all()])


def test_silent_run_is_closed_with_its_epochs_and_the_reason(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    outcome = close("node7", [run])
    assert (outcome.closed, outcome.refused) == ([f"{run.directory}: closed as KILLED: {LOST}"], [])
    result = record.load(run.directory).result
    assert result is not None
    assert (result.status, result.reason, result.message) == ("KILLED", "host_lost", LOST)
    assert len(result.epochs) == 2


@pytest.mark.parametrize("silent_s", [1.0, 2 * MINUTE, -10 * MINUTE])
def test_run_with_a_recent_sign_of_life_stays_open(silent_s: float, tmp_path: Path) -> None:
    run = open_run(tmp_path, silent_s=silent_s)
    outcome = close("node7", [run])
    assert outcome.closed == []
    (refused,) = outcome.refused
    assert refused.startswith(f"{run.directory}: not closed, because its process gave a sign of life ")
    assert refused.endswith(" s ago. A run can be closed 3 minutes after the last one")
    assert record.load(run.directory).result is None


def test_silent_run_whose_events_are_locked_stays_open(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    then = (run.directory / "events.jsonl").stat().st_mtime
    file = EventFile(run.directory / "events.jsonl")
    os.utime(run.directory / "events.jsonl", (then, then))
    outcome = close("node7", [run])
    file.close()
    assert outcome.refused == [f"{run.directory}: not closed, because its process has its events open"]
    assert record.load(run.directory).result is None


def test_living_run_of_this_machine_stays_open_however_silent_it_is(tmp_path: Path) -> None:
    run = open_run(tmp_path, machine.tags())
    outcome = close(machine.host(), [run])
    assert outcome.refused == [
        f"{run.directory}: not closed, because its process, {os.getpid()}, lives on this machine"
    ]
    assert record.load(run.directory).result is None


def test_dead_run_of_this_machine_is_closed_for_what_it_is(tmp_path: Path) -> None:
    run = open_run(tmp_path, dead_process(), silent_s=0)
    (closed,) = close(machine.host(), [run]).closed
    assert closed.endswith("closed as KILLED: backendexp itself was killed while the run was under way")


def test_other_runs_are_left_alone(tmp_path: Path) -> None:
    lost, other = open_run(tmp_path), open_run(tmp_path, {**GONE, "backendexp.host": "node8"})
    ended = streams.record_of(tmp_path, small_plan(), streams.whole(), tags=GONE)
    before = (ended.directory / "events.jsonl").read_bytes()
    store = MemoryTracker()
    ids = {name: begun(store, run, "/nowhere") for name, run in (("other", other), ("ended", ended))}
    assert len(close("node7", [lost, other, ended], store).closed) == 1
    assert record.load(other.directory).result is None
    assert (ended.directory / "events.jsonl").read_bytes() == before
    # The upload gives the store the status with which the run ended.
    assert [store.statuses[ids[name]] for name in ("other", "ended")] == ["RUNNING", "RUNNING"]


def test_run_of_the_store_whose_directory_is_here_is_closed_there_and_uploaded_later(tmp_path: Path) -> None:
    run, store = open_run(tmp_path), MemoryTracker()
    run_id = begun(store, run)
    outcome = close("node7", [], store)
    assert outcome.to_upload == [run.directory]
    assert record.load(run.directory).result is not None
    assert store.statuses[run_id] == "RUNNING"


def test_run_of_the_store_whose_directory_is_away_is_closed_in_the_store_alone(tmp_path: Path) -> None:
    store = MemoryTracker()
    run_id = begun(store, open_run(tmp_path), "/nowhere")
    outcome = close("node7", [], store)
    assert outcome.closed == [
        f"run {run_id} in memory:: closed as KILLED in the store alone, because its directory cannot be read "
        f"from here: {LOST}"
    ]
    assert store.statuses[run_id] == "KILLED"
    assert store.tags[run_id]["failure"] == "host_lost"
    assert store.tags[run_id]["mlflow.note.content"] == f"**KILLED** (host_lost): {LOST}"


def test_directory_of_another_run_with_the_same_path_is_not_taken_for_it(tmp_path: Path) -> None:
    store, run = MemoryTracker(), open_run(tmp_path)
    run_id = store.begin("other", "name", 0, {**GONE, "backendexp.directory": str(run.directory)}, None)
    close("node7", [], store)
    assert store.statuses[run_id] == "KILLED"
    assert record.load(run.directory).result is None


def test_machine_that_shows_a_sign_of_life_keeps_its_runs_in_the_store(tmp_path: Path) -> None:
    store = MemoryTracker()
    run_id = begun(store, open_run(tmp_path), "/nowhere")
    outcome = close("node7", [open_run(tmp_path, silent_s=1)], store)
    assert outcome.closed == []
    assert "because other runs of node7 show signs of life" in outcome.refused[1]
    assert store.statuses[run_id] == "RUNNING"


def test_machine_of_this_name_may_be_another_container(tmp_path: Path) -> None:
    store = MemoryTracker()
    tags = {**machine.tags(), "backendexp.pid_namespace": "1"}
    run_id = begun(store, open_run(tmp_path, tags), "/nowhere")
    outcome = close(machine.host(), [], store)
    assert "because its process may live: this machine is called" in outcome.refused[0]
    assert store.statuses[run_id] == "RUNNING"


def test_dead_process_of_this_machine_is_known_to_be_dead_without_its_directory(tmp_path: Path) -> None:
    store = MemoryTracker()
    run_id = begun(store, open_run(tmp_path, dead_process()), "/nowhere")
    close(machine.host(), [], store)
    assert (store.statuses[run_id], store.tags[run_id]["failure"]) == ("KILLED", "parent_lost")


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("nodes7", "Did you mean 'node7'? Machines with open runs: node7, other"),
        ("quite different", "Machines with open runs: node7, other"),
    ],
)
def test_machine_without_open_runs_is_refused_with_those_that_have_some(
    host: str, said: str, tmp_path: Path
) -> None:
    store, run = MemoryTracker(), open_run(tmp_path)
    store.begin("id", "name", 0, {**GONE, "backendexp.host": "other"}, None)
    with pytest.raises(UserError) as refusal:
        close(host, [run], store)
    assert str(refusal.value) == f"no open run belongs to the machine {host!r}. {said}"
    assert record.load(run.directory).result is None


def test_nothing_is_open_anywhere() -> None:
    with pytest.raises(UserError, match=r"'node7'\. No machine has open runs$"):
        close("node7", [])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_directory_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    run.directory.chmod(0o500)
    (refused,) = close("node7", [run]).refused
    run.directory.chmod(0o700)
    assert "Permission denied" in refused


def test_full_disk_is_reported_and_leaves_the_run_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(tmp_path)

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EventFile, "_write", full)
    outcome = close("node7", [run])
    assert outcome.refused == [f"{run.directory}: not closed: [Errno 28] No space left on device"]
    assert not outcome.alive
    assert record.load(run.directory).result is None
