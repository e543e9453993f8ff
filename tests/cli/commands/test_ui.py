"""`backendexp ui` refuses bad arguments. Serving pages is tested in tests/acceptance."""

from pathlib import Path

import pytest

from backendexp.cli.commands import ui
from backendexp.errors import UserError
from support.command import Command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prot=5001"], r"prot=5001 is not known\.\nusage: backendexp ui"),
        (["port"], r"port is not known\.\nusage: backendexp ui"),
        (["port=abc"], r"port is 'abc': expected a number from 1 to 65535"),
        (["port=0"], r"port is '0': expected"),
        (["port=65536"], r"port is '65536': expected"),
        (["port=-1"], r"port is '-1': expected"),
        (["port="], r"port is '': expected"),
        (["port=²"], r"port is '²': expected"),
        (["tracking.uri=http://tracking:5000"], r"http://tracking:5000 is already a server: open it in a"),
        (["tracking.uri=sqlite:///mine.db"], r"mine\.db does not exist yet: run an experiment first"),
        ([], r"mlflow\.db does not exist yet: run an experiment first, e\.g\. backendexp backend=jax"),
    ],
)
def test_what_cannot_be_served_is_refused(arguments: list[str], said: str, project: Path) -> None:
    with pytest.raises(UserError, match=said):
        ui.main(arguments)
    assert list(project.iterdir()) == []


def test_store_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://tracking")
    with pytest.raises(UserError, match="https://tracking is already a server"):
        ui.main([])


def test_help_lists_the_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert ui.main(["--help"]) == 0
    assert "backendexp ui [tracking.uri=URI] [port=5000]" in capsys.readouterr().out


def test_server_of_mlflow_gets_the_store_and_the_port(
    backendexp: Command, project: Path, tmp_path: Path
) -> None:
    """A fake package mlflow, which prints its arguments, hides the real one."""
    (tmp_path / "fake" / "mlflow").mkdir(parents=True)
    (tmp_path / "fake" / "mlflow" / "__main__.py").write_text(
        "import os, sys; print(sys.argv[1:], os.environ['MLFLOW_SERVER_ENABLE_JOB_EXECUTION'])"
    )
    (tmp_path / "fake" / "mlflow" / "__init__.py").touch()
    (project / "mlflow.db").touch()
    ended = backendexp("ui", "port=5001", env={"PYTHONPATH": str(tmp_path / "fake")})
    assert (ended.returncode, ended.stderr) == (0, "")
    words = ["server", "--backend-store-uri", f"sqlite:///{project}/mlflow.db", "--workers", "1"]
    assert ended.stdout == f"{[*words, '--host', '127.0.0.1', '--port', '5001']} false\n"


def test_password_of_a_database_is_not_on_the_command_line(backendexp: Command, tmp_path: Path) -> None:
    (tmp_path / "fake" / "mlflow").mkdir(parents=True)
    (tmp_path / "fake" / "mlflow" / "__main__.py").write_text(
        "import os, sys; print(sys.argv[1:], os.environ['MLFLOW_BACKEND_STORE_URI'])"
    )
    (tmp_path / "fake" / "mlflow" / "__init__.py").touch()
    (tmp_path / "fake" / "psycopg.py").touch()  # the driver must be installed
    uri = "postgresql+psycopg://me:hun%40ter2@host/db"
    env = {"PYTHONPATH": str(tmp_path / "fake")}
    for ended in (
        backendexp("ui", f"tracking.uri={uri}", env=env),
        backendexp("ui", env={**env, "MLFLOW_TRACKING_URI": uri}),
    ):
        assert (ended.returncode, ended.stderr) == (0, "")
        words = ["server", "--workers", "1", "--host", "127.0.0.1", "--port", "5000"]
        assert ended.stdout == f"{words} {uri}\n"
    refused = backendexp("ui", "tracking.uri=postgresql+psycopg://me:***@host/db", env=env)
    assert refused.returncode == 2
    assert "postgresql+psycopg://me:***@host/db needs its password" in refused.stderr
