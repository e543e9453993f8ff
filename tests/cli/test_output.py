"""No problem with stdout or stderr costs results, be it the encoding, a closed pipe or a full disk."""

import ast
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backendexp.cli import exit_codes
from support.command import REPOSITORY
from support.outputs import NO_STORE, command, status

TRAIN = ("backend=jax", "threads=1", "training.epochs=3")
# In the C locale, Python uses UTF-8 for the streams unless this is switched off.
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "C": C_LOCALE,
}
linux = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is of Linux")


def in_shell(words: list[str], redirection: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run `words` in a shell with this redirection of the streams. The exit code is that of `words`."""
    line = f'"$@" {redirection}'
    return subprocess.run(
        ["sh", "-c", line, "sh", *words],
        env={**os.environ, **env},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def without_reader(words: list[str], **env: str) -> int:
    """Return the exit code of a command that writes stdout and stderr to a pipe whose reader is gone."""
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        return subprocess.run(words, env={**os.environ, **env}, stdout=theirs, stderr=theirs).returncode
    finally:
        os.close(theirs)


# -- characters that cannot be shown -----------------------------------------------------------------


@pytest.mark.parametrize("env", ENCODINGS.values(), ids=ENCODINGS)
def test_a_run_is_summed_up_in_the_characters_of_the_encoding(env: dict[str, str], project: Path) -> None:
    ended = subprocess.run(
        command("finishes", *TRAIN, NO_STORE), env={**os.environ, **env}, capture_output=True, timeout=120
    )
    assert (ended.returncode, b"Traceback" in ended.stderr) == (0, False)
    between = b"|" if b"\xb7" not in ended.stdout else b"\xb7"
    assert b"import 0.25 s " + between + b" build 0.02 s " + between + b" first epoch 0.5 s" in ended.stdout
    assert ended.stdout.isascii() == ("latin-1" not in env.values())
    assert status(project) == "FINISHED"


@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "seed=0,1"),
        ("experiment=parity", "backend=jax"),
        ("experiment=compare", "compare.backends=[jax,theano]", "compare.blocks=3"),
        (
            "experiment=scale",
            "scale.backends=[jax,theano]",
            "scale.samples=[64,256]",
            "scale.hidden_units=[]",
            "scale.repeats=2",
        ),
    ],
    ids=["sweep", "parity", "compare", "scale"],
)
def test_experiments_are_summed_up_in_ascii(arguments: tuple[str, ...], project: Path) -> None:
    ended = in_shell(command("finishes", *TRAIN[1:], NO_STORE, *arguments), "", **C_LOCALE)
    if "experiment=parity" not in arguments:  # the script is not used by the Python of keras2
        assert ended.returncode == exit_codes.OK
    assert "Traceback" not in ended.stderr
    assert ended.stdout.isascii()
    assert "\\x" not in ended.stdout
    assert "\\u" not in ended.stdout
    assert "training_time_s" in ended.stdout


@pytest.mark.parametrize(
    "arguments", [("--help",), ("doctor",), ("sync", "."), ("ui", "--help")], ids=" ".join
)
@pytest.mark.parametrize("env", [ENCODINGS["ascii"], C_LOCALE], ids=["ascii", "C"])
def test_commands_print_in_every_encoding(arguments: tuple[str, ...], env: dict[str, str]) -> None:
    ended = in_shell([sys.executable, "-m", "backendexp", *arguments], "", **env)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout


PRINT = "from backendexp.cli import output; output.protect(); import sys; {}"


def printed(code: str, encoding: str = "ascii") -> bytes:
    return subprocess.run(
        [sys.executable, "-c", PRINT.format(code)],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout.strip()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"\N{MINUS SIGN}0.05", b"-0.05"),
        (r"a \N{MIDDLE DOT} b", b"a | b"),
        (r"1.2\N{MULTIPLICATION SIGN}", b"1.2x"),
        (r"d\xe4t\xe4/\u6570.npz", rb"d\xe4t\xe4/\u6570.npz"),
        (r"\U0001f3c3", rb"\U0001f3c3"),
    ],
)
def test_unencodable_signs_are_replaced_and_letters_are_escaped(text: str, shown: bytes) -> None:
    assert printed(f'print("{text}")') == shown


def test_utf_8_shows_all_that_can_be_shown() -> None:
    assert (
        printed(r'print("\N{MINUS SIGN}1 \N{MIDDLE DOT} d\xe4t\xe4")', "utf-8")
        == b"\xe2\x88\x921 \xc2\xb7 d\xc3\xa4t\xc3\xa4"
    )


def test_a_file_name_that_is_not_utf_8_is_shown(project: Path) -> None:
    assert printed(r'print("d\udce4t.npz")', "utf-8") == rb"d\udce4t.npz"


def test_a_name_that_the_locale_cannot_encode_is_recorded(project: Path) -> None:
    words = command("finishes", *TRAIN, NO_STORE, "tracking.run_name='gr\xfcn'")
    ended = subprocess.run(
        [word.encode() for word in words], env={**os.environ, **C_LOCALE}, capture_output=True, timeout=120
    )
    assert (ended.returncode, b"Traceback" in ended.stderr) == (0, False)
    assert status(project) == "FINISHED"


# -- readers that leave ------------------------------------------------------------------------------


def test_a_reader_that_leaves_ends_printing_and_the_run_is_tracked(project: Path, empty_store: bytes) -> None:
    (project / "mlflow.db").write_bytes(empty_store)
    assert without_reader(command("finishes", *TRAIN)) == exit_codes.OK
    assert status(project) == "FINISHED"
    assert list((project / "outputs").rglob("tracked.json"))


def test_the_exit_code_is_that_of_the_run_with_any_reader(project: Path) -> None:
    assert without_reader(command("dies_by_signal", *TRAIN, NO_STORE)) == exit_codes.RUN_FAILED
    assert status(project) == "FAILED"


def test_a_sweep_continues_when_its_reader_leaves(project: Path) -> None:
    assert without_reader(command("finishes", "-m", *TRAIN, "seed=0,1,2", NO_STORE)) == exit_codes.OK
    assert len(list(project.rglob("result.json"))) == 3
    assert list(project.rglob("sweep.md"))


def test_the_first_line_is_enough_for_head(project: Path) -> None:
    words = command("finishes", "-m", *TRAIN, "seed=0,1", NO_STORE)
    ended = in_shell(words, '2>&1 | head -1; wait; test "$(ls multirun/*/*/*/*/result.json | wc -l)" = 2')
    assert (ended.returncode, ended.stderr, len(ended.stdout.splitlines())) == (0, "", 1)


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("arguments", [["--help"], ["doctor"], ["doctor", "--json"]], ids=" ".join)
def test_commands_end_as_usual_when_the_output_has_no_reader(arguments: list[str], unbuffered: str) -> None:
    words = [sys.executable, "-m", "backendexp", *arguments]
    assert without_reader(words, PYTHONUNBUFFERED=unbuffered) == exit_codes.OK
    assert without_reader([*words[:3], "docter"], PYTHONUNBUFFERED=unbuffered) == exit_codes.BAD_INPUT


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_from_the_start_does_no_harm(redirection: str, project: Path) -> None:
    ended = in_shell(command("finishes", *TRAIN, NO_STORE), redirection)
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False)
    assert status(project) == "FINISHED"


@linux
def test_a_run_continues_when_its_output_is_on_a_full_disk(project: Path) -> None:
    ended = in_shell(command("finishes", *TRAIN, NO_STORE), "> /dev/full")
    assert ended.returncode == exit_codes.OK
    assert ended.stderr.splitlines()[-1] == (
        "backendexp: stdout could not take everything that was printed: No space left on device"
    )
    assert "Traceback" not in ended.stderr
    assert status(project) == "FINISHED"
    assert in_shell(command("finishes", *TRAIN, NO_STORE), "> /dev/full 2>&1").returncode == exit_codes.OK


@linux
def test_a_command_whose_output_is_lost_says_so(project: Path) -> None:
    ended = in_shell([sys.executable, "-m", "backendexp", "doctor"], "> /dev/full")
    assert ended.returncode == exit_codes.BAD_INPUT
    assert (
        ended.stderr
        == "backendexp: stdout could not take everything that was printed: No space left on device\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are not made non-blocking there")
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_pipe_that_does_not_block_loses_nothing(unbuffered: str) -> None:
    code = 'os.set_blocking(1, False); [print("x" * 1023) for _ in range(500)]'
    begun = subprocess.Popen(
        [sys.executable, "-c", PRINT.format("import os; " + code)],
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        stdout=subprocess.PIPE,
    )
    assert begun.stdout is not None
    time.sleep(0.2)  # wait until the pipe is full
    assert (len(begun.stdout.read()), begun.wait(60)) == (500 * 1024, 0)
    begun.stdout.close()


# -- files -------------------------------------------------------------------------------------------


def _of_the_locale(tree: ast.AST) -> "list[ast.Call]":
    """List the calls that read or write text in the encoding of the locale."""
    found = []
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        function = call.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        given = {keyword.arg for keyword in call.keywords}
        words = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        binary = any(re.fullmatch(r"[rwax+]*b[rwax+]*", word) for word in words)
        # In these modules, `open` opens a descriptor, a web page, or a member of a zip file, which has bytes.
        others = ("os", "webbrowser", "archive")
        another = isinstance(function, ast.Attribute) and getattr(function.value, "id", "") in others
        opens = name in ("open", "fdopen") and not (binary or (another and name == "open"))
        if (opens or name in ("read_text", "write_text") or "text" in given) and "encoding" not in given:
            found += [call] if name != "Table" else []
    return found


def test_no_file_and_no_pipe_uses_the_encoding_of_the_locale() -> None:
    source = REPOSITORY
    files = [*(source / "src").rglob("*.py"), *(source / "packages" / "keras_theano" / "src").rglob("*.py")]
    assert len(files) > 100
    found = [
        f"{file.relative_to(source)}:{call.lineno}: {ast.unparse(call)}"
        for file in files
        for call in _of_the_locale(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert not found


@pytest.mark.parametrize(
    "code",
    ["open(path)", "Path(path).open('w')", "path.read_text()", "run(x, text=True)", "os.fdopen(1, 'w')"],
)
def test_a_file_in_the_encoding_of_the_locale_is_found(code: str) -> None:
    """Without this, the test above could not fail."""
    assert _of_the_locale(ast.parse(code))
