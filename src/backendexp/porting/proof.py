"""Runs the old model in the keras2 runtime and the new one on every backend of keras3, and compares them."""

import json
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy

from backendexp.errors import UserError
from backendexp.porting import comparison, training
from backendexp.porting.archive import Archive
from backendexp.porting.comparison import Output, Row
from backendexp.porting.plan import Plan
from backendexp.runs.worker_pool import Surroundings, Worker, environment_of
from backendexp.runtimes import prepare

_PROBES = 6


class NotBuilt(UserError):
    """Keras 3 could not build the model."""


@dataclass(frozen=True)
class Place:
    """Where a task runs. tf_keras: by tf.keras, and not by Keras, on the backend tensorflow."""

    runtime: str
    backend: str
    python: str | None = None
    tf_keras: bool = False

    @property
    def title(self) -> str:
        return f"{'tf.keras' if self.tf_keras else self.backend} on {self.runtime}"


@dataclass(frozen=True)
class Task:
    """What is to be proved.

    archive, plan: the old model and the new one. config: the architecture for Keras 2, as JSON.
    inputs: the arrays. custom: the user's file, or None. target: of the .keras file. folder: for all else.
    dtype: of the computation. threads: of each engine. timeout_s: of each step.
    """

    archive: Archive
    plan: Plan
    config: str
    inputs: Sequence[Any]
    custom: Path | None
    target: Path
    folder: Path
    dtype: str
    threads: int
    timeout_s: float


@dataclass
class Proof:
    """What was found.

    built: what the worker says of the new model. reference: the place whose outputs count as the old ones, or
        None if the old model ran nowhere. backend: that of the reference.
    rows: the comparison. failed: why a place has no outputs, by its title.
    versions: of Keras and the engine, by the title of the place.
    """

    built: dict[str, Any]
    reference: str | None = None
    backend: str | None = None
    rows: list[Row] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    old: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)


def prove(task: Task, old: Sequence[Place], new: Sequence[Place], workers: "Workers") -> Proof:
    """Build the new model on the first place of `new`, and compare it with the old one.

    old: the places where the old model runs, the reference first. new: where the new one does.
    workers: their processes, which the caller closes.
    Raises NotBuilt: Keras 3 cannot build the model.
    """
    _write(task)
    proof = Proof({}, old=[place.title for place in old], new=[place.title for place in new])
    building = workers.ask(task, new[0], "build", _build(task))
    olds = [(place, workers.ask(task, place, "old", _old(task, place))) for place in old]
    if old[0].tf_keras and "message" in olds[0][1].result():
        # tf.keras runs no convolution with channels_first on a CPU, for one. Keras 2.3.1 has the same layers.
        proof.failed[old[0].title] = olds[0][1].result()["message"]
        instead = replace(old[0], tf_keras=False)
        proof.old = [instead.title]
        olds = [(instead, workers.ask(task, instead, "old", _old(task, instead)))]
    proof.built = building.result()
    if "message" in proof.built:
        raise NotBuilt(f"Keras 3 cannot build the model: {proof.built['message']}")
    news = [(place, workers.ask(task, place, "new", _new(task, place))) for place in new]
    _gather(task, proof, olds, news)
    proof.versions.update(workers.versions)
    return proof


_Asked = list[tuple[Place, "Future[dict[str, Any]]"]]


def _gather(task: Task, proof: Proof, olds: _Asked, news: _Asked) -> None:
    outputs: list[Output] = []
    sides: dict[str, dict[tuple[str, int, int], Any]] = {}
    shown = {new: old for old, new in task.plan.shown.items()}
    ends = _ends(task.plan)
    for place, asked in olds:
        answer = asked.result()
        if "message" in answer:
            proof.failed[place.title] = answer["message"]
            continue
        held = _held(answer)
        if proof.reference is None:
            proof.reference, proof.backend = place.title, place.backend
            outputs = [_output(one, held, ends) for one in answer["layers"]]
        else:
            sides[place.title] = {
                (one["layer"], one["call"], one["tensor"]): held[one["key"]] for one in answer["layers"]
            }
    for place, asked in news:
        answer = asked.result()
        if "message" in answer:
            proof.failed[place.title] = answer["message"]
            continue
        held = _held(answer)
        sides[place.title] = {
            (shown[one["layer"]], one["call"], one["tensor"]): held[one["key"]]
            for one in answer["layers"]
            if one["layer"] in shown
        }
    proof.rows = comparison.compare(outputs, sides, _errors(task, outputs))


def _output(one: dict[str, Any], held: dict[str, Any], ends: set[tuple[str, int, int]]) -> Output:
    place = (one["layer"], one["call"], one["tensor"])
    mask = held[one["mask"]] if one["mask"] is not None and place not in ends else None
    return Output(*place, held[one["key"]], one["grown"], mask)


def _ends(plan: Plan) -> set[tuple[str, int, int]]:
    """The outputs of layers that are outputs of the model."""
    if plan.model["sequential"]:
        return {(plan.model["layers"][-1]["name"], 0, 0)}
    return {(layer, call, tensor) for layer, call, tensor in plan.model["outputs"]}


