"""`backendexp compare` reads the right runs, writes to the right places, and has the right exit codes."""

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backendexp.cli import exit_codes
from backendexp.cli.commands import compare
from backendexp.errors import ComparisonError, UserError
from support.command import Command
from support.imported import HEAVY, WATCHED, split
from support.stores import Store, events_of, spec_of

A, B, LAST = "2026-11-22/10-00-00", "2026-11-22/11-00-00", "2026-11-22/12-00-00"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, empty_store: bytes) -> Store:
    """A store in which Theano took 1.5 times as long in sweep A, and as long as TensorFlow in B. Tests share
    it, so they must not change it.
    """
    store = Store(tmp_path_factory.mktemp("store"), empty_store)
    store.sweep(A, {"tensorflow": 1.0, "theano": 1.5})
    store.sweep(B, {"tensorflow": 1.0, "theano": 1.0})
    store.sweep(LAST, {"jax": 1.0}, range(1))
    return store


@pytest.fixture
def at(filled: Store) -> str:
    return f"tracking.uri={filled.uri}"


def csv_of(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], dict[str, str]]:
    found = csv.DictReader(io.StringIO(capsys.readouterr().out))
    return {(row["group"], row["measure"]): row for row in found}


# -- what is compared --------------------------------------------------------------------------------


