"""A shared server as docs/shared-server.md sets it up: PostgreSQL behind `mlflow server`, which serves the
artifacts and asks for a user and a password.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import psutil
import pytest
import requests

from backendexp.cli.exit_codes import NOT_TRACKED
from backendexp.tracking.mlflow_reader import MlflowReader
from support import postgresql
from support.postgresql import Postgres
from support.projects import SMALL, Project, named, reached, statuses, summary_of, trained
from support.servers import Servers, free_port

pytestmark = pytest.mark.slow

# The last part must occur nowhere else, so that it is found wherever a part of the password is shown.
TAIL = "wq7Zr4Kt"
PASSWORD = f"p@ss:w/rd{TAIL}"
ESCAPED = quote(PASSWORD, safe="")
USERS = ("first", "second")
QUICK = ("backend=theano", *SMALL)
ONES_OWN_DATA = """
import pathlib, time
import numpy as np

def load(seed, gates):
    while not (pathlib.Path(gates) / str(seed)).exists():
        time.sleep(0.05)
    x = np.random.default_rng(seed).random((64, 4), dtype="float32")
    y = np.arange(64)[:, None] % 2
    return (x, y), (x, y)
"""


@dataclass
class Shared:
    """The server of this module. home: the folder in which it runs."""

    home: Project
    database: str
    port: int = field(default_factory=free_port)
    servers: Servers = field(default_factory=Servers)

    def start(self) -> None:
        self.servers(
            self.home,
            self.port,
            *("--app-name", "basic-auth", "--artifacts-destination", str(self.home.folder / "artifacts")),
            MLFLOW_BACKEND_STORE_URI=self.database,
            MLFLOW_AUTH_CONFIG_PATH=str(self.home.folder / "auth.ini"),
            MLFLOW_AUTH_ADMIN_PASSWORD=PASSWORD,
            MLFLOW_FLASK_SERVER_SECRET_KEY=secrets.token_hex(16),
        )
        # It connects to its database at the first request, which may take longer than a client waits.
        self.ask("experiments/search", {"max_results": 1})

    def ask(self, what: str, body: dict[str, Any]) -> None:
        """Make a request of MLflow's REST API, as the administrator."""
        address = f"{self.of('admin')}/api/2.0/mlflow/{what}"
        requests.post(address, json=body, timeout=120).raise_for_status()

    def of(self, user: str) -> str:
        return f"http://{user}:{ESCAPED}@127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with postgresql.running(PASSWORD) as server:
        yield server


@pytest.fixture(scope="module")
def shared(postgres: Postgres, new_project: Callable[..., Project]) -> Iterator[Shared]:
    server = Shared(new_project(), postgres.database("mlflow"))
    (server.home.folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = EDIT\ndatabase_uri = sqlite:///auth.db\nadmin_username = admin\n"
    )
    server.start()
    for name in USERS:
        server.ask("users/create", {"username": name, "password": PASSWORD})
    yield server
    server.servers.stop()


@pytest.fixture
def client(request: pytest.FixtureRequest, new_project: Callable[..., Project], shared: Shared) -> Project:
    """The project of a user, whose runs go to an experiment of this test."""
    return new_project(MLFLOW_TRACKING_URI=shared.of("first"), MLFLOW_EXPERIMENT_NAME=request.node.name)


def tracked(shared: Shared, client: Project) -> list[Any]:
    return client.tracked(shared.of("admin"), client.variables["MLFLOW_EXPERIMENT_NAME"])


def told_nowhere(*places: Project, texts: list[str]) -> None:
    for text in texts:
        assert TAIL not in text
    for path in (path for place in places for path in place.folder.rglob("*") if path.is_file()):
        assert TAIL.encode() not in path.read_bytes(), path


