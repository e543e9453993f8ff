"""Runs Keras's own tests, which the installed wheel contains, on the Theano backend and on others.

From the folder packages/keras_theano:

    python conformance/run.py                                   # all areas on the Theano backend
    python conformance/run.py --areas losses layers/core
    python conformance/run.py --backends theano numpy jax       # also on the backends to compare with
    python conformance/run.py --jobs 2                          # two areas at a time
    python conformance/run.py --resume                          # only areas without an outcome
    python conformance/run.py --table                           # runs no tests, writes the table

It needs pytest-timeout and the packages that Keras's tests import, which requirements.txt beside it lists. It
writes the outcomes to results.json, and keeps those of the areas that it did not run. It
exits with 1 if any of these is true of the Theano backend:

- a test fails that expected_failures.txt does not list
- fewer tests pass, of an area or of all, than the bounds require
- an area skips more tests than it does on both the numpy and the jax backend
"""

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
EXPECTED = HERE / "expected_failures.txt"
PAGE = HERE.parents[2] / "docs" / "keras-theano-conformance.md"
BOUND = 0.98  # in every area
OVERALL_BOUND = 0.995
BACKENDS = ("theano", "numpy", "jax", "torch")


class Area(NamedTuple):
    """A group of Keras's tests.

    paths: the files and folders of the tests, relative to keras/src.
    select: the value of pytest's option -k.
    """

    paths: list[str]
    select: str = ""


AREAS = {
    **{
        name: Area([name])
        for name in (
            "activations",
            "constraints",
            "dtype_policies",
            "initializers",
            "losses",
            "metrics",
            "optimizers",
            "random",
            "regularizers",
            "callbacks",
            "models",
            "trainers",
            "saving",
            "layers/activations",
            "layers/core",
            "layers/merging",
            "layers/regularization",
            "layers/reshaping",
            "layers/normalization",
            "layers/attention",
            "layers/rnn",
            "layers/convolutional",
            "layers/pooling",
            "layers/preprocessing/image_preprocessing",
            "backend/tests",
            "datasets",
            "distillation",
            "distribution",
            "export",
            "legacy",
            "quantizers",
            "testing",
            "tree",
            "utils",
            "wrappers",
        )
    },
    "layers/preprocessing": Area(
        [
            f"layers/preprocessing/{name}_test.py"
            for name in (
                *("category_encoding", "data_layer", "discretization", "feature_space", "hashed_crossing"),
                *("hashing", "index_lookup", "integer_lookup", "mel_spectrogram", "normalization"),
                *("pipeline", "rescaling", "stft_spectrogram", "string_lookup", "text_vectorization"),
            )
        ]
    ),
    # The tests left out download the weights of 40 models, some gigabytes.
    "applications": Area(["applications"], "not test_application_base"),
    **{
        f"ops/{name}": Area([f"ops/{name}_test.py"])
        for name in ("core", "image", "linalg", "math", "nn", "numpy")
    },
    "ops: others": Area(
        [
            f"ops/{name}_test.py"
            for name in (
                *("einops", "function", "node", "operation", "operation_utils", "ops"),
                "symbolic_arguments",
            )
        ]
    ),
    "layers/layer": Area(["layers/layer_test.py"]),
    "backend/common": Area(["backend/common"]),
}
# These test the code of another backend, and belong to no area.
OTHER_BACKENDS = ("backend/jax", "backend/tensorflow", "backend/torch")


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    # As with Ctrl-C, leaving through an exception also ends pytest.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    results = read(options.results)
    expected = read_expected(EXPECTED)
    if not options.table:
        wanted = [
            (backend, area)
            for backend in options.backends
            for area in options.areas
            if not (options.resume and area in results.get(backend, {}))
        ]
        began = time.monotonic()
        for backend, area, outcome in run_all(wanted, options):
            results.setdefault(backend, {})[area] = outcome
            write(options.results, results)
            print(f"{backend:7} {area:22} {summary(outcome)}", flush=True)
        print(f"{len(wanted)} areas in {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    if options.table:
        write_table(PAGE, results, expected)
    judged = [] if options.table or "theano" not in options.backends else options.areas
    wrong = verdict(results, expected, judged)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=["theano"])
    parser.add_argument("--areas", nargs="+", choices=AREAS, default=list(AREAS), metavar="AREA")
    parser.add_argument(
        "--table",
        action="store_true",
        help="run no tests, but write the table in the documentation from the results",
    )
    parser.add_argument(
        "--resume", action="store_true", help="skip areas whose outcome on the backend is in the results"
    )
    parser.add_argument("--jobs", type=int, default=1, help="how many areas run at the same time")
    parser.add_argument("--timeout", type=float, default=120.0, help="how many seconds a test may take")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument(
        "--logs", type=Path, help="a directory for the logs, which contain the traceback of every failure"
    )
    return parser.parse_args(arguments)


