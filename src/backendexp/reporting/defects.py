"""Keeps an error of backendexp itself in one artifact from preventing the others."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

TRACEBACKS_FILE = "defects.txt"


@dataclass(frozen=True)
class Written:
    """The artifacts that were written.

    folder: where they are.
    report: the page to look at; None if a defect prevented it.
    defects: a sentence for each artifact that is missing.
    """

    folder: Path
    report: Path | None
    defects: tuple[str, ...]


@dataclass(frozen=True)
class Defects:
    """The errors that occurred while artifacts were made.

    folder: the folder of the artifacts. The tracebacks are written into its file TRACEBACKS_FILE.
    sentences: a sentence for each artifact that is missing.
    """

    folder: Path
    sentences: list[str] = field(default_factory=list)

    @contextmanager
    def kept(self, artifact: str) -> Iterator[None]:
        """Record any error that occurs while `artifact` is made, and continue with the next artifact.

        Use it only for what is computed from checked numbers, where every error is a defect of backendexp.
        Do not use it for writing files: a full disk is not a defect.
        """
        try:
            yield
        except Exception as error:
            with (self.folder / TRACEBACKS_FILE).open("a", encoding="utf-8") as file:
                file.write(f"{artifact}\n{traceback.format_exc()}\n")
            reason = (str(error).strip().splitlines() or ["no message"])[0]
            self.sentences.append(
                f"{artifact} is missing: {type(error).__name__}, {reason}. This is a defect of backendexp, "
                f"and the runs are not to blame. Please report it, with {self.folder / TRACEBACKS_FILE}."
            )

    def concluded(self, name: str, make: Callable[[], str]) -> Written:
        """Write the page, which is the last of the artifacts.

        name: of its file. make: returns its content.
        """
        page = None
        with self.kept(name):
            page = make()
        if page is None:
            return Written(self.folder, None, tuple(self.sentences))
        report = self.folder / name
        report.write_text(page, encoding="utf-8")
        return Written(self.folder, report, tuple(self.sentences))
