"""Signs of life, by the clock of the file system."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backendexp.runs import heartbeat
from backendexp.runs.events import EventFile
from backendexp.runs.heartbeat import Heartbeat, age_s
from support.projects import reached

LONG_AGO_S = 1000.0


@pytest.fixture
def events(tmp_path: Path) -> Path:
    file = tmp_path / "run" / "events.jsonl"
    file.parent.mkdir()
    file.write_bytes(b'{"event": "ready"}\n')
    return aged(file)


def aged(file: Path, seconds: float = LONG_AGO_S) -> Path:
    then = time.time() - seconds
    os.utime(file, (then, then))
    return file


@pytest.fixture
def beating(events: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Heartbeat]:
    monkeypatch.setattr(heartbeat, "INTERVAL_S", 0.01)
    heart = Heartbeat(events)
    yield heart
    heart.stop()


@pytest.mark.usefixtures("beating")
def test_sign_of_life_is_the_time_of_the_events_and_changes_nothing_else(events: Path) -> None:
    content, there = events.read_bytes(), list(events.parent.iterdir())
    assert reached(lambda: age_s(events) < 100, 10)
    assert events.read_bytes() == content
    assert list(events.parent.iterdir()) == there


def test_no_sign_of_life_comes_after_the_last(events: Path, beating: Heartbeat) -> None:
    beating.stop()
    aged(events)
    time.sleep(0.1)
    assert age_s(events) > LONG_AGO_S / 2
    assert "heartbeat" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.usefixtures("beating")
def test_directory_that_vanishes_and_comes_back_stops_nothing(events: Path) -> None:
    events.parent.rename(events.parent.with_name("away"))
    time.sleep(0.1)
    events.parent.with_name("away").rename(events.parent)
    aged(events)
    assert reached(lambda: age_s(events) < 100, 10)


def test_first_sign_of_life_is_not_given_while_a_short_run_lasts(events: Path) -> None:
    heart = Heartbeat(events)
    heart.stop()
    assert age_s(events) > LONG_AGO_S / 2


def test_age_does_not_depend_on_the_clock_of_this_machine(
    events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert age_s(events) == pytest.approx(LONG_AGO_S, abs=60)
    assert list(events.parent.iterdir()) == [events]


def test_events_in_the_future_have_a_negative_age(events: Path) -> None:
    assert age_s(aged(events, -500)) == pytest.approx(-500, abs=60)


def test_age_of_missing_events_is_an_error(events: Path) -> None:
    events.unlink()
    with pytest.raises(FileNotFoundError):
        age_s(events)


def test_file_of_a_run_beats_until_it_is_closed(events: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL_S", 0.01)
    file = EventFile(events)
    file.beat()
    aged(events)
    assert reached(lambda: age_s(events) < 100, 10)
    file.close()
    assert "heartbeat" not in [thread.name for thread in threading.enumerate()]
