"""What Slurm's commands say of jobs. The commands are stand-ins that print what Slurm 22.05 printed."""

import os
from pathlib import Path

import pytest

from backendexp.launchers.slurm_states import States, is_under_way, reason

ARRAY = """\
JobId=6 ArrayJobId=5 ArrayTaskId=0 JobName=backendexp UserId=root(0) JobState=CANCELLED Reason=None
JobId=7 ArrayJobId=5 ArrayTaskId=1 JobName=backendexp UserId=root(0) JobState=RUNNING Reason=None
JobId=5 ArrayJobId=5 ArrayTaskId=2-3,6%4 JobName=backendexp UserId=root(0) JobState=PENDING Reason=Resources
"""
REST = "JobId=5 ArrayJobId=5 ArrayTaskId=4294967294 JobName=x JobState=CANCELLED Reason=Resources\n"


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose programs come first on PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    command(tmp_path, "sacct", "", 1)
    return tmp_path


def command(folder: Path, name: str, prints: str, code: int = 0, complains: str = "") -> None:
    (folder / f"{name}.txt").write_text(prints)
    script = f"#!/bin/sh\ncat '{folder}/{name}.txt'\necho '{complains}' >&2\nexit {code}\n"
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)


def test_each_job_of_an_array_has_its_own_state(commands: Path) -> None:
    command(commands, "scontrol", ARRAY)
    states = States([f"5_{number}" for number in (0, 1, 2, 3, 6)])
    found = [states.of(f"5_{number}") for number in (0, 1, 2, 3, 6)]
    assert found == ["CANCELLED", "RUNNING", "PENDING", "PENDING", "PENDING"]


def test_jobs_that_were_cancelled_before_they_began_share_a_record(commands: Path) -> None:
    command(commands, "scontrol", REST)
    assert States(["5_4"]).of("5_4") == "CANCELLED"


def test_a_controller_that_does_not_answer_says_nothing_about_a_job(commands: Path) -> None:
    command(commands, "scontrol", "", 1, "slurm_load_jobs error: Unable to contact slurm controller")
    assert States(["5_0"]).of("5_0") is None


def test_the_database_knows_jobs_that_the_controller_has_forgotten(commands: Path) -> None:
    command(commands, "scontrol", "", 1, "slurm_load_jobs error: Invalid job id specified")
    assert States(["5_0"]).of("5_0") == ""
    command(commands, "sacct", "5_0|6|CANCELLED by 0\n5_1|7|OUT_OF_MEMORY\n")
    states = States(["5_0", "5_1"])
    assert [states.of("5_0"), states.of("5_1")] == ["CANCELLED", "OUT_OF_MEMORY"]


def test_states_are_said_in_words() -> None:
    assert reason("OUT_OF_MEMORY") == "the Slurm job used more memory than it was given (mem_gb)"
    assert reason("FAILED") == "the Slurm job ended in the state FAILED"
    assert reason("") == "the Slurm job ended in the state unknown"
    assert is_under_way("COMPLETING")
    assert not is_under_way("CANCELLED")
    assert not is_under_way("")
