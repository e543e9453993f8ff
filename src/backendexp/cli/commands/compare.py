"""`backendexp compare` says which backend is faster and how certain that is, from tracked runs."""

import argparse
import gc
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from backendexp import places
from backendexp.analysis import limits
from backendexp.analysis.findings import Comparison, TrackedRun
from backendexp.analysis.limits import Limit
from backendexp.cli.exit_codes import OK, RUN_FAILED
from backendexp.config.schema import TrackingConfig, check_tracking, has_key, unknown_key
from backendexp.errors import TrackingError, UserError
from backendexp.experiments.compare import Settings
from backendexp.runs.session import Destination, destination
from backendexp.runs.sweep_ids import id_in
from backendexp.spelling import nearest

_DEFAULTS = Settings()
# The suffix of the file that --output names decides the format.
_FORMATS = {".md": "markdown", ".csv": "csv", ".json": "json", ".html": "html"}
_REPORT = Path("comparison.html")
_URI = "tracking.uri="
_EPILOG = """\
examples:
  backendexp compare                                    the latest sweep of several backends
  backendexp compare 2026-11-22/10-00-00 --baseline jax
  backendexp compare multirun/2026-11-22/10-00-00 multirun/2026-11-23/10-00-00
                                                        the second sweep against the first
  backendexp compare --format html --output report.html
  backendexp compare BEFORE AFTER --fail-if 'training_time_s > 1.2'

exit codes: 0 all went well; 1 a limit of --fail-if is broken or undecided; 2 bad input, or nothing to compare

docs/comparing.md explains the numbers."""


@dataclass(frozen=True)
class Request:
    """Holds what the command line asks for, after it has been checked.

    sweeps: the ids of the sweeps, beginning with the one that the other is compared with. An empty tuple
        stands for the latest sweep.
    by: the setting whose values are compared, or None for backends.
    experiment: the name of the MLflow experiment, or None for the default.
    everything: whether all runs of the experiment are compared, not those of a sweep.
    format: the output format. None prints tables at a terminal, and Markdown elsewhere.
    """

    sweeps: tuple[str, ...]
    experiment: str | None
    everything: bool
    uri: str | None
    baseline: str | None
    margin: float
    accuracy_margin: float
    format: str | None
    output: Path | None
    limits: tuple[Limit, ...]
    by: str | None = None


def main(arguments: list[str]) -> int:
    """Compare the runs and return the exit code.

    0: the comparison was made. 1: a limit of --fail-if is broken, or the runs are not enough to decide.
    Raises UserError: the input is bad, the runs cannot be compared, or the store cannot be read.
    """
    request = read(arguments)
    tracking = TrackingConfig(uri=request.uri, experiment=request.experiment)
    check_tracking(tracking)
    where = destination(tracking, Path.cwd())
    try:
        with _no_collections():
            comparison = compare(request, where)
            show(comparison, request.format, request.output)
    except TrackingError as error:
        raise UserError(str(error)) from error
    findings = limits.check(comparison, request.limits)
    for finding in findings:
        _say(finding.sentence)
    return OK if all(finding.kept for finding in findings) else RUN_FAILED


@contextmanager
def _no_collections() -> Iterator[None]:
    """Switch the garbage collector off while runs are read.

    Reading creates many small objects, all of which stay in use. Searching them for garbage again and again
    takes twice as long as the reading itself, and finds nothing.
    """
    were_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if were_on:
            gc.enable()