def _held(answer: dict[str, Any]) -> dict[str, Any]:
    with numpy.load(answer["result"], allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def _errors(task: Task, outputs: Sequence[Output]) -> dict[str, int]:
    """The number of rounding errors of each layer."""
    arrays = [*task.inputs, *(output.value for output in outputs)]
    steps = max((array.shape[1] for array in arrays if array.ndim == 3), default=1)
    found = {}
    for layer in task.plan.model["layers"]:
        keys, recurrent = list[str](), bool(layer["recurrent"])
        for piece in _all_pieces(layer["pieces"]):
            keys += piece["arrays"] or []
            recurrent = recurrent or piece["kind"] in ("LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM2D")
        shapes = [task.plan.arrays[key].shape for key in keys]
        inside = sum(len(piece["model"]["layers"]) for piece in layer["pieces"] if piece["model"])
        found[layer["name"]] = comparison.errors_of_layer(shapes, steps, recurrent) * max(1, inside)
    return found


def _all_pieces(pieces: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for piece in pieces:
        found.append(piece)
        for inside in piece["inner"].values():
            found += _all_pieces(inside if isinstance(inside, list) else [inside])
        if piece["model"] is not None:
            found += _all_pieces([one for layer in piece["model"]["layers"] for one in layer["pieces"]])
    return found


def _write(task: Task) -> None:
    compiled, state = training.of(task.archive, task.plan)
    plan = {"model": task.plan.model, "training": compiled}
    (task.folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    numpy.savez(task.folder / "weights.npz", **task.plan.arrays, **state)
    numpy.savez(
        task.folder / "inputs.npz", **{f"input_{number}": array for number, array in enumerate(task.inputs)}
    )


def _common(task: Task) -> dict[str, Any]:
    return {
        "custom": None if task.custom is None else str(task.custom.absolute()),
        "inputs": str(task.folder / "inputs.npz"),
        "threads": task.threads,
        "dtype": task.dtype,
    }


def _build(task: Task) -> dict[str, Any]:
    files = {"plan": str(task.folder / "plan.json"), "weights": str(task.folder / "weights.npz")}
    return {**_common(task), **files, "target": str(task.target)}


def _old(task: Task, place: Place) -> dict[str, Any]:
    result = str(task.folder / f"old-{place.backend}.npz")
    weights = str(task.archive.weights_path.absolute())
    return {
        **_common(task),
        "config": task.config,
        "weights": weights,
        "probes": _PROBES,
        "result": result,
        "tf_keras": place.tf_keras,
    }


def _new(task: Task, place: Place) -> dict[str, Any]:
    result = str(task.folder / f"new-{place.backend}.npz")
    return {**_common(task), "model": str(task.target), "result": result}


class Workers:
    """The workers of all places, which serve one model after the other.

    say: gets a line for each step. parallel: the number of workers at a time.
    versions: of Keras and the engine, by the title of the place.
    """

    def __init__(self, say: Callable[[str], None], parallel: int) -> None:
        self._say = say
        self._made: dict[tuple[Place, int, str], Worker] = {}
        self._locks: dict[Place, threading.Lock] = {}
        self._pool = ThreadPoolExecutor(parallel)
        self.versions: dict[str, str] = {}

    def ask(self, task: Task, place: Place, kind: str, fields: dict[str, Any]) -> "Future[dict[str, Any]]":
        """What the worker answers, with the path of the result; or its `message` if it failed."""
        own = self._locks.setdefault(place, threading.Lock())

        def wait_for_turn() -> dict[str, Any]:
            with own:
                return self._ask(task, place, kind, fields)

        return self._pool.submit(wait_for_turn)

    def _ask(self, task: Task, place: Place, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
        try:
            worker = self._worker(task, place)
        except UserError as error:
            return {"message": str(error).splitlines()[0]}
        directory = task.folder / f"{kind}-{place.backend}"
        directory.mkdir(exist_ok=True)
        answer: dict[str, Any] = {}

        def hear(event: dict[str, Any]) -> None:
            if event["event"] == "ported":
                answer.update(event, result=fields.get("result"))
            elif event["event"] == "ready":
                library = "its tf.keras" if place.tf_keras else f"Keras {event['keras']}"
                self.versions[place.title] = f"{library}, {event['engine']} {event['engine_version']}"
            elif event["event"] in ("failed", "ended", "refused"):
                answer["message"] = _shortened(event["message"])

        verb = {"build": "building the new model with", "old": "the old model on", "new": "the new model on"}
        self._say(f"{verb[kind]} {place.title}")
        order = {
            "command": "port",
            "spec": {"backend": {"name": place.backend}},
            "task": {"kind": kind, **fields},
        }
        worker.serve(order, directory, task.timeout_s, hear)
        if not answer:
            answer["message"] = f"the worker ended without an answer: see {directory / 'worker.log'}"
        return answer

    def _worker(self, task: Task, place: Place) -> Worker:
        kind = (place, task.threads, task.dtype)
        if kind not in self._made or not self._made[kind].alive:
            prepare.check_available(place)
            interpreter = prepare.prepare(place, self._say)
            around = Surroundings(place.backend, place.runtime, task.threads, task.dtype)
            environment = environment_of(around, interpreter.own)
            # Without oneDNN, TensorFlow has no convolutions with channels_first on a CPU. It is on by default
            # on some CPUs only: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util/util.cc
            environment.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
            self._made[kind] = Worker(interpreter.python, environment)
        return self._made[kind]

    def close(self) -> None:
        # Without their workers, the threads of the pool end.
        for worker in self._made.values():
            worker.close()
        self._pool.shutdown(cancel_futures=True)


# What engines put around the sentence that says what failed: colours, and where in their graph it was.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_PLACES = ('File "', "Detected at node", "Stack trace for op")


def _shortened(message: str) -> str:
    lines = [line.strip() for line in _COLOURS.sub("", message).splitlines()]
    kept = " ".join(line for line in lines if line and not line.startswith(_PLACES))
    return "".join(one if one.isprintable() else "?" for one in kept)[:600]