def command_lines() -> list[str]:
    """What anybody on this machine may read of its processes."""
    found = []
    for process in psutil.process_iter():
        try:
            found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def test_two_users_track_at_once_into_one_experiment(
    shared: Shared, client: Project, new_project: Callable[..., Project]
) -> None:
    other = new_project(**{**client.variables, "MLFLOW_TRACKING_URI": shared.of("second")})
    begun = [place.start(*QUICK, f"seed={seed}") for seed, place in enumerate((client, other))]
    assert reached(lambda: client.directories() and other.directories(), 120)
    told_nowhere(texts=command_lines())
    said = [text for process in begun for text in process.communicate(timeout=240)]
    assert [process.returncode for process in begun] == [0, 0], said
    reader = MlflowReader(shared.of("second"), client.variables["MLFLOW_EXPERIMENT_NAME"])
    runs = list(reader.runs())
    assert [r.info.run_id for r in reader.runs(newest_first=True)] == [r.info.run_id for r in runs][::-1]
    assert statuses(runs) == ["FINISHED"] * 2
    assert sorted(run.data.params["seed"] for run in runs) == ["0", "1"]
    # The server has the files, and no client could have written them itself.
    for run in runs:
        assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
        experiment, own = run.info.experiment_id, run.info.run_id
        stored = shared.home.folder / "artifacts" / experiment / own / "artifacts" / "result.json"
        assert json.loads(stored.read_text())["status"] == "FINISHED"
    told_nowhere(client, other, shared.home, texts=said)


@pytest.mark.extended  # In CI, a server without users goes away during a run, and two syncs run at once.
def test_server_that_is_gone_in_the_middle_of_a_sweep_gets_everything_in_the_end(
    shared: Shared, client: Project
) -> None:
    (client.folder / "held.py").write_text(ONES_OWN_DATA)
    gates = client.folder / "gates"
    gates.mkdir()
    data = ("data=custom", "data._target_=held.load", f"data.gates={gates}")
    training = ("training.epochs=2", "model.hidden_units=[8]", "threads=1")
    # With the usual two retries, it takes five seconds until a run knows that the server is gone.
    impatient = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    sweep = client.start("-m", "backend=theano", *data, *training, "seed=1,2,3,4", **impatient)

    def is_training(seed: int) -> bool:
        return len(client.directories()) == seed and bool(named(client.events(), "started"))

    assert reached(lambda: is_training(1), 120)
    (gates / "1").touch()
    assert reached(lambda: is_training(2), 120)
    shared.servers.stop()
    (gates / "2").touch()
    assert reached(lambda: is_training(3), 120)
    shared.start()
    for seed in (3, 4):
        (gates / str(seed)).touch()
    out, errors = sweep.communicate(timeout=240)
    assert sweep.returncode == NOT_TRACKED, errors
    # The server has all of the first run and of the last. It has only the beginning of the second run, and
    # nothing of the third.
    seeds = {run.info.status: run.data.params.get("seed") for run in trained(tracked(shared, client))}
    assert statuses(trained(tracked(shared, client))) == ["FINISHED", "RUNNING", "FINISHED"], seeds
    assert "did not accept it" in errors

    begun = [client.start("sync") for _ in range(2)]
    ended = [process.communicate(timeout=120) for process in begun]
    assert [process.returncode for process in begun] == [0, 0], ended
    counts = [int(said.splitlines()[-1].split(" uploaded")[0]) for said, _ in ended]
    assert sum(counts) == 2
    runs = tracked(shared, client)
    assert statuses(runs) == ["FINISHED"] * 5
    assert [run.data.params["seed"] for run in trained(runs)] == ["1", "2", "3", "4"]
    assert "| theano | keras3 | 4 of 4 |" in summary_of(runs).data.tags["mlflow.note.content"]
    told_nowhere(client, texts=[out, errors, *(text for texts in ended for text in texts)])


def test_clients_that_use_the_database_itself_make_its_tables_once(
    postgres: Postgres, new_project: Callable[..., Project]
) -> None:
    """There is no server to make the tables before the first client comes."""
    database = postgres.database("direct")
    clients = [new_project(MLFLOW_TRACKING_URI=database) for _ in range(2)]
    begun = [client.start(*QUICK) for client in clients]
    said = [text for process in begun for text in process.communicate(timeout=240)]
    assert [process.returncode for process in begun] == [0, 0], said
    assert statuses(clients[0].tracked(database)) == ["FINISHED"] * 2
    told_nowhere(*clients, texts=said)


def test_wrong_password_of_the_database_is_told_without_it(postgres: Postgres, lab: Project) -> None:
    wrong = postgres.database("closed").replace(ESCAPED, f"{ESCAPED}x")
    answer = lab.run("compare", MLFLOW_TRACKING_URI=wrong)
    assert answer.returncode == 2
    assert "password authentication failed" in answer.stderr
    told_nowhere(lab, texts=[answer.stdout, answer.stderr])