# -- the command line --------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}. See backendexp compare --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "backendexp compare",
        usage="backendexp compare [SWEEP ...] [options] [tracking.uri=URI]",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "sweeps",
        nargs="*",
        metavar="SWEEP",
        help="one sweep, or two to compare with each other; each is given by the tag `sweep` of its "
        "runs or by its folder",
    )
    parser.add_argument(
        "--experiment", metavar="NAME", help="the MLflow experiment, if it is not the default"
    )
    parser.add_argument("--all", action="store_true", help="compare all runs of the experiment, not a sweep")
    parser.add_argument(
        "--baseline",
        metavar="BACKEND",
        help="the backend that the others are compared with (default: the baseline of experiment=compare; in "
        "other sweeps tensorflow if present, otherwise the backend that ran first; of two sweeps the first)",
    )
    parser.add_argument(
        "--by",
        metavar="KEY",
        help="compare the values of a setting on one backend, such as threads, and not backends",
    )
    parser.add_argument(
        "--margin",
        default=str(_DEFAULTS.margin),
        metavar="SHARE",
        help="times with a ratio from 1/(1+SHARE) to 1+SHARE are equivalent (default: %(default)s)",
    )
    parser.add_argument(
        "--accuracy-margin",
        default=str(_DEFAULTS.accuracy_margin),
        metavar="DIFFERENCE",
        help="accuracies that differ by at most this much are equivalent (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        metavar="|".join(_FORMATS.values()),
        help="default: tables at a terminal, otherwise the format of --output's suffix, otherwise markdown",
    )
    parser.add_argument("--output", metavar="FILE", help=f"the file to write (default for html: {_REPORT})")
    parser.add_argument(
        "--fail-if",
        action="append",
        default=[],
        metavar="LIMIT",
        help="exit with 1 if this holds for a pair: MEASURE OP NUMBER. For times and memory the number is a "
        "ratio to the baseline, such as 'training_time_s > 1.2'. For loss and accuracy it is a difference, "
        "such as 'accuracy < -0.05'",
    )
    return parser


def read(arguments: list[str]) -> Request:
    """Parse and check the command line, before any run is looked for.

    Raises UserError: the command line cannot be understood.
    """
    uris = [word.removeprefix(_URI) for word in arguments if word.startswith(_URI)]
    asked = _parser().parse_intermixed_args([word for word in arguments if not word.startswith(_URI)])
    if len(uris) > 1 or "" in uris:
        problem = "is empty" if "" in uris else f"is given {len(uris)} times"
        raise UserError(f"{_URI} {problem}: expected one address, e.g. {_URI}sqlite:///mlflow.db")
    sweeps = tuple(map(_sweep_id, asked.sweeps))
    if len(sweeps) > 2:
        raise UserError(f"{len(sweeps)} sweeps are named: expected at most two, the second against the first")
    if len(set(sweeps)) < len(sweeps):
        raise UserError(f"sweep {sweeps[0]} is named twice: expected two different ones")
    if asked.all and sweeps:
        raise UserError("--all compares all runs of the experiment: leave out either --all or the sweeps")
    output = None if asked.output is None else Path(asked.output)
    chosen = _format(asked.format, output)
    if chosen == "html" and output is None:
        output = _REPORT
    if output is not None and (os.path.isdir(output) or not os.path.isdir(output.absolute().parent)):
        raise UserError(f"--output is {str(output)!r}: expected a file in a folder that exists")
    return Request(
        sweeps=sweeps,
        experiment=asked.experiment,
        everything=asked.all,
        uri=uris[0] if uris else None,
        # If two sweeps are compared with each other, the baseline is one of them.
        baseline=_sweep_id(asked.baseline) if asked.baseline and len(sweeps) == 2 else asked.baseline,
        margin=_share("--margin", asked.margin),
        accuracy_margin=_share("--accuracy-margin", asked.accuracy_margin),
        format=chosen,
        output=output,
        limits=tuple(map(limits.parse, asked.fail_if)),
        by=_setting(asked.by, sweeps),
    )


def _setting(by: str | None, sweeps: Sequence[str]) -> str | None:
    if by is not None and not has_key(by):
        raise UserError(f"--by: {unknown_key(by)}")
    if by is not None and len(sweeps) > 1:
        raise UserError("--by compares the values of a setting in one sweep: name one, or leave out --by")
    return by


def _sweep_id(word: str) -> str:
    """Return the id of the sweep that a word of the command line names.

    For a folder that holds a sweep, this is the id of its last sweep. Otherwise it is the last two folders of
    the path, which name a sweep.
    """
    if "=" in word and "/" not in word:
        raise UserError(
            f"{word} is not known. Expected sweeps, such as 2026-11-22/10-00-00, options, and {_URI}URI"
        )
    if not word.strip():
        raise UserError(f"{word!r} is not a sweep. Expected one such as 2026-11-22/10-00-00")
    path = Path(word)
    if (known := id_in(path)) is not None:
        return known
    parts = path.absolute().parts if os.path.isdir(path) else path.parts
    return "/".join(parts[-2:])


