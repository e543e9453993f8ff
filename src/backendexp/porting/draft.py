"""A port before anything has run: the old model, its plan for Keras 3, and the inputs of the proof."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backendexp.errors import UserError
from backendexp.porting import architecture, inputs, old_config, plan
from backendexp.porting.architecture import Model
from backendexp.porting.archive import Archive
from backendexp.porting.plan import Plan
from backendexp.porting.proof import Task


@dataclass(frozen=True)
class Draft:
    """What is known before anything has run.

    config: the architecture for Keras 2, as JSON. inputs: the arrays. dtype: of the computation.
    unproved: why a part of the model is not proved, whatever is computed.
    """

    archive: Archive
    model: Model
    plan: Plan
    config: str
    inputs: Sequence[Any]
    dtype: str
    unproved: list[str]

    def task(self, custom: Path | None, target: Path, folder: Path, threads: int, timeout_s: float) -> Task:
        """The task for the workers: see `proof.Task`."""
        return Task(
            archive=self.archive,
            plan=self.plan,
            config=self.config,
            inputs=self.inputs,
            custom=custom,
            target=target,
            folder=folder,
            dtype=self.dtype,
            threads=threads,
            timeout_s=timeout_s,
        )


def make(
    archive: Archive,
    custom: frozenset[str] = frozenset(),
    trust: bool = False,
    given: Path | None = None,
    seed: int = 0,
) -> Draft:
    """Plan a port.

    custom: the names that the user's file defines. trust: whether the code of Lambda layers in the file is
        run.
    given: the user's file of inputs, or None to draw them with `seed`.
    Raises UserError: a layer is unknown, or the parts of the file do not belong together.
    """
    model = architecture.model_of(archive.config, archive.generation)
    planned = plan.make(archive, model, custom)
    wanted = inputs.of(model)
    return Draft(
        archive,
        model,
        planned,
        old_config.config_for_keras_2(archive, trust),
        inputs.read(given, wanted) if given else inputs.draw(wanted, seed),
        "float64" if any(one.dtype == "float64" for one in wanted) else "float32",
        [] if trust else _lambdas(model),
    )


def _lambdas(model: Model) -> list[str]:
    """Why Lambda layers are not proved: their own code is not run."""
    return [
        f"your function replaced the code of the Lambda layer {layer.name} in both models, so nothing shows "
        "that "
        "it computes the same as that code. If you trust the file, use --trust"
        for layer in architecture.all_layers(model)
        if layer.kind == "Lambda" and layer.config.get("function_type") != "function"
    ]


def names_of(custom: Path | None) -> frozenset[str]:
    """The classes and functions that the user's file defines. It is read, not run.

    Raises UserError: there is no such file, or it is not Python.
    """
    if custom is None:
        return frozenset()
    if not custom.is_file():
        raise UserError(f"--custom {custom} does not exist. Expected a Python file that defines your layers")
    try:
        tree = ast.parse(custom.read_bytes(), str(custom))
    except (SyntaxError, ValueError) as error:
        raise UserError(f"--custom {custom} is not Python: {error}") from error
    kinds = (ast.FunctionDef, ast.ClassDef)
    return frozenset(node.name for node in tree.body if isinstance(node, kinds))
