"""Addresses of stores are checked before anything connects to a store or is imported."""

from pathlib import Path

import pytest

from backendexp.cli.commands import compare, sync, ui
from backendexp.config import schema
from backendexp.config.schema import TrackingConfig
from backendexp.errors import ConfigError, TrackingError
from backendexp.tracking.mlflow_reader import MlflowReader
from backendexp.tracking.mlflow_tracker import MlflowTracker
from backendexp.tracking.uri_check import fault, missing_driver

NO_FILE = "it does not name a file. Expected sqlite:/// and the path of a file, such as sqlite:///mlflow.db"
NO_HOST = "it does not name a host. Expected one such as sqlite:///mlflow.db or http://host:5000"
WRITE = "In a password, write %40 for @, %2F for /, %3A for :, %23 for # and %3F for ?"


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///mlflow.db",
        "sqlite:////data/a b/mlflow.db?timeout=9",
        "http://host",
        "https://me:secret@host:5000/mlflow",
        "http://me:p@ss@host:5000",
        "http://[::1]:5000",
        "postgresql://me:secret@host:5432/db",
        "postgresql://me:p%40ss@host/db",
        "postgresql:///db?host=/run/postgresql",
        "mysql+pymysql://host/db",
        "mssql+pyodbc://host/db",
        "databricks",
        "databricks://profile",
        "./mlruns",
        "file:///data/mlruns",
        r"C:\data\mlruns",
    ],
)
def test_address_that_mlflow_may_take_has_no_fault(uri: str) -> None:
    assert fault(uri) is None


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("sqlite:///", NO_FILE),
        ("sqlite://", NO_FILE),
        ("sqlite:", NO_FILE),
        ("sqlite:mlflow.db", NO_FILE),
        ("sqlite://mlflow.db", NO_FILE),
        ("sqlite:///?timeout=9", NO_FILE),
        ("http://", NO_HOST),
        ("https://", NO_HOST),
        ("http:", NO_HOST),
        ("http:host", NO_HOST),
        ("http://:5000", NO_HOST),
        ("http:///mlflow", NO_HOST),
    ],
)
def test_address_that_names_nothing_is_refused(uri: str, why: str) -> None:
    assert fault(uri) == why


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("ftp://", "'ftp' is not a kind of store that MLflow knows."),
        ("ftp://host", "Expected one such as sqlite:///mlflow.db or http://host:5000"),
        ("postgres://host/db", "Did you mean 'postgresql'?"),
        ("htps://host", "Did you mean 'https'?"),
        ("localhost:5000", "Did you mean http://localhost:5000?"),
        ("127.0.0.1:5000/mlflow", "Did you mean http://127.0.0.1:5000/mlflow?"),
        ("sqlite:///:memory:", "a store in memory is lost when this process ends."),
        (
            "http://host:port",
            "its port is not a number from 0 to 65535, or its host cannot be read. Expected",
        ),
        ("http://host:99999", "its port is not a number from 0 to 65535"),
        ("http://[::1", "its host cannot be read"),
        ("postgresql:host", "it cannot be read. Expected postgresql://USER:PASSWORD@HOST:5432/DATABASE."),
        ("postgresql://host:port/db", "it cannot be read."),
    ],
)
def test_address_of_another_kind_is_refused_with_the_one_that_is_meant(uri: str, said: str) -> None:
    assert said in str(fault(uri))


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://me:p@ss@host/db",
        "mysql+pymysql://me:p@ss@host/db",
        "http://me:12/se@host",
        "http://me:se/cret@host",
        "http://me:12#se@host",
        "https://me:12?se@host",
    ],
)
def test_password_that_must_be_written_otherwise_is_reported_and_not_shown(uri: str) -> None:
    why = str(fault(uri))
    assert why.endswith(WRITE)
    assert "ss@" not in why
    assert "se" not in why.removesuffix(WRITE).replace("password", "")


def test_folder_is_no_database(project: Path) -> None:
    (project / "results").mkdir()
    assert fault("sqlite:///results") == (
        "it is a folder. Expected a file, such as sqlite:///results/mlflow.db"
    )
    assert fault(f"sqlite:///{project}/") == (
        f"it is a folder. Expected a file, such as sqlite:///{project}/mlflow.db"
    )


@pytest.mark.parametrize(
    ("uri", "lacks"),
    [
        (
            "postgresql+psycopg2://host/db",
            "the driver psycopg2, which is not installed. Install it with: pip install",
        ),
        (
            "mssql://host/db",
            "it needs the driver pyodbc, which is not installed. Install it with: pip install 'pyodbc'",
        ),
        ("postgresql+nothing://host/db", "'nothing' is not a driver for postgresql that SQLAlchemy knows"),
    ],
)
def test_database_without_its_driver_is_refused_with_how_to_install_it(uri: str, lacks: str) -> None:
    assert lacks in str(missing_driver(uri))


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "http://host", "databricks"])
def test_other_stores_need_no_driver(uri: str) -> None:
    assert missing_driver(uri) is None


# -- where addresses are checked ---------------------------------------------------------------------


def test_address_of_the_environment_is_judged_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///")
    with pytest.raises(ConfigError, match=r"^MLFLOW_TRACKING_URI is sqlite:///: it does not name a file"):
        schema.check_tracking(TrackingConfig())
    schema.check_tracking(TrackingConfig(uri="sqlite:///mine.db"))
    schema.check_tracking(TrackingConfig(kind="none"))


def test_every_command_judges_the_address(project: Path) -> None:
    for command, arguments in (
        (compare.main, ["tracking.uri=ftp://host"]),
        (ui.main, ["tracking.uri=ftp://host"]),
        (sync.main, ["--uri", "ftp://host"]),
    ):
        with pytest.raises(ConfigError, match=r" is ftp://host: 'ftp' is not a kind of store"):
            command(arguments)
    assert list(project.iterdir()) == []


def test_address_that_was_saved_earlier_is_checked_too(tmp_path: Path) -> None:
    with pytest.raises(
        TrackingError, match=r"^the tracking store http:// did not accept it: it does not name a host"
    ):
        MlflowTracker("http://", "backendexp", None, tmp_path)
    with pytest.raises(
        TrackingError, match=r"^the tracking store http:// cannot be read: it does not name a host"
    ):
        MlflowReader("http://", "backendexp")


@pytest.mark.parametrize("length", [257, 300, 1000])
def test_name_of_an_experiment_that_no_store_holds_is_refused(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError) as refusal:
        schema.check_tracking(TrackingConfig(experiment="x" * length))
    assert str(refusal.value) == (
        f"tracking.experiment has {length} characters: expected at most 256, "
        "e.g. tracking.experiment=optimizers"
    )
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "x" * length)
    with pytest.raises(ConfigError, match=f"^MLFLOW_EXPERIMENT_NAME has {length} characters"):
        schema.check_tracking(TrackingConfig())
    schema.check_tracking(TrackingConfig(experiment="x" * 256))
