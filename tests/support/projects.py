"""Project directories like those of users, in which tests run backendexp and then read the tracking store."""

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from backendexp.runs import events, record
from backendexp.runs.events import Event
from backendexp.tracking import addresses
from support import prepared
from support.prepared import Answer

# A run of these sizes trains in a fraction of a second, once the engine is imported.
SMALL = (
    "data.samples=256",
    "data.features=8",
    "data.test_samples=64",
    "model.hidden_units=[16,8]",
    "training.epochs=3",
    "training.batch_size=64",
    "threads=1",
)
# JAX compiles this plan in one second and SMALL in three, so tests that need JAX use it, unless they look at
# dropout or at the optimizer. Theano takes half a second for either: it is the backend of the tests in which
# any backend would do.
QUICK = (*SMALL, "model.hidden_units=[8]", "model.dropout=0", "training.optimizer=sgd")
# The values of a setting are compared on one backend, so that only one engine is imported.
BY_STEPS = (
    "experiment=compare",
    "backend=theano",
    "compare.by=training.steps_per_execution",
    "compare.values=[1,2]",
)
# It trains until something ends it, some epochs a second.
ENDLESS = (*QUICK, "data.samples=20000", "training.epochs=1000000")
# With huge steps, the squared error of a linear output exceeds the range of float32 within two epochs.
DIVERGING = (
    "training.optimizer=sgd",
    "training.loss=mean_squared_error",
    "model.output_activation=linear",
    "model.dropout=0",
)
# All processes that a project starts have this environment variable, so that leftover ones can be found.
_MARK = "BACKENDEXP_TEST_PROJECT"


@dataclass(frozen=True)
class Project:
    """A project in its own folder. `variables` are added to the environment of the tests."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    _started: list[Any] = field(default_factory=list, init=False, compare=False)

    @property
    def environment(self) -> dict[str, str]:
        # A test that imports TensorFlow 2 leaves its variable behind, which changes TensorFlow 1.14.
        unwanted = (*addresses.MLFLOW_VARIABLES, "TF2_BEHAVIOR")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        # `mlflow run --env-manager=local` takes `python` from PATH.
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
        return {**kept, "PATH": path, _MARK: str(self.folder), **self.variables}

    @property
    def store(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"

    def run(self, *arguments: str, timeout: float = 300, module: str = "backendexp", **env: str) -> Answer:
        """Run `python -m MODULE ARGUMENTS` in the project's folder, and wait for it to end."""
        return prepared.run(self._command(module, arguments, env), timeout)

    def start(self, *arguments: str, **env: str) -> "subprocess.Popen[str] | prepared.Forked":
        """Start `python -m backendexp ARGUMENTS` without waiting."""
        begun = prepared.start(self._command("backendexp", arguments, env))
        self._started.append(begun)
        return begun

    def start_anew(self, *arguments: str, **env: str) -> "subprocess.Popen[str]":
        """Do what `start` does, with all the imports of a start."""
        return prepared.started_anew(self._command("backendexp", arguments, env))

    def _command(self, module: str, arguments: Sequence[str], env: Mapping[str, str]) -> prepared.Command:
        return prepared.Command(module, arguments, self.folder, {**self.environment, **env})

    def tracked(self, store: str | None = None, experiment: str = "backendexp") -> list[Any]:
        """Return the MLflow runs of an experiment, oldest first. There are none if the experiment does not
        exist.
        """
        with warnings.catch_warnings():
            # mlflow and sqlalchemy warn when they are imported and when they connect.
            warnings.simplefilter("ignore")
            client = client_of(store or self.store)
            found = client.get_experiment_by_name(experiment)
            if found is None:
                return []
            return list(client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"]))

    def history(self, run: Any, metric: str, store: str | None = None) -> list[Any]:
        """Return the values of a metric, ordered by step."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = client_of(store or self.store).get_metric_history(run.info.run_id, metric)
        return sorted(values, key=lambda value: value.step)

    def directories(self) -> list[Path]:
        """Return the directories of the project's runs, oldest first."""
        return record.find([self.folder / "outputs", self.folder / "multirun"])

    def events(self, number: int = -1) -> list[Event]:
        """Return the events that the worker of run `number` has sent so far. There are none before the run
        exists.
        """
        directories = self.directories()
        if not -len(directories) <= number < len(directories):
            return []
        return events.read(directories[number] / "events.jsonl")

    def processes(self) -> list[psutil.Process]:
        """List all living processes that this project started."""
        found = []
        forked = {begun.pid for begun in self._started if begun.poll() is None}
        for process in psutil.process_iter():
            try:
                # The system shows the environment of a process that was forked as it was before the fork.
                mine = process.pid in forked or process.environ().get(_MARK) == str(self.folder)
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue  # it has ended in the meantime, or belongs to another user
        return found

    def nothing_runs(self, within: float = 5) -> bool:
        """Return whether all processes of the project end within `within` seconds."""
        return reached(lambda: not self.processes(), within)


def after_sweep(project: Project, *words: str) -> tuple[Project, str]:
    """Run a sweep of quick runs. Returns the project, and what was printed."""
    answer = project.run("-m", *QUICK, *words)
    assert answer.returncode == 0, answer.stderr
    return project, answer.stdout


def client_of(store: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(store)


def reached(condition: Callable[[], object], within: float, every: float = 0.05) -> bool:
    """Return whether the condition becomes true within `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def named(found: list[Event], name: str) -> list[Event]:
    return [event for event in found if event["event"] == name]


def trained(runs: list[Any]) -> list[Any]:
    """Return the runs that trained, without the summary of a sweep."""
    return [run for run in runs if "backend" in run.data.tags]


def summary_of(runs: list[Any]) -> Any:
    """Return the only run that sums up a sweep or a parity check."""
    (found,) = [run for run in runs if "kind" in run.data.tags]
    return found


def statuses(runs: list[Any]) -> list[str]:
    return [run.info.status for run in runs]


def artifact_folder(run: Any) -> Path:
    """Return the folder with the artifacts of a run in a local store."""
    return Path(run.info.artifact_uri.removeprefix("file://"))