# -- the areas -------------------------------------------------------------------------------------------


def run_all(
    wanted: list[tuple[str, str]], options: argparse.Namespace
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Run pairs of a backend and an area, and yield each with its outcome as it ends. Leaving early ends the
    tests that are running.
    """
    running = Running()
    with ThreadPoolExecutor(max_workers=options.jobs) as jobs:
        pairs = {
            jobs.submit(run, backend, area, options.timeout, options.logs, running): (backend, area)
            for backend, area in wanted
        }
        try:
            for ended in as_completed(pairs):
                yield *pairs[ended], ended.result()
        finally:
            jobs.shutdown(wait=False, cancel_futures=True)
            running.end()


class Running:
    """The processes of pytest that are running."""

    def __init__(self) -> None:
        self.processes: set[subprocess.Popen[bytes]] = set()
        self.ending = False
        self.lock = threading.Lock()

    def start(self, command: list[str], **how: Any) -> "subprocess.Popen[bytes]":
        """Start a process. Raise SystemExit if all processes are being ended."""
        with self.lock:
            if self.ending:
                raise SystemExit("ended early")
            process = subprocess.Popen(command, **how)
            self.processes.add(process)
            return process

    def end(self) -> None:
        """Kill the processes, and start no more of them."""
        with self.lock:
            self.ending = True
            for process in self.processes:
                process.kill()


# -- one area on one backend -----------------------------------------------------------------------------


def run(backend: str, area: str, timeout: float, logs: Path | None, running: Running) -> dict[str, Any]:
    """Run an area on a backend. Return how many tests passed, failed and were skipped, with a short reason
    for each failure and each kind of skip. If the process dies or hangs, the test that was running fails, and
    another process continues after it.
    """
    with tempfile.TemporaryDirectory(prefix="conformance-") as scratch:
        log = Path(scratch) / "log.jsonl"
        if logs is not None:
            logs.mkdir(parents=True, exist_ok=True)
            log = logs.resolve() / f"{backend}-{area.translate(_FILE_NAME)}.jsonl"
            log.unlink(missing_ok=True)
        began = time.monotonic()
        log.touch()
        while (ended := run_pytest(backend, AREAS[area], timeout, log, Path(scratch), running)) is not None:
            unfinished = running_test(log)
            if unfinished is None:
                raise SystemExit(f"pytest stopped outside of any test ({ended}): {backend}, {area}")
            line = {"id": unfinished, "outcome": "failed", "reason": ended, "seconds": 0.0}
            with log.open("a") as file:
                file.write(json.dumps(line) + "\n")
        lines = [line for line in map(json.loads, log.read_text().splitlines()) if "id" in line]
    outcomes = {line["id"]: line for line in lines}.values()
    if not outcomes:
        raise SystemExit(f"pytest found no tests: {backend}, {area}")
    by_outcome = {
        outcome: [line for line in outcomes if line["outcome"] == outcome]
        for outcome in ("passed", "failed", "skipped")
    }
    return {
        "passed": len(by_outcome["passed"]),
        "failed": {line["id"]: brief(line["reason"]) for line in by_outcome["failed"]},
        "skipped": dict(Counter(brief(line["reason"]) for line in by_outcome["skipped"])),
        "seconds": round(time.monotonic() - began),
        "versions": {name: version(name) for name in ("keras", "numpy", *_ENGINES[backend])},
        "python": platform.python_version(),
    }


_FILE_NAME = str.maketrans("/ :,", "____")
_ENGINES = {"theano": ["pytensor"], "numpy": [], "jax": ["jax"], "torch": ["torch"]}
_TESTS_FAILED, _NO_TESTS_COLLECTED = 1, 5


def run_pytest(
    backend: str, area: Area, timeout: float, log: Path, scratch: Path, running: Running
) -> str | None:
    """Run pytest. Return None if it finished, or else a sentence that says how it ended."""
    package = find_spec("keras")
    assert package is not None
    assert package.origin is not None
    source = Path(package.origin).parent / "src"
    empty = scratch / "pytest.ini"
    empty.write_text("[pytest]\n")
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "KERAS_HOME": str(scratch / "keras"),
        "KERAS_THEANO_MODE": "auto",
        "CONFORMANCE_LOG": str(log),
        "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "JAX_PLATFORMS": "cpu",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [
        *(sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=short", "-p", "no:cacheprovider"),
        *("-p", "recorder", "-c", str(empty), f"--rootdir={source}", f"--timeout={timeout}"),
        # Their conftest.py is the recorder, and not one that lies above the environment.
        "--noconftest",
        "--continue-on-collection-errors",
        *(["-k", area.select] if area.select else []),
        *[str(source / path) for path in area.paths],
    ]
    with (scratch / "pytest.out").open("w") as output:
        process = running.start(
            command, cwd=scratch, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while True:
                try:
                    code = process.wait(5)
                    break
                except subprocess.TimeoutExpired:
                    # pytest-timeout cannot interrupt native code, so a second limit applies here.
                    if running_test(log) is not None and time.time() - log.stat().st_mtime > 2 * timeout:
                        return f"hung: killed after {2 * timeout:.0f} s"
        finally:
            process.kill()
            process.wait()
            running.processes.discard(process)
    if code in (0, _TESTS_FAILED, _NO_TESTS_COLLECTED):
        return None
    print((scratch / "pytest.out").read_text()[-2000:], file=sys.stderr)
    return f"the process died with exit code {code}"


def running_test(log: Path) -> str | None:
    """Return the test that has begun and not ended, if there is one."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return lines[-1].get("began") if lines else None


def brief(reason: str) -> str:
    lines = [line[1:].strip() for line in reason.splitlines() if line.startswith("E ")]
    lines = lines or [line.strip() for line in reason.splitlines() if line.strip()]
    # Remove the path of Keras on this machine.
    return re.sub(r"/\S*/keras/src/", "", " ".join(lines[:2]))[:200]


# -- recorded outcomes, and the judgment of them ---------------------------------------------------------


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.exists() else {}


def write(path: Path, results: dict[str, Any]) -> None:
    path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


def read_expected(path: Path) -> dict[str, str]:
    """Read the reason for each test. The file has a section for each reason, whose heading is the reason in
    brackets, with one test on each line below it.
    """
    reasons: dict[str, str] = {}
    reason = ""
    for line in path.read_text().splitlines():
        if line.startswith("["):
            reason = line.strip()[1:-1]
        elif line.strip() and not line.startswith("#"):
            reasons[line.strip()] = reason
    return reasons


def summary(outcome: dict[str, Any]) -> str:
    return (
        f"{outcome['passed']:5} passed {len(outcome['failed']):4} failed {skips(outcome):4} skipped "
        f"{outcome['seconds']:5} s"
    )


def skips(outcome: dict[str, Any]) -> int:
    return sum(outcome["skipped"].values())


def as_skipped(outcome: dict[str, Any], expected: dict[str, str]) -> int:
    """Count the failures that are skips on the other backends, where the tests skip themselves by the name of
    the backend.
    """
    return sum(expected.get(test, "").startswith(_AS_SKIPPED) for test in outcome["failed"])


_AS_SKIPPED = "Counts as skipped"


def rate(outcome: dict[str, Any], expected: dict[str, str]) -> float:
    """Return the share of tests that passed, leaving out skipped tests and failures that count as skipped."""
    ran = outcome["passed"] + len(outcome["failed"]) - as_skipped(outcome, expected)
    return outcome["passed"] / ran if ran else 1.0


def skips_allowed(results: dict[str, Any], area: str) -> int | None:
    """Return how many tests the numpy or the jax backend skips, whichever is more, or None if neither was
    run.
    """
    others = [results[name][area] for name in ("numpy", "jax") if area in results.get(name, {})]
    return max(map(skips, others), default=None)


def verdict(results: dict[str, Any], expected: dict[str, str], areas: list[str]) -> list[str]:
    """Return one line for each requirement that the Theano backend does not meet in these areas."""
    wrong = []
    for area in areas:
        outcome = results.get("theano", {}).get(area)
        if outcome is None:
            continue
        wrong += [
            f"unexpected failure: {test}: {reason}"
            for test, reason in outcome["failed"].items()
            if test not in expected
        ]
        share = rate(outcome, expected)
        if share < BOUND:
            wrong.append(f"{area}: {share:.1%} of the tests passed, but at least {BOUND:.0%} must pass")
        skipped = skips(outcome) + as_skipped(outcome, expected)
        allowed = skips_allowed(results, area)
        if allowed is not None and skipped > allowed:
            wrong.append(
                f"{area}: {skipped} tests were skipped, but the other backends skip at most {allowed}"
            )
    done = results.get("theano", {})
    if areas and set(AREAS) <= set(done):
        share = rate(total(done.values()), expected)
        if share < OVERALL_BOUND:
            wrong.append(f"{share:.2%} of all tests passed, but at least {OVERALL_BOUND:.1%} must pass")
    return wrong


def total(outcomes: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the outcomes of several areas as one."""
    outcomes = list(outcomes)
    return {
        "passed": sum(outcome["passed"] for outcome in outcomes),
        "failed": {test: reason for outcome in outcomes for test, reason in outcome["failed"].items()},
        "skipped": dict(sum((Counter(outcome["skipped"]) for outcome in outcomes), Counter())),
        "seconds": sum(outcome["seconds"] for outcome in outcomes),
    }


# -- the page --------------------------------------------------------------------------------------------

_BEGIN, _END = (
    "<!-- table: python packages/keras_theano/conformance/run.py --table -->",
    "<!-- end of table -->",
)


def write_table(page: Path, results: dict[str, Any], expected: dict[str, str]) -> None:
    before, rest = page.read_text().split(_BEGIN)
    _, after = rest.split(_END)
    lines = [*table(results, expected), "", *reasons(expected)]
    page.write_text("\n".join([before + _BEGIN, "", *lines, "", _END + after]))


def reasons(expected: dict[str, str]) -> list[str]:
    lines = ["| tests expected to fail | reason |", "|---:|---|"]
    return lines + [f"| {count} | {reason} |" for reason, count in Counter(expected.values()).most_common()]


def table(results: dict[str, Any], expected: dict[str, str]) -> list[str]:
    """Return the lines of a table with the outcomes of each area on each backend, and the share that
    passed.
    """
    versions = {backend: _versions(results.get(backend, {})) for backend in BACKENDS}
    lines = [
        "| area | " + " | ".join(f"{backend}: passed / failed / skipped | " for backend in BACKENDS) + " |",
        "|---|" + "---:|---:|" * len(BACKENDS),
    ]
    for name in AREAS:
        outcomes = [results.get(backend, {}).get(name) for backend in BACKENDS]
        cells = [cell for outcome in outcomes for cell in _cells(outcome, expected)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    totals = [total(results[backend].values()) if backend in results else None for backend in BACKENDS]
    lines.append("| all | " + " | ".join(cell for whole in totals for cell in _cells(whole, expected)) + " |")
    minutes = [f"{whole['seconds'] / 60:.0f} minutes | " if whole else "| " for whole in totals]
    lines.append("| time | " + " | ".join(minutes) + " |")
    return [*lines, "", *[f"- {backend}: {used}" for backend, used in versions.items() if used]]


def _cells(outcome: dict[str, Any] | None, expected: dict[str, str]) -> list[str]:
    if outcome is None:
        return ["not run", ""]
    counts = f"{outcome['passed']} / {len(outcome['failed'])} / {skips(outcome)}"
    return [counts, f"{rate(outcome, expected):.1%}"]


def _versions(areas: dict[str, Any]) -> str:
    """Return the versions of the packages that the outcomes were recorded with."""
    found = {
        ", ".join([f"Python {outcome['python']}", *map(" ".join, outcome["versions"].items())])
        for outcome in areas.values()
    }
    return "; ".join(sorted(found))


if __name__ == "__main__":
    sys.exit(main())