def _format(asked: str | None, output: Path | None) -> str | None:
    known = list(_FORMATS.values())
    expected = f"Expected one of: {', '.join(known)}"
    if asked is not None and asked not in known:
        raise UserError(f"--format is {asked!r}. {nearest(asked, known)}{expected}")
    if asked is not None or output is None:
        return asked
    if output.suffix not in _FORMATS:
        raise UserError(
            f"--output is {str(output)!r}, whose suffix is none of {', '.join(_FORMATS)}: add --format. "
            f"{expected}"
        )
    return _FORMATS[output.suffix]


def _share(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise UserError(f"{option} is {text!r}: expected a number above 0 and at most 1, e.g. {option} 0.05")
    return value


# -- the comparison ----------------------------------------------------------------------------------


def compare(request: Request, where: Destination) -> Comparison:
    """Read the runs from the store and compare them.

    Raises UserError: the runs cannot be compared.
    Raises TrackingError: the store does not answer.
    """
    from backendexp.analysis import tracked_runs

    at = (where.uri, where.experiment)
    sweeps, baseline = request.sweeps, request.baseline
    if request.everything:
        found = tracked_runs.of_experiment(*at, where.experiment_id)
    else:
        if not sweeps:
            sweeps = (tracked_runs.latest_sweep(*at, where.experiment_id, request.by),)
            _say(f"comparing the latest sweep that has more than one {request.by or 'backend'}: {sweeps[0]}")
        else:
            sweeps = tracked_runs.ids_of(*at, sweeps, where.experiment_id)
            if len(set(sweeps)) < len(sweeps):
                raise UserError(f"sweep {sweeps[0]} is named twice: expected two different ones")
            baseline = dict(zip(request.sweeps, sweeps, strict=True)).get(baseline or "", baseline)
        found = tracked_runs.of_sweeps(*at, sweeps, where.experiment_id)

    # SciPy and statsmodels take a second to import, so this comes after all errors of the store.
    from backendexp.analysis import pipeline

    return pipeline.analyse(
        found,
        title=_title(found, sweeps, request.by),
        baseline=baseline,
        by_sweep=len(sweeps) == 2,
        by=request.by,
        margin=request.margin,
        accuracy_margin=request.accuracy_margin,
    )


def _title(found: Sequence[TrackedRun], sweeps: Sequence[str], by: str | None) -> str:
    if len(sweeps) == 2:
        return f"Sweep {sweeps[1]} against {sweeps[0]}"
    backends = ", ".join(sorted({run.backend for run in found}))
    backends = f"{by} on {backends}" if by is not None else backends
    return f"{backends}: sweep {sweeps[0]}" if sweeps else f"{backends}: all runs of the experiment"


# -- what is shown -----------------------------------------------------------------------------------


def show(comparison: Comparison, format_name: str | None, output: Path | None) -> None:
    """Print the comparison, or write it to the file `output` and print that path."""
    if format_name is None and sys.stdout.isatty():
        _show_at_terminal(comparison)
        return
    content = _written(comparison, format_name or "markdown")
    if output is None:
        print(content, end="")
        return
    try:
        output.write_text(content, encoding="utf-8")
    except OSError as error:
        raise UserError(places.sentence(error, output, "Choose another file: --output FILE")) from error
    print(output)


def _written(comparison: Comparison, format_name: str) -> str:
    from backendexp.reporting import text

    if format_name == "html":
        from backendexp.reporting import report

        return report.html(comparison)
    writers = {"markdown": text.markdown, "csv": text.csv, "json": text.to_json}
    return writers[format_name](comparison)


def _show_at_terminal(comparison: Comparison) -> None:
    from backendexp.reporting import text
    from backendexp.reporting.tables import Table
    from backendexp.reporting.terminal import print_table

    for said in text.paragraphs(comparison):
        if isinstance(said, Table):
            print_table(said)
        else:
            print(said)


def _say(text: str) -> None:
    print(f"backendexp: {text}", file=sys.stderr, flush=True)