def test_without_a_sweep_the_latest_of_several_backends_is_taken_and_named(
    at: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare.main([at]) == exit_codes.OK
    said = capsys.readouterr()
    assert said.err == f"backendexp: comparing the latest sweep that has more than one backend: {B}\n"
    assert said.out.startswith(f"# tensorflow, theano: sweep {B}\n\n- theano and tensorflow are equivalent")


@pytest.mark.parametrize("word", [A, f"multirun/{A}", f"/some/where/{A}/"])
def test_a_sweep_is_found_by_its_tag_or_its_folder(
    word: str, at: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare.main([word, at]) == exit_codes.OK
    said = capsys.readouterr()
    assert said.err == ""
    assert f"sweep {A}\n\n- theano is slower than tensorflow" in said.out


def test_an_existing_folder_is_identified_by_its_full_path(
    at: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / A).mkdir(parents=True)
    monkeypatch.chdir(project / A)
    assert compare.main([".", at]) == exit_codes.OK
    assert f"sweep {A}\n" in capsys.readouterr().out


def test_of_two_sweeps_the_second_is_compared_with_the_first(
    at: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare.main([A, "--format", "csv", B, at]) == exit_codes.OK
    row = csv_of(capsys)[f"theano, {B}", "training_time_s"]
    assert row["baseline"] == f"theano, {A}"
    assert float(row["ratio"]) == pytest.approx(1 / 1.5)
    assert row["verdict"] == "faster"
    assert compare.main([A, B, "--baseline", f"multirun/{B}", "--format", "csv", at]) == exit_codes.OK
    row = csv_of(capsys)[f"theano, {A}", "training_time_s"]
    assert float(row["ratio"]) == pytest.approx(1.5)


MARKS = ("-0123abcd", "-ffff0000")


def test_a_sweep_is_found_by_its_name_if_no_other_has_it(
    tmp_path: Path, empty_store: bytes, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path, empty_store)
    at = f"tracking.uri={store.uri}"
    both = {"jax": 1.0, "theano": 2.0}
    first, second = (f"{A}{mark}" for mark in MARKS)
    store.sweep(first, both, range(3))
    store.sweep(f"{A}0{MARKS[0]}", both, range(3))  # another name that begins in the same way
    assert compare.main([A, at]) == exit_codes.OK
    assert f"sweep {first}\n" in capsys.readouterr().out

    # Two clients started a sweep in the same second, which used to look like one sweep with twice as many
    # blocks.
    store.sweep(second, both, range(3))
    with pytest.raises(
        ComparisonError, match=f"has 2 sweeps '{A}'.*e.g. {second}, which is the newest.*{first}"
    ):
        compare.main([A, at])
    assert compare.main([first, at, "--format", "csv"]) == exit_codes.OK
    assert csv_of(capsys)["theano", "training_time_s"]["blocks"] == "3"
    # In the project where one of them was made, its folder decides which is meant.
    folder = project / "multirun" / A
    folder.mkdir(parents=True)
    (folder / "sweep.id").write_text(first)
    for word in (A, f"multirun/{A}"):
        assert compare.main([word, at]) == exit_codes.OK
        assert f"sweep {first}\n" in capsys.readouterr().out
    with pytest.raises(UserError, match="named twice"):
        compare.main([A, first, at])
    assert compare.main([A, second, "--baseline", f"multirun/{A}", "--format", "csv", at]) == exit_codes.OK
    assert csv_of(capsys)[f"theano, {second}", "training_time_s"]["baseline"] == f"theano, {first}"


def test_a_repeated_sweep_makes_no_more_blocks(
    tmp_path: Path, empty_store: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path, empty_store)
    for _ in range(2):  # with the same id, as in earlier versions
        store.sweep(A, {"jax": 1.0, "theano": 2.0}, range(3))
    for words in ([A], ["--all"]):
        assert compare.main([*words, f"tracking.uri={store.uri}", "--format", "csv"]) == exit_codes.OK
        row = csv_of(capsys)["theano", "training_time_s"]
        assert (row["blocks"], row["runs"]) == ("3", "6")


def test_the_baseline_is_chosen(at: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main([A, "--baseline", "theano", "--format", "csv", at]) == exit_codes.OK
    found = csv_of(capsys)
    assert found["theano", "training_time_s"]["baseline"] == ""
    row = found["tensorflow", "training_time_s"]
    assert row["baseline"] == "theano"
    assert float(row["ratio"]) == pytest.approx(1 / 1.5, rel=0.1)


def test_margins_decide_what_is_equivalent(at: str, capsys: pytest.CaptureFixture[str]) -> None:
    verdicts = []
    for margin in ("0.1", "1"):
        options = ["--margin", margin, "--accuracy-margin", "0.2", "--format", "csv"]
        assert compare.main([A, *options, at]) == exit_codes.OK
        found = csv_of(capsys)
        verdicts.append(found["theano", "training_time_s"]["verdict"])
        assert float(found["theano", "training_time_s"]["margin"]) == float(margin)
        assert float(found["theano", "accuracy"]["margin"]) == 0.2
    assert verdicts == ["slower", "equivalent"]


def test_a_whole_experiment_is_compared_with_all(
    tmp_path: Path, empty_store: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path, empty_store, "mine")
    store.sweep(A, {"jax": 1.0}, range(3))
    store.sweep(A, {"theano": 2.0}, range(3))
    at = f"tracking.uri={store.uri}"
    assert compare.main(["--experiment", "mine", "--all", at]) == exit_codes.OK
    assert capsys.readouterr().out.startswith("# jax, theano: all runs of the experiment\n")


def test_the_store_is_found_as_mlflow_finds_it(
    filled: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(filled.folder)
    assert compare.main([A]) == exit_codes.OK
    assert compare.main([A, "tracking.uri=sqlite:///mlflow.db"]) == exit_codes.OK
    monkeypatch.chdir("/")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", filled.uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", filled.tracker.experiment_id)
    assert compare.main([A]) == exit_codes.OK
    printed = capsys.readouterr().out
    assert printed.count(f"# tensorflow, theano: sweep {A}\n") == 3


# -- where it is written -----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".md", ".csv", ".json", ".html"])
def test_the_suffix_of_the_file_decides_the_format(
    suffix: str, at: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = f"out{suffix}"
    assert compare.main([A, "--output", file, at]) == exit_codes.OK
    assert capsys.readouterr().out == f"{file}\n"
    written = (project / file).read_text(encoding="utf-8")
    starts = {".md": "# ", ".csv": "group,", ".json": '{\n "schema": 2,', ".html": "<!doctype html>"}
    assert written.lower().startswith(starts[suffix])


def test_json_on_stdout_is_json_alone(at: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main(["--format", "json", at]) == exit_codes.OK
    assert json.loads(capsys.readouterr().out)["baselines"] == ["tensorflow"]


def test_html_is_written_to_a_file(at: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main([A, "--format", "html", at]) == exit_codes.OK
    assert capsys.readouterr().out == "comparison.html\n"
    assert "theano" in (project / "comparison.html").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_of_80_columns_shows_tables(at: str, project: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    shown = b""
    process = subprocess.Popen(
        [sys.executable, "-m", "backendexp", "compare", A, at],
        cwd=project,
        env={**os.environ, "COLUMNS": "80", "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:
        pass  # Linux raises this if the other end is closed
    assert process.wait(60) == exit_codes.OK, process.communicate()
    os.close(ours)
    process.communicate()
    printed = shown.decode().replace("\r\n", "\n")
    assert printed.startswith("theano is slower than tensorflow in training_time_s: ")
    assert "| ---" not in printed
    assert "────" in printed
    # No word is too long for its column.
    assert "…" not in printed
    for title in ("median (quartiles)", "95% interval", "90% interval"):
        assert title in printed


ASCII = {"PYTHONIOENCODING": "ascii"}


def test_ascii_shows_a_minus_for_a_minus_and_the_exit_code_is_that_of_the_limits(
    tmp_path: Path, empty_store: bytes, backendexp: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code 1 stands for a broken limit, and not for a character that cannot be shown."""
    store = Store(tmp_path, empty_store)
    for seed in range(5):
        for backend, accuracy in (("tensorflow", 0.75), ("theano", 0.25 + seed / 100)):
            store.track(spec_of(backend, seed=seed), events_of(spec_of(backend), 1.0, accuracy), {"sweep": A})
    asked = ["compare", A, f"tracking.uri={store.uri}"]
    ended = backendexp(*asked, "--fail-if", "accuracy > 0.1", env=ASCII)
    assert ended.returncode == exit_codes.OK
    assert compare.main(asked[1:]) == exit_codes.OK
    shown = capsys.readouterr().out
    assert "\N{MINUS SIGN}" in shown
    assert ended.stdout == shown.replace("\N{MINUS SIGN}", "-")


@pytest.mark.parametrize(
    ("limit", "code"),
    [("training_time_s > 9", exit_codes.OK), ("training_time_s > 1.2", exit_codes.RUN_FAILED)],
)
def test_a_reader_that_leaves_changes_no_exit_code(limit: str, code: int, at: str) -> None:
    words = [sys.executable, "-m", "backendexp", "compare", A, at, "--fail-if", limit]
    ours, theirs = os.pipe()
    os.close(ours)
    ended = subprocess.run(words, stdout=theirs, stderr=subprocess.PIPE, text=True)
    os.close(theirs)
    assert (ended.returncode, "Traceback" in ended.stderr) == (code, False)


# -- limits ------------------------------------------------------------------------------------------


def test_a_limit_that_is_kept_exits_with_0(at: str, capsys: pytest.CaptureFixture[str]) -> None:
    limits = ["--fail-if", "training_time_s > 1.2", "--fail-if", "accuracy < -0.05"]
    assert compare.main([B, *limits, at]) == exit_codes.OK
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1:4] for line in lines] == [
        ["training_time_s > 1.2", "theano against tensorflow", lines[0].split(": ")[3]],
        ["accuracy < -0.05", "theano against tensorflow", lines[1].split(": ")[3]],
    ]
    assert all(": no, " in line for line in lines)


def test_a_limit_that_is_broken_exits_with_1_after_the_report(
    at: str, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = ["--fail-if", "steady_epoch_s >= 1.2", "--fail-if", "training_time_s > 9"]
    assert compare.main([A, *limits, at]) == exit_codes.RUN_FAILED
    said = capsys.readouterr()
    assert "## Times and memory" in said.out
    broken, kept = said.err.splitlines()
    assert broken.startswith(
        "backendexp: steady_epoch_s >= 1.2: theano against tensorflow: yes, the ratio is 1."
    )
    assert "(95% interval 1." in broken
    assert ": no, " in kept


def test_a_limit_on_a_measure_without_a_verdict_exits_with_1(
    at: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare.main([A, "--fail-if", "import_s > 1.2", at]) == exit_codes.RUN_FAILED
    assert "cannot tell. theano against tensorflow in import has no verdict: " in capsys.readouterr().err


# -- what is refused ---------------------------------------------------------------------------------

BAD = [
    (
        ["--format", "markdwn"],
        "--format is 'markdwn'. Did you mean 'markdown'? Expected one of: markdown, csv",
    ),
    (["--format"], "expected one argument. See backendexp compare --help"),
    (["--formt", "csv"], "unrecognized arguments: --formt. See backendexp compare --help"),
    (["--output", "out.txt"], "--output is 'out.txt', whose suffix is none of .md, .csv, .json, .html"),
    (
        ["--output", "nowhere/out.md"],
        "--output is 'nowhere/out.md': expected a file in a folder",
    ),
    (["--margin", "0"], "--margin is '0': expected a number above 0 and at most 1, e.g. --margin 0.05"),
    (["--accuracy-margin", "a"], "--accuracy-margin is 'a': expected a number above 0"),
    (["--margin", "nan"], "--margin is 'nan': expected"),
    (["a/1", "b/2", "c/3"], "3 sweeps are named: expected at most two"),
    (["a/1", "x/a/1"], "sweep a/1 is named twice: expected two different ones"),
    (["a/1", "--all"], "--all compares all runs of the experiment: leave out either --all or the sweeps"),
    (["backend=jax"], "backend=jax is not known. Expected sweeps, such as 2026-11-22/10-00-00, options, and"),
    ([""], "'' is not a sweep. Expected one such as 2026-11-22/10-00-00"),
    (["tracking.uri="], "tracking.uri= is empty: expected one address, e.g. tracking.uri=sqlite"),
    (["tracking.uri=a", "tracking.uri=b"], "tracking.uri= is given 2 times: expected one address"),
    (["--fail-if", "time > 1"], "the limit 'time > 1' is on 'time', which is not compared"),
    (["--fail-if", "faster"], "the limit 'faster' cannot be read. Expected MEASURE OP NUMBER"),
    (["x" * 300], "mlflow.db does not exist, so there are no runs to read"),
    (["--output", "x" * 300 + "/out.md"], "expected a file in a folder"),
    ([f"tracking.uri=sqlite:///{'x' * 300}"], "does not exist, so there are no runs to read"),
    ([], "mlflow.db does not exist, so there are no runs to read. Choose the store that holds them"),
    (["a/1", "tracking.uri=sqlite:///mine.db"], "mine.db does not exist, so there are no runs to read"),
]


@pytest.mark.parametrize(("arguments", "said"), BAD, ids=[" ".join(arguments)[:40] for arguments, _ in BAD])
def test_bad_input_gives_one_message_and_leaves_no_files(
    arguments: list[str], said: str, project: Path
) -> None:
    with pytest.raises(UserError) as refusal:
        compare.main(arguments)
    assert said in str(refusal.value)
    assert list(project.iterdir()) == []


def test_bad_input_is_reported_before_anything_heavy_is_imported(backendexp: Command, project: Path) -> None:
    ended = backendexp("compare", "--fail-if", "time > 1", env=WATCHED)
    imported, printed = split(ended.stderr)
    assert ended.returncode == exit_codes.BAD_INPUT
    assert printed.startswith("backendexp: the limit 'time > 1' is on 'time'")
    assert len(printed.splitlines()) == 1
    assert ended.stdout == ""
    assert not imported & (HEAVY | {"scipy", "statsmodels", "pandas", "hydra"})
    assert "backendexp" in imported


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["2026-11-22/10-00-01"], f"has no sweep '2026-11-22/10-00-01'. Did you mean '{A}'? The newest is"),
        ([LAST], "all runs (1) are of jax, and a comparison needs two backends"),
        ([A, "--baseline", "thaeno"], "the baseline is 'thaeno', of which there are no runs. Did you mean"),
        ([A, B, "--baseline", "theano"], "the baseline is 'theano', which is not one of the sweeps"),
        ([A, LAST], "no backend ran in both sweeps"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_runs_that_cannot_be_compared_are_refused(arguments: list[str], said: str, at: str) -> None:
    with pytest.raises(ComparisonError) as refusal:
        compare.main([*arguments, at])
    assert said in str(refusal.value)


def test_unfinished_runs_are_refused_with_the_advice_to_wait(tmp_path: Path, empty_store: bytes) -> None:
    store = Store(tmp_path, empty_store)
    store.sweep(A, {"jax": 1.0, "theano": 1.0}, range(3))
    store.tracker.begin("late", "late", 1, {"sweep": A, "backend": "jax", "runtime": "keras3"}, None)
    with pytest.raises(ComparisonError, match=r"1 of 7 runs are still RUNNING, e\.g\. late\. Wait"):
        compare.main([f"tracking.uri={store.uri}", A])


def test_an_experiment_that_does_not_exist_is_refused(at: str) -> None:
    with pytest.raises(UserError, match=r"'backendxp' is not in sqlite:.*Did you mean 'backendexp'"):
        compare.main(["--experiment", "backendxp", at])


def test_a_store_that_does_not_answer_is_bad_input_within_seconds(backendexp: Command) -> None:
    began = time.monotonic()
    ended = backendexp("compare", "tracking.uri=http://127.0.0.1:9")
    assert ended.returncode == exit_codes.BAD_INPUT
    assert ended.stderr.startswith("backendexp: the tracking store http://127.0.0.1:9 cannot be read: ")
    assert "Traceback" not in ended.stderr
    assert time.monotonic() - began < 60
