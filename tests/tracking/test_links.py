import json
import shlex
from urllib.parse import parse_qs, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from backendexp.tracking import links

SERVER = "http://tracking:5000/prefix/"
TRAINING = "workflowType=machine_learning"


def test_links_of_a_server_are_its_own() -> None:
    assert links.run_link(SERVER, "3", "abc").startswith(
        "http://tracking:5000/prefix/#/experiments/3/runs/abc"
    )
    assert links.experiment_link(SERVER, "3").startswith("http://tracking:5000/prefix/#/experiments/3")


def test_links_of_a_local_store_are_those_of_the_server_that_is_proposed() -> None:
    for link in (
        links.run_link("sqlite:////a/mlflow.db", "1", "abc"),
        links.experiment_link("sqlite:////a/mlflow.db", "1"),
        links.compare_link("sqlite:////a/mlflow.db", "1", ["a", "b"]),
    ):
        assert link.startswith("http://127.0.0.1:5000/#/")


def test_every_link_opens_the_pages_for_training() -> None:
    for link in (
        links.run_link(SERVER, "3", "abc"),
        links.experiment_link(SERVER, "3"),
        links.compare_link(SERVER, "3", ["a"]),
    ):
        assert TRAINING in link


@given(st.lists(st.text(), max_size=20), st.text(min_size=1))
def test_compare_link_carries_runs_and_experiment_through_the_address(
    runs: list[str], experiment: str
) -> None:
    route = urlsplit(links.compare_link(SERVER, experiment, runs)).fragment
    fields = parse_qs(urlsplit(route).query)
    assert json.loads(fields["runs"][0]) == runs
    assert json.loads(fields["experiments"][0]) == [experiment]


def test_server_needs_no_command() -> None:
    assert links.server_command("https://tracking") is None


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"])))
def test_command_that_serves_a_local_store_survives_the_shell(path: str) -> None:
    command = links.server_command(f"sqlite:///{path}")
    assert command is not None
    assert shlex.split(command) == ["backendexp", "ui", f"tracking.uri=sqlite:///{path}"]
