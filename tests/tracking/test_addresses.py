"""Addresses of stores are shown without passwords, and the full addresses can still be found."""

import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendexp.cli import mlproject
from backendexp.cli.commands import doctor, sync
from backendexp.config import schema
from backendexp.config.schema import TrackingConfig
from backendexp.errors import ConfigError, TrackingError
from backendexp.runs import record, session, summary_run
from backendexp.runs.plan import RunSpec
from backendexp.runs.session import Destination
from backendexp.runs.worker_pool import worker_environment
from backendexp.tracking import addresses, links
from backendexp.tracking.base import Report
from support import streams
from support.checking import compose_tree
from support.command import Command

WHOLE = "http://admin:hun@ter2@127.0.0.1:9"
SHOWN = "http://admin:***@127.0.0.1:9"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://me:secret@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql+psycopg://me:s@cr/e?t@host/db", "postgresql+psycopg://me:***@host/db"),
        ("mysql+pymysql://me@corp.org:secret@host/db", "mysql+pymysql://me@corp.org:***@host/db"),
        ("https://me:secret@host/mlflow", "https://me:***@host/mlflow"),
        ("https://me:s%40cret@[::1]:5000", "https://me:***@[::1]:5000"),
        ("http://:secret@host", "http://:***@host"),
        ("http://me:/secret@host", "http://me:***@host"),
        ("http://me:1/secret@host", "http://me:***@host"),
        ("http:/me:secret@host", "http:/me:***@host"),
        ("me:secret@host:5000", "me:***@host:5000"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db?user=me&password=***"),
        (
            "postgresql:///db?sslpassword=a&sslmode=require&passwd=b",
            "postgresql:///db?sslpassword=***&sslmode=require&passwd=***",
        ),
        ("mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3Dsecret", "mssql+pyodbc:///?odbc_connect=***"),
        ("http://host/?access_token=secret", "http://host/?access_token=***"),
        ("sqlite+pysqlcipher://:secret@/mlflow.db", "sqlite+pysqlcipher://:***@/mlflow.db"),
        # It is unclear whether the password ends at the @ or begins at the =.
        ("postgresql://host:5432/db?user=me&password=p@ss", "postgresql://host:***"),
        # These have no password.
        ("http://host:5000", "http://host:5000"),
        ("http://host/a:b@c", "http://host/a:b@c"),
        ("http://me@host:5000", "http://me@host:5000"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("sqlite:////tmp/a:b@c.db", "sqlite:////tmp/a:b@c.db"),
        ("sqlite:////tmp/mlflow.db?timeout=9", "sqlite:////tmp/mlflow.db?timeout=9"),
        ("file:///tmp/a:b@c", "file:///tmp/a:b@c"),
        ("databricks://profile", "databricks://profile"),
    ],
)
def test_a_password_is_not_shown(uri: str, shown: str) -> None:
    assert addresses.shown(uri) == shown
    assert addresses.shown(shown) == shown


passwords = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(passwords, st.sampled_from(["http", "https", "postgresql", "mysql+pymysql"]))
def test_no_part_of_any_password_is_shown(password: str, scheme: str) -> None:
    shown = addresses.shown(f"{scheme}://me:{password}@host/db")
    assert shown in (f"{scheme}://me:***@host/db", f"{scheme}://me:***")


@pytest.mark.parametrize(
    ("uri", "page"),
    [
        (WHOLE, "http://127.0.0.1:9"),
        (SHOWN, "http://127.0.0.1:9"),
        ("https://token@host/prefix/", "https://host/prefix"),
        ("https://me@corp.org:secret@host/prefix?token=x", "https://host/prefix"),
    ],
)
def test_a_link_holds_neither_user_nor_password(uri: str, page: str) -> None:
    assert addresses.page(uri) == page
    assert links.run_link(uri, "1", "abc").startswith(f"{page}/#/experiments/1/runs/abc")


def test_command_that_serves_a_database_does_not_hold_its_password() -> None:
    command = links.server_command("postgresql://me:secret@host/db")
    assert command is not None
    assert shlex.split(command)[-1] == "tracking.uri=postgresql://me:***@host/db"


# -- the full address --------------------------------------------------------------------------------------


def test_saved_password_is_found_here_and_in_child_processes(project: Path) -> None:
    assert addresses.keep(WHOLE) == SHOWN
    assert addresses.keep("http://me:other@host") == "http://me:***@host"
    assert addresses.whole(SHOWN) == WHOLE
    assert addresses.whole("http://me:***@host") == "http://me:other@host"
    addresses.keep("http://admin:newer@127.0.0.1:9")
    assert addresses.whole(SHOWN) == "http://admin:newer@127.0.0.1:9"


def test_no_worker_gets_a_whole_address(make_spec: Callable[..., RunSpec]) -> None:
    before = worker_environment(make_spec("jax"), own_interpreter=True)
    addresses.keep(WHOLE)
    assert worker_environment(make_spec("jax"), own_interpreter=True) == before


