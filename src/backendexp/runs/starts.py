"""The starts of a sweep. A later start in the same folder continues what earlier ones have begun.

Each start adds a line to starts.jsonl in the sweep's folder: its command line, its working directory, and how
many runs it planned. The processes in which a launcher runs jobs read the last line. A run has the number of
its start as a tag, so that it is known which of two runs of one plan came later.
"""

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from backendexp.config.schema import FAILED, REDO, SKIP
from backendexp.runs.plan import RunSpec
from backendexp.runs.record import RunRecord
from backendexp.runs.results import FINISHED
from backendexp.runs.tags import BLOCK, POSITION, ROLE

FILE = "starts.jsonl"
# The names of tags: the number of the start that made a run, and how many runs this start planned in all.
START, PLANNED = "start_number", "planned_runs"
# The value of PLANNED where the results decide how many runs there are.
UNTIL_DECIDED = "until decided"

Key = Hashable
Run = TypeVar("Run")


@dataclass(frozen=True)
class Start:
    """One start of a sweep.

    number: counted from 1.
    arguments: the words of the command line, without passwords.
    folder: the working directory.
    began: seconds since 1970.
    planned: the number of jobs, or 0 if it was not known.
    rule: the setting `resume`.
    """

    number: int
    arguments: tuple[str, ...]
    folder: str
    began: float
    planned: int
    rule: str


def read(folder: Path) -> list[Start]:
    """The starts in the folder of a sweep, the first one first. Empty if an earlier version made it."""
    try:
        lines = (folder / FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    known = [json.loads(line) for line in lines]
    return [Start(**{**one, "arguments": tuple(one["arguments"])}) for one in known]


def write(folder: Path, starts: Sequence[Start]) -> None:
    text = "".join(json.dumps(asdict(start)) + "\n" for start in starts)
    part = folder / f"{FILE}.part"
    part.write_text(text, encoding="utf-8")
    part.replace(folder / FILE)


def key_of(plan: str, tags: Mapping[str, str]) -> Key:
    """What two runs of a sweep share if one of them repeats the other: the plan, and the place in the design.

    plan: the id of the plan. tags: of the run.
    """
    return (plan, *(tags.get(name) for name in (ROLE, BLOCK, POSITION)))


def key_of_record(run: RunRecord) -> Key:
    return key_of(run.spec.id, run.context.tags)


def counted(runs: Iterable[Run], facts: Callable[[Run], tuple[Key, bool, int]]) -> list[Run]:
    """The runs that count: of several runs with one key, the finished ones of the latest start that finished
    one; or those of the latest start, if none has finished.

    facts: for a run its key, whether it has finished, and the number of its start.

    Two finished runs of one start both count, because a user may have asked for a plan twice.
    """
    known = [(run, *facts(run)) for run in runs]
    best: dict[Key, tuple[bool, int]] = {}
    for _, key, finished, start in known:
        best[key] = max(best.get(key, (False, 0)), (finished, start))
    return [run for run, key, finished, start in known if (finished, start) == best[key]]


def counted_records(runs: Iterable[RunRecord]) -> list[RunRecord]:
    def facts(run: RunRecord) -> tuple[Key, bool, int]:
        return key_of_record(run), _has_finished(run), number_of(run.context.tags)

    return counted(runs, facts)


def _has_finished(run: RunRecord) -> bool:
    return run.result is not None and run.result.status == FINISHED


def number_of(tags: Mapping[str, str]) -> int:
    """The number of the start that made a run."""
    text = tags.get(START, "1")
    return int(text) if text.isdigit() else 1


class Earlier:
    """What earlier starts of a sweep have done. Each of their runs stands for one planned run.

    runs: those that count.
    rule: the setting `resume`.
    tries: those of earlier tries of the same job, which the rule does not concern.
    """

    def __init__(
        self, runs: Sequence[RunRecord] = (), rule: str = SKIP, tries: Sequence[RunRecord] = ()
    ) -> None:
        self.runs = tuple(runs)
        self._rule = rule
        self._met = {key_of_record(run) for run in runs}
        self._left: dict[Key, list[RunRecord]] = {}
        for run in [*tries, *(() if rule == REDO else runs)]:
            if _has_finished(run):
                self._left.setdefault(key_of_record(run), []).append(run)

    @property
    def leaves_out_some(self) -> bool:
        """Whether planned runs may be left out although they have not finished."""
        return self._rule == FAILED

    def take(self, spec: RunSpec, tags: Mapping[str, str]) -> RunRecord | None:
        """A finished run that stands for a planned one, which therefore need not be made. None if there is
        none.

        tags: of the planned run.
        """
        left = self._left.get(key_of(spec.id, tags))
        return left.pop(0) if left else None

    def leaves_out(self, spec: RunSpec, tags: Mapping[str, str]) -> bool:
        """Whether a planned run is not made although it has not finished."""
        return self.leaves_out_some and key_of(spec.id, tags) not in self._met
