"""Writes runs to MLflow through its client, without global state and in one batch for each run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backendexp.errors import TrackingError
from backendexp.tracking import addresses
from backendexp.tracking.base import (
    BEGAN_MS,
    DATA_DIGEST,
    ENDED_MS,
    NO_TAGS,
    STATUS,
    Dataset,
    OpenRun,
    Report,
)
from backendexp.tracking.mlflow_connection import connect, is_database, patient_database, translated

RECORD_TAG = "backendexp.record"
# https://mlflow.org/docs/latest/rest-api.html#log-batch
_MOST_METRICS, _MOST_PARAMS = 1000, 100
_LONGEST_DIGEST = 36


class MlflowTracker:
    """Writes the runs of one experiment.

    Creating a tracker imports mlflow, connects, and creates the tables of a new store, which takes seconds.
    uri: a tracking URI of MLflow, absolute.
    experiment: the name of the experiment, which is created if it does not exist.
    experiment_id: the id of an existing experiment. If it is given, the name is ignored.
    folder: the folder for the artifacts of an experiment in a local database.
    Raises TrackingError: the store cannot be reached.
    """

    def __init__(self, uri: str, experiment: str, experiment_id: str | None, folder: Path) -> None:
        self.uri = addresses.keep(uri)
        # The runs that this tracker has begun, and that have not ended yet.
        self._begun: set[str] = set()
        with translated(uri), patient_database(uri):
            self._client = connect(uri)
            self.experiment_id = experiment_id or self._ensure_experiment(experiment, folder)

    def _ensure_experiment(self, name: str, folder: Path) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            if is_database(self.uri):
                # mlflow keeps the artifacts below this root, in a folder named after the experiment's id. It
                # reads its own default root, which is a path, as a URI, and so a % in the name of a folder
                # would lead to a different folder.
                self._client._tracking_client.store.artifact_root_uri = (
                    (folder / "mlruns").absolute().as_uri()
                )
            try:
                return str(self._client.create_experiment(name))
            except MlflowException as error:
                # Another process may have created it in the meantime.
                found = self._client.get_experiment_by_name(name)
                if error.error_code != "RESOURCE_ALREADY_EXISTS" or found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"experiment {name!r} of {self.uri} is deleted. Restore it with: mlflow experiments restore "
                f"--experiment-id {found.experiment_id}   or choose another: tracking.experiment=NAME"
            )
        return str(found.experiment_id)

    def begin(
        self, record_id: str, name: str, start_ms: int, tags: dict[str, str], run_id: str | None
    ) -> str:
        tags = {**tags, RECORD_TAG: record_id, BEGAN_MS: str(start_ms)}
        with translated(self.uri):
            if run_id is not None:
                self._log(run_id, tags=tags)
                return run_id
            run = self._client.create_run(self.experiment_id, start_ms, tags, name)
            self._begun.add(str(run.info.run_id))
            return str(run.info.run_id)

    def end(self, run_id: str, report: Report) -> None:
        from mlflow.entities import Metric, Param

        with translated(self.uri):
            if run_id in self._begun:
                self._begun.remove(run_id)
            elif not report.joined and self._has_ended_otherwise(run_id, report):
                return
            metrics = [Metric(m.key, m.value, m.timestamp_ms, m.step) for m in report.metrics]
            held = self._client.get_run(run_id).data.params if report.joined else {}
            params = [Param(key, value) for key, value in report.params.items() if key not in held]
            requests = max(-(-len(metrics) // _MOST_METRICS), -(-len(params) // _MOST_PARAMS), 1)
            for n in range(requests):
                self._log(
                    run_id,
                    metrics[n * _MOST_METRICS : (n + 1) * _MOST_METRICS],
                    params[n * _MOST_PARAMS : (n + 1) * _MOST_PARAMS],
                    {**report.tags, **_lost_in_copies(report)} if n == 0 else {},
                )
            if report.dataset is not None:
                self._client.log_inputs(run_id, datasets=[_dataset_input(report.dataset)])
            for path in report.artifacts:
                # A folder is uploaded in one call, because each call asks the store where the artifacts are.
                log = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
                log(run_id, str(path))
            self._client.set_terminated(run_id, report.status, report.end_ms)
            self._discard_repeats(run_id, report.record_id)

    def _has_ended_otherwise(self, run_id: str, report: Report) -> bool:
        """Whether `end` has brought the run here as one that finished or failed by itself, at another time.

        Its directory then shows less. If its disk was full, the end of the run is in the store alone, and the
        directory has the end that a later process has added.
        """
        run = self._client.get_run(run_id)
        status, tags = run.info.status, run.data.tags
        by_itself = status in ("FINISHED", "FAILED") and tags.get(STATUS) == status
        return by_itself and tags.get(ENDED_MS) != str(report.end_ms)

    def _discard_repeats(self, run_id: str, record_id: str) -> None:
        """Delete the runs that were created besides `run_id` for the same record.

        If a server does not answer in time, MLflow's client repeats its request. A server that was only slow
        has then created two runs, and the client knows the second one.
        """
        if is_database(self.uri):
            return
        condition = f"attributes.status = 'RUNNING' and tags.`{RECORD_TAG}` = '{record_id}'"
        for run in self._client.search_runs([self.experiment_id], condition):
            if run.info.run_id != run_id:
                self._client.delete_run(run.info.run_id)

    def _log(
        self,
        run_id: str,
        metrics: list[Any] | None = None,
        params: list[Any] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        from mlflow.entities import RunTag

        entities = [RunTag(key, value[:8000]) for key, value in (tags or {}).items()]
        self._client.log_batch(run_id, metrics or [], params or [], entities, synchronous=True)

    def find(self, record_id: str) -> str | None:
        with translated(self.uri):
            runs = self._client.search_runs([self.experiment_id], f"tags.`{RECORD_TAG}` = '{record_id}'")
            over = [run for run in runs if run.info.status != "RUNNING"]
            return next((run.info.run_id for run in [*over, *runs]), None)

    def open_runs(self, host: str) -> list[OpenRun]:
        with translated(self.uri):
            runs = self._client.search_runs(
                [self.experiment_id],
                f"attributes.status = 'RUNNING' and tags.`backendexp.host` = '{host}'",
            )
            return [OpenRun(run.info.run_id, dict(run.data.tags)) for run in runs]

    def kill(self, run_id: str, tags: Mapping[str, str] = NO_TAGS) -> None:
        with translated(self.uri):
            kill(self._client, run_id, tags)

    def discard(self, run_id: str) -> None:
        with translated(self.uri):
            self._client.delete_run(run_id)


def kill(client: Any, run_id: str, tags: Mapping[str, str]) -> None:
    """Set the status of a run to KILLED.

    client: MLflow's client for the store.
    """
    from mlflow.entities import RunTag

    entities = [RunTag(key, value) for key, value in {**tags, STATUS: "KILLED"}.items()]
    client.log_batch(run_id, tags=entities, synchronous=True)
    client.set_terminated(run_id, "KILLED")


def _lost_in_copies(report: Report) -> dict[str, str]:
    """Return tags with those facts of the report that are lost when the run is copied to another store."""
    digest = {DATA_DIGEST: report.dataset.digest} if report.dataset is not None else {}
    return {
        BEGAN_MS: str(report.start_ms),
        ENDED_MS: str(report.end_ms),
        STATUS: report.status,
        **digest,
    }


def _dataset_input(dataset: Dataset) -> Any:
    """Return the dataset in MLflow's own entities, in the form that its NumpyDataset writes."""
    from mlflow.entities import Dataset as DatasetEntity
    from mlflow.entities import DatasetInput, InputTag

    def tensors(part: str) -> str:
        """Describe an array, or each array if there are several, which have names such as x_train_left."""
        specs = []
        for name, shape in dataset.shapes.items():
            if name == part or name.startswith(f"{part}_"):
                named = {} if name == part else {"name": name.removeprefix(f"{part}_")}
                spec = {"dtype": "float32", "shape": [-1, *shape[1:]]}
                specs.append({"type": "tensor", **named, "tensor-spec": spec})
        return json.dumps(specs)

    source = {"path": dataset.path} if dataset.path else {"generated_by": "backendexp"}
    shapes = dataset.shapes
    schema = {"features": tensors("x_train"), "targets": tensors("y_train")}
    profile = {**{f"{name}_shape": shape for name, shape in shapes.items()}, "bytes": dataset.bytes}
    return DatasetInput(
        dataset=DatasetEntity(
            name=dataset.name,
            digest=dataset.digest[:_LONGEST_DIGEST],
            source_type="local" if dataset.path else "code",
            source=json.dumps(source),
            schema=json.dumps({"mlflow_tensorspec": schema}),
            profile=json.dumps(profile),
        ),
        tags=[InputTag("mlflow.data.context", "training")],
    )
