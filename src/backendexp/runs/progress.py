"""Shows progress while something is under way: a live line on a terminal, plain lines elsewhere.

Everything is written to stderr, because stdout is for results.
"""

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from backendexp.runs import results
from backendexp.runs.events import Event
from backendexp.runs.plan import RunSpec

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_WAITS = {
    "data": "making the data",
    "build": "building the model",
    "fit": "compiling, first epoch",
    "evaluate": "evaluating",
    "predict": "predicting",
    "save": "saving the model",
}
# Without a terminal, a wait gets a line once it has lasted this long, and training gets one this often.
_WAIT_WORTH_A_LINE_S = 1.0
_LINE_EVERY_S = 5.0


class Progress(Protocol):
    """Shows the events of a run and what is being waited for. It is a context manager around one run."""

    def __enter__(self) -> "Progress": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def say(self, text: str) -> None:
        """Show what happens next, or what is being waited for."""

    def hear(self, event: Event) -> None:
        """Show an event of the run."""


def progress_for(spec: RunSpec) -> Progress:
    """A live line if stderr is a terminal, else plain lines."""
    return LiveProgress(spec) if sys.stderr.isatty() else PlainProgress(spec)


def describe(event: Event, spec: RunSpec) -> str | None:
    """A line about an event, for a person who waits for the run; None if the event is not worth a line."""
    name = event["event"]
    if name == "ready":
        return f"Keras {event['keras']} on {event['engine']} {event['engine_version']} is ready"
    if name == "phase":
        return _WAITS.get(event["name"])
    if name == "epoch":
        values = {"loss": event["loss"], **results.metrics_of(event)}
        shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        return f"epoch {event['epoch']}/{spec.training.epochs}  {shown}"
    return None


class PlainProgress:
    """Lines for logs and pipes: one for each wait that has lasted a second, and now and then an epoch."""

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec
        self._began = time.monotonic()
        self._last_epoch = time.monotonic()
        self._pending: threading.Timer | None = None

    def __enter__(self) -> "PlainProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()

    def say(self, text: str) -> None:
        self._forget()
        self._pending = threading.Timer(_WAIT_WORTH_A_LINE_S, self._print, [text])
        self._pending.daemon = True
        self._pending.start()

    def hear(self, event: Event) -> None:
        text = describe(event, self._spec)
        if text is None:
            return
        if event["event"] != "epoch":
            self.say(text)
            return
        self._forget()
        if time.monotonic() - self._last_epoch >= _LINE_EVERY_S:
            self._last_epoch = time.monotonic()
            self._print(f"{text}  {time.monotonic() - self._began:.1f} s")

    def _forget(self) -> None:
        if self._pending is not None:
            self._pending.cancel()

    def _print(self, text: str) -> None:
        print(f"[{self._spec.title}] {text}", file=sys.stderr, flush=True)


class LiveProgress:
    """One line that shows the phase, and then a bar of the epochs with the loss and the time. The line is
    removed at the end.
    """

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> "LiveProgress":
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn("line" if console.options.ascii_only else "dots"),
            TextColumn("{task.fields[title]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            # The line is drawn so rarely that drawing it does not slow down the training.
            refresh_per_second=4,
        )
        self._bar.start()
        self._task = self._bar.add_task("starting", title=self._spec.title, total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._bar is not None
        self._bar.stop()

    def say(self, text: str) -> None:
        self._show(description=text)

    def hear(self, event: Event) -> None:
        text = describe(event, self._spec)
        if text is None:
            return
        if event["event"] == "epoch":
            self._show(description=text, total=self._spec.training.epochs, completed=event["epoch"])
        else:
            self._show(description=text)

    def _show(self, description: str, total: float | None = None, completed: float | None = None) -> None:
        assert self._bar is not None
        assert self._task is not None
        from rich.markup import escape

        self._bar.update(self._task, description=escape(description), total=total, completed=completed)
