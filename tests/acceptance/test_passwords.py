"""The password of a store reaches the store, and nothing that a run leaves or says."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from support.gate import Gate
from support.prepared import Answer
from support.projects import SMALL, Project, client_of, statuses
from support.servers import Servers, free_port

pytestmark = pytest.mark.slow

# The part after the @ is what a parser that splits the address wrongly would show. It must occur nowhere
# else. In the bytes of a database, even "ter2" occurs, where "interpreter" is followed by a number.
TAIL = "qXj7Wv"
PASSWORD = f"hun@{TAIL},&x"
ESCAPED = quote(PASSWORD, safe="")
CREDENTIALS = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
QUICK = ("backend=theano", *SMALL)


@dataclass(frozen=True)
class Store:
    """An MLflow server, which all tests of this file share because it takes long to start. home: the project
    whose database and artifacts it keeps.
    """

    home: Project
    server: str


@pytest.fixture(scope="module")
def store(new_project: Callable[..., Project]) -> Iterator[Store]:
    servers = Servers()
    home = new_project()
    yield Store(home, servers(home))
    servers.stop()


@pytest.fixture
def lab(request: pytest.FixtureRequest, new_project: Callable[..., Project]) -> Project:
    """A project whose runs are in an experiment of this test, apart from those of the other tests."""
    return new_project(MLFLOW_EXPERIMENT_NAME=request.node.name)


@pytest.fixture
def gates() -> Iterator[list[Gate]]:
    opened: list[Gate] = []
    yield opened
    for gate in opened:
        gate.shutdown()
        gate.server_close()


def told_nowhere(store: Store, project: Project, answer: Answer) -> None:
    """Neither in what was said, nor in any file or name of the project or of the server's folder."""
    traces = [PASSWORD, ESCAPED, TAIL, CREDENTIALS]
    files = [*everything(project), *everything(store.home)]
    for trace in traces:
        assert trace not in answer.stdout + answer.stderr
        holding = [path for path in files if trace.encode() in path.read_bytes()]
        assert holding == []
    for folder in (project.folder, store.home.folder):
        assert [path for path in folder.rglob("*") if TAIL in path.name] == []


def everything(project: Project) -> list[Path]:
    return [path for path in project.folder.rglob("*") if path.is_file()]


def tracked(store: Store, project: Project) -> list[Any]:
    """The runs of the project in the shared store."""
    return project.tracked(store.server, project.variables["MLFLOW_EXPERIMENT_NAME"])


@pytest.mark.parametrize("way", ["environment", "argument", "escaped", "sweep", "launcher", "variable"])
def test_no_password_is_left_anywhere(way: str, lab: Project, store: Store, gates: list[Gate]) -> None:
    gates.append(Gate(free_port(), store.server, CREDENTIALS))
    host = f"127.0.0.1:{gates[0].server_address[1]}"
    plain, escaped = f"http://admin:{PASSWORD}@{host}", f"http://admin:{ESCAPED}@{host}"
    named_after_words = "hydra.sweep.subdir=${hydra.job.num}-${hydra.job.override_dirname}"
    telling = ("hydra/job_logging=default", "hydra/hydra_logging=default")
    match way:
        case "environment":
            answer = lab.run(*QUICK, MLFLOW_TRACKING_URI=plain)
        case "argument":
            answer = lab.run(*QUICK, f"tracking.uri={plain}")
        case "escaped":
            answer = lab.run(*QUICK, f"tracking.uri='{escaped}'", *telling)
        case "sweep":
            answer = lab.run("-m", *QUICK, f"tracking.uri={plain}", "seed=1,2", *telling, named_after_words)
        case "launcher":
            # Otherwise both jobs would create it at the same time.
            client_of(store.server).create_experiment(lab.variables["MLFLOW_EXPERIMENT_NAME"])
            answer = lab.run("-m", *QUICK, f"tracking.uri={escaped}", "seed=1,2", "hydra/launcher=joblib")
        case _:
            answer = lab.run(*QUICK, "tracking.uri=${oc.env:MY_STORE}", MY_STORE=escaped)
    assert answer.returncode == 0, answer.stderr
    assert "Traceback" not in answer.stderr
    assert gates[0].passed > 0
    assert statuses(tracked(store, lab)) == ["FINISHED"] * (3 if way in ("sweep", "launcher") else 1)
    assert f"  store  http://admin:***@{host}\n" in answer.stdout
    assert f"http://{host}/#/experiments/" in answer.stdout
    # MLflow's own words stand among the results nowhere.
    assert "View run" not in answer.stdout + answer.stderr
    assert "View experiment" not in answer.stdout + answer.stderr
    experiment = tracked(store, lab)[0].info.experiment_id
    uploaded = [path.parts for path in everything(store.home) if path.name == "context.json"]
    assert any({experiment, "artifacts"} <= set(parts) for parts in uploaded)
    told_nowhere(store, lab, answer)


def test_password_is_given_anew_to_upload_later(lab: Project, store: Store, gates: list[Gate]) -> None:
    port = free_port()
    uri = f"http://admin:{PASSWORD}@127.0.0.1:{port}"
    away = lab.run("-m", *QUICK, "seed=1,2", MLFLOW_TRACKING_URI=uri)
    assert f"the tracking store http://admin:***@127.0.0.1:{port} did not accept it" in away.stderr
    told_nowhere(store, lab, away)

    gates.append(Gate(port, store.server, CREDENTIALS))
    refused = lab.run("sync")
    assert refused.returncode == 1
    assert refused.stderr.count("needs its password, which is not saved on disk. Give the whole") == 3
    (one, *_) = lab.directories()
    by_argument = lab.run("sync", str(one), f"tracking.uri={uri}")
    assert by_argument.returncode == 0, by_argument.stderr
    by_environment = lab.run("sync", MLFLOW_TRACKING_URI=uri)
    assert by_environment.returncode == 0, by_environment.stderr
    assert "2 uploaded, 0 refused, 1 with nothing" in by_environment.stdout
    assert statuses(tracked(store, lab)) == ["FINISHED"] * 3
    for answer in (refused, by_argument, by_environment):
        told_nowhere(store, lab, answer)


def test_wrong_password_is_told_without_it(lab: Project, store: Store, gates: list[Gate]) -> None:
    gates.append(Gate(free_port(), store.server, CREDENTIALS))
    uri = f"http://admin:{ESCAPED}z@127.0.0.1:{gates[0].server_address[1]}"
    answer = lab.run(*QUICK, MLFLOW_TRACKING_URI=uri)
    assert "did not accept it" in answer.stderr
    assert "401" in answer.stderr
    told_nowhere(store, lab, answer)


def test_user_and_password_of_mlflows_own_variables_open_the_store(
    lab: Project, store: Store, gates: list[Gate]
) -> None:
    gates.append(Gate(free_port(), store.server, CREDENTIALS))
    variables = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    uri = f"tracking.uri=http://127.0.0.1:{gates[0].server_address[1]}"
    answer = lab.run(*QUICK, uri, **variables)
    assert answer.returncode == 0, answer.stderr
    assert statuses(tracked(store, lab)) == ["FINISHED"]
    told_nowhere(store, lab, answer)
