import json
from pathlib import Path

import pytest

from backendexp.errors import WorkerError
from backendexp.runs import events
from backendexp.runs.events import EventFile
from backendexp.worker import contract
from support import streams


def test_parent_and_worker_use_the_same_version() -> None:
    assert events.VERSION == contract.VERSION


def test_event_is_read_as_it_was_sent() -> None:
    assert events.parse(b'{"event": "phase", "time": 1.5, "name": "fit"}\n') == {
        "event": "phase",
        "time": 1.5,
        "name": "fit",
    }


@pytest.mark.parametrize(
    "line",
    [
        b"WARNING: the engine prints here\n",
        b"",
        b"\xff\xfe\n",
        b'{"event": "epo',
        b"[1, 2]",
        b'"event"',
        b"null",
        b"3",
        b"{}",
        b'{"name": "fit"}',
    ],
)
def test_line_that_is_not_an_event_is_a_breach_of_the_contract_and_is_quoted(line: bytes) -> None:
    with pytest.raises(WorkerError) as breach:
        events.parse(line)
    assert str(breach.value) == f"a worker sent {line!r}, which is not an event"


def test_long_garbage_is_quoted_partly() -> None:
    with pytest.raises(WorkerError) as breach:
        events.parse(b"x" * 10**6)
    assert len(str(breach.value)) < 300


def test_other_version_of_the_contract_is_refused_with_both_numbers() -> None:
    with pytest.raises(WorkerError, match=r"speaks version 2 of the contract, and this is version 1"):
        events.parse(b'{"event": "ready", "version": 2}')


def test_ready_without_a_version_is_a_breach_of_the_contract() -> None:
    with pytest.raises(WorkerError):
        events.parse(b'{"event": "ready"}')


def test_events_are_in_the_file_as_soon_as_they_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    file = EventFile(path)
    file.append({"event": "phase", "time": 1.0, "name": "fit"})
    assert events.read(path) == [{"event": "phase", "time": 1.0, "name": "fit"}]
    file.append({"event": "finished", "time": 2.0})
    assert [event["event"] for event in events.read(path)] == ["phase", "finished"]
    file.close()


def test_file_that_does_not_exist_holds_no_events(tmp_path: Path) -> None:
    assert events.read(tmp_path / "events.jsonl") == []


def test_last_line_that_a_kill_has_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines = b"".join(json.dumps(event).encode() + b"\n" for event in streams.whole())
    whole = events.read(_written(path, lines))
    for cut in range(1, 60):
        assert events.read(_written(path, lines[:-cut])) == whole[:-1]


def test_file_that_a_kill_has_cut_off_can_be_continued(tmp_path: Path) -> None:
    """A later start does this to record that the run was killed."""
    path = _written(
        tmp_path / "events.jsonl", b'{"event": "phase", "time": 1.0, "name": "fit"}\n{"event": "ep'
    )
    file = EventFile(path)
    file.append(events.ended(events.PARENT_LOST, "killed"))
    file.close()
    assert [event["event"] for event in events.read(path)] == ["phase", "ended"]


def test_file_has_only_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    file = EventFile(path)
    assert file.locked
    path.write_bytes(b'{"event": "pha')  # a line that is still being written
    with pytest.raises(events.BeingWritten):
        EventFile(path)
    assert path.read_bytes() == b'{"event": "pha'
    file.close()
    later = EventFile(path)
    assert path.read_bytes() == b""
    later.close()


def test_ended_has_reason_message_and_time() -> None:
    event = events.ended(events.DEADLINE, "stopped")
    assert (event["event"], event["reason"], event["message"]) == ("ended", "deadline", "stopped")
    assert event["time"] > 1.7e9


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
