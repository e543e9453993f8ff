"""Runs the entry points of a clone of the repository with `mlflow run`."""

import subprocess
from typing import Any

from support.command import REPOSITORY
from support.prepared import Answer
from support.projects import Project, summary_of

LOCAL = "--env-manager=local"


def cloned(project: Project) -> Project:
    """Clone the repository into an empty project, as it was committed last."""
    command = ["git", "clone", "--quiet", str(REPOSITORY), str(project.folder)]
    subprocess.run(command, check=True, capture_output=True)
    return project


def mlflow_run(
    clone: Project,
    *parameters: str,
    entry: str = "main",
    manager: tuple[str, ...] = (LOCAL,),
    timeout: float = 300,
    **env: str,
) -> Answer:
    """parameters: NAME=VALUE each. manager: of environments; empty for MLflow's default."""
    given = [word for parameter in parameters for word in ("-P", parameter)]
    return clone.run("run", ".", "-e", entry, *manager, *given, module="mlflow", timeout=timeout, **env)


def summary_of_entry(entry: str, runs: list[Any]) -> Any:
    """The summary run, which is the one that MLflow made for the entry point."""
    summary = summary_of(runs)
    assert summary.data.tags["mlflow.project.entryPoint"] == entry
    return summary
