"""The command line that continues a sweep is that of its last start, with the settings that are given now."""

from pathlib import Path

import pytest

from backendexp.cli.commands import resume
from backendexp.config.schema import SKIP
from backendexp.runs.starts import Start

FOLDER = Path("/a b/it's/here")
AT = "'/a b/it\\'s/here'"


@pytest.mark.parametrize(
    ("first", "settings", "expected"),
    [
        (["-m", "seed=1,2"], [], ["-m", "seed=1,2", f"hydra.sweep.dir={AT}"]),
        (["-m", "seed=1,2"], ["seed=1,2,3"], ["-m", "seed=1,2,3", f"hydra.sweep.dir={AT}"]),
        (["-m", "seed=1,2", "hydra.sweep.dir=day"], [], ["-m", "seed=1,2", f"hydra.sweep.dir={AT}"]),
        (
            ["experiment=compare", "+added=1"],
            ["added=2"],
            ["experiment=compare", "added=2", f"hydra.run.dir={AT}"],
        ),
        (["-m", "seed=1,2", "resume=redo"], [], ["-m", "seed=1,2", f"hydra.sweep.dir={AT}"]),
        (
            ["--config-dir", "mine", "hydra.mode=MULTIRUN"],
            [],
            ["--config-dir", "mine", "hydra.mode=MULTIRUN", f"hydra.sweep.dir={AT}"],
        ),
    ],
)
def test_settings_replace_those_of_the_last_start(
    first: list[str], settings: list[str], expected: list[str]
) -> None:
    start = Start(1, tuple(first), "/", 0.0, 2, SKIP)
    assert resume.command_line(start, FOLDER, settings) == expected