def test_environment_of_mlflow_brings_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", WHOLE + "/")
    assert addresses.whole(SHOWN) == WHOLE + "/"


def test_address_that_has_no_password_needs_none() -> None:
    assert addresses.whole("http://me@host:5000") == "http://me@host:5000"
    assert addresses.whole(WHOLE) == WHOLE


def test_missing_password_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://admin:hunter2@elsewhere")
    with pytest.raises(TrackingError) as refusal:
        addresses.whole(SHOWN)
    assert str(refusal.value) == (
        f"the tracking store {SHOWN} needs its password, which is not saved on disk. Give the whole address, "
        "with the password in place of ***, in MLFLOW_TRACKING_URI, or as tracking.uri=ADDRESS"
    )


# -- the command line --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "taken", "kept"),
    [
        ("tracking.uri=http://me:pw@host:1", "tracking.uri='http://me:***@host:1'", ["http://me:pw@host:1"]),
        ("++tracking.uri='http://me:p,w@h'", "++tracking.uri='http://me:***@h'", ["http://me:p,w@h"]),
        (r"tracking.uri='http://me:p\'w@h'", "tracking.uri='http://me:***@h'", ["http://me:p'w@h"]),
        # Hydra would read the first as two words, and could not read the others.
        ("tracking.uri=http://me:p,w@h", "tracking.uri='http://me:***@h'", ["http://me:p,w@h"]),
        ("tracking.uri=http://me:p(w ü@h", "tracking.uri='http://me:***@h'", ["http://me:p(w ü@h"]),
        (
            "tracking.uri=postgresql://h/db?user=me&password=pw",
            "tracking.uri='postgresql://h/db?user=me&password=***'",
            ["postgresql://h/db?user=me&password=pw"],
        ),
        (
            "tracking.uri=http://me:pw@a,http://h,'http://me:pw@b'",
            "tracking.uri='http://me:***@a','http://h','http://me:***@b'",
            ["http://me:pw@b", "http://me:pw@a"],
        ),
        (
            "tracking.uri=choice(http://me:pw@a,http://h)",
            "tracking.uri='http://me:***@a','http://h'",
            ["http://me:pw@a"],
        ),
        ("tracking.uri=http://host:5000", "tracking.uri=http://host:5000", []),
        ("tracking.uri=null", "tracking.uri=null", []),
        ("tracking.uri='http://me:${oc.env:PW}@h'", "tracking.uri='http://me:${oc.env:PW}@h'", []),
        ("tracking.uri=${oc.env:STORE}", "tracking.uri=${oc.env:STORE}", []),
        ("data.path=a:b@c.npz", "data.path=a:b@c.npz", []),
        ("-m", "-m", []),
    ],
)
def test_passwords_are_taken_from_the_words_before_hydra_reads_them(
    word: str, taken: str, kept: list[str]
) -> None:
    assert addresses.taken_from([word], of_hydra=True) == [taken]
    assert json.loads(os.environ.get(addresses.KEPT, "[]")) == kept


@pytest.mark.parametrize(
    ("word", "taken"),
    [
        ("tracking.uri=http://me:p,w@h/?a=b", "tracking.uri=http://me:***@h/?a=b"),
        ("--uri=http://me:pw@h", "--uri=http://me:***@h"),
        ("http://me:pw@h/?a=b", "http://me:***@h/?a=b"),
        ("http://h", "http://h"),
        ("training_time_s > 1.2", "training_time_s > 1.2"),
    ],
)
def test_passwords_are_taken_from_the_words_of_other_commands(word: str, taken: str) -> None:
    assert addresses.taken_from([word], of_hydra=False) == [taken]


@pytest.mark.parametrize(
    ("word", "named"),
    [
        (
            "hydra.job.env_set.MLFLOW_TRACKING_URI=http://me:hunter2@h",
            "hydra.job.env_set.MLFLOW_TRACKING_URI",
        ),
        ("+hydra.sweeper.params={tracking.uri:'http://me:hunter2@h'}", "+hydra.sweeper.params"),
        ("tracking.url=http://me:hunter2@h", "tracking.url"),
        ("http://me:hunter2@h", "http://me:***@h"),
    ],
)
def test_password_that_hydra_would_write_elsewhere_is_refused(word: str, named: str) -> None:
    with pytest.raises(
        ConfigError, match=f"^{re.escape(named)} holds a password, which Hydra would write"
    ) as refusal:
        addresses.taken_from([word], of_hydra=True)
    assert "hunter2" not in str(refusal.value)


def test_password_beside_an_interpolation_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected an interpolated password, such as") as refusal:
        addresses.taken_from(["tracking.uri=http://me:hunter2@${oc.env:HOST}"], of_hydra=True)
    assert "hunter2" not in str(refusal.value)


