"""Artifacts that an error of our own keeps from being made. What was measured is told without them."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

FILE = "defects.txt"


@dataclass(frozen=True)
class Written:
    """folder: what was written. report: the page to look at, None where a defect kept it from being made.
    defects: a sentence for each artifact that is missing.
    """

    folder: Path
    report: Path | None
    defects: tuple[str, ...]


@dataclass(frozen=True)
class Defects:
    """folder: of the artifacts; it gets FILE, which holds the tracebacks. told: a sentence each."""

    folder: Path
    told: list[str] = field(default_factory=list)

    @contextmanager
    def kept(self, artifact: str) -> Iterator[None]:
        """Any error in the making of `artifact` is kept, and ends no more than that.

        For what is computed from checked numbers alone, where every error is a defect. Not for the writing of
        files: a full disk is none.
        """
        try:
            yield
        except Exception as error:
            with (self.folder / FILE).open("a", encoding="utf-8") as file:
                file.write(f"{artifact}\n{traceback.format_exc()}\n")
            reason = (str(error).strip().splitlines() or ["no message"])[0]
            self.told.append(
                f"{artifact} is missing: {type(error).__name__}, {reason}. This is a defect of backendexp, "
                f"and the runs are not to blame. Please report it, with {self.folder / FILE}."
            )

    def concluded(self, name: str, make: Callable[[], str]) -> Written:
        """Write the page that `make` returns, the last of the artifacts, below `name`."""
        page = None
        with self.kept(name):
            page = make()
        if page is None:
            return Written(self.folder, None, tuple(self.told))
        report = self.folder / name
        report.write_text(page, encoding="utf-8")
        return Written(self.folder, report, tuple(self.told))