def test_password_in_a_file_of_the_user_is_refused_with_the_way_out(
    backendexp: Command, project: Path
) -> None:
    (project / "mine" / "tracking").mkdir(parents=True)
    (project / "mine" / "tracking" / "server.yaml").write_text("kind: mlflow\nuri: http://me:hunter2@h\n")
    ended = backendexp("--config-dir", "mine", "tracking=server", "backend=theano")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "tracking.uri has a password in a configuration file, 'http://me:***@h'" in ended.stderr
    assert "uri: ${oc.env:MY_STORE}" in ended.stderr
    assert "hunter2" not in ended.stderr
    assert [path.name for path in project.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "uri", ["${oc.env:MY_STORE}", "http://admin:${oc.env:MY_PASSWORD}@127.0.0.1:9", "null"]
)
def test_password_that_a_variable_holds_is_taken_from_it(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_STORE", WHOLE)
    monkeypatch.setenv("MY_PASSWORD", "hun@ter2")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", WHOLE)
    where = session.destination(schema.parse(compose_tree(f"tracking.uri={uri}")).tracking, Path.cwd())
    assert where.uri == SHOWN
    assert addresses.whole(where.uri) == WHOLE


# -- files and messages ------------------------------------------------------------------------------------


def test_directory_of_a_run_holds_no_password(project: Path, make_spec: Callable[..., RunSpec]) -> None:
    done = streams.record_of(project, make_spec(), streams.whole(), uri=WHOLE)
    done.mark_tracked("abc")
    report = Report("a" * 32, "sweep", "FINISHED", 1, 2, {}, {}, [], None, [])
    file = summary_run.write(project, Destination("mlflow", WHOLE, "backendexp", None), report, None)
    for path in [file, *done.directory.iterdir()]:
        assert "ter2" not in path.read_text(), path
    assert record.load(done.directory).context.uri == SHOWN
    assert summary_run.load(file).where.uri == SHOWN


def test_password_that_an_earlier_version_wrote_is_removed_before_the_upload(
    project: Path, make_spec: Callable[..., RunSpec]
) -> None:
    done = streams.record_of(project / "outputs", make_spec(), streams.whole(), uri=SHOWN)
    for name, text in (("context.json", None), ("config.yaml", "tracking:\n  uri: SHOWN\n")):
        file = done.directory / name
        file.write_text((text or file.read_text()).replace("SHOWN", SHOWN).replace(SHOWN, WHOLE))
    assert record.load(done.directory).context.uri == SHOWN
    for path in done.directory.iterdir():
        assert "ter2" not in path.read_text(), path
    assert addresses.whole(SHOWN) == WHOLE


def test_sync_asks_for_the_password_that_is_not_kept(
    project: Path, make_spec: Callable[..., RunSpec], capsys: pytest.CaptureFixture[str]
) -> None:
    streams.record_of(project / "outputs", make_spec(), streams.whole(), uri=SHOWN)
    assert sync.main(["outputs"]) == 1
    assert f"the tracking store {SHOWN} needs its password, which is not saved" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["--uri", WHOLE], [f"--uri={WHOLE}"], [f"tracking.uri={WHOLE}"], None])
def test_sync_takes_the_password_from_where_it_is_given(
    given: list[str] | None,
    project: Path,
    make_spec: Callable[..., RunSpec],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No server listens on that port, but the attempt to connect shows that the password was found."""
    streams.record_of(project / "outputs", make_spec(), streams.whole(), uri=SHOWN)
    if given is None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", WHOLE)
    assert sync.main(["outputs", *(given or [])]) == 1
    said = capsys.readouterr().err
    assert f"the tracking store {SHOWN} did not accept it: " in said
    assert "password" not in said
    assert "ter2" not in said


def test_store_of_the_environment_is_known_by_its_shown_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", WHOLE)
    assert session.destination(TrackingConfig(), Path.cwd()).uri == SHOWN


def test_doctor_shows_the_store_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", WHOLE)
    doctor._print([])
    assert f"tracking: {SHOWN}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["ui", f"uri={WHOLE}"],
        ["compare", f"store={WHOLE}"],
        ["sync", WHOLE],
        ["ui", f"tracking.uri={WHOLE}"],
        [f"tracking.uri={WHOLE}", "backend=thaeno"],
        [f"tracking.url={WHOLE}"],
    ],
)
def test_bad_input_is_reported_without_its_password(arguments: list[str], backendexp: Command) -> None:
    ended = backendexp(*arguments)
    assert ended.returncode == 2
    assert ended.stderr.startswith("backendexp: ")
    assert "ter2" not in ended.stderr + ended.stdout


def test_parameters_of_mlflow_run_are_reported_without_their_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["mlproject", "main", "--overrides", f"tracking.uri='{WHOLE}"])
    assert mlproject.main() == 2
    said = capsys.readouterr().err
    assert "cannot be read as a command line" in said
    assert "ter2" not in said
