"""How an old model was compiled, and the state of its optimizer, as the plan carries them to Keras 3."""

from typing import Any

from backendexp.porting.archive import Archive
from backendexp.porting.plan import Plan

# The numbers of a state that come before those of the weights: the steps, and Nadam's schedule.
_BEFORE = {"Nadam": 2}
# How many arrays of the state each optimizer keeps for a weight.
_EACH = {"SGD": 1, "RMSprop": 1, "Adagrad": 1, "Adadelta": 2, "Adam": 2, "Adamax": 2, "Nadam": 2}


def of(archive: Archive, plan: Plan) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """(what the worker compiles the model with, the arrays of the state by their keys).

    The first is None if the file was not compiled. Keras 2 keeps all first arrays of the weights, and then
    all second ones.
    """
    if archive.training is None:
        return None, {}
    described = archive.training.get("optimizer_config") or {}
    kind, config = str(described.get("class_name", "")), dict(described.get("config") or {})
    training: dict[str, Any] = {
        "optimizer": kind,
        "config": config,
        "loss": archive.training.get("loss"),
        "metrics": archive.training.get("metrics"),
        "loss_weights": archive.training.get("loss_weights"),
        "iterations": 0,
        "state": [],
    }
    arrays: dict[str, Any] = {}
    held, count = archive.optimizer_weights, len(plan.trained)
    before, each = _BEFORE.get(kind, 1), _EACH.get(kind, 0)
    if held and held[0].shape == ():
        training["iterations"] = int(held[0])
    if not each or len(held) < before + each * count or archive.generation == 1:
        return training, {}
    for number, (key, likewise) in enumerate(plan.trained):
        states = [held[before + part * count + number] for part in range(each)]
        names = [f"s{number}_{part}" for part in range(each)]
        if key is not None:
            arrays.update(
                {
                    name: likewise(state) if likewise is not None else state
                    for name, state in zip(names, states, strict=True)
                }
            )
        training["state"].append({"key": key, "arrays": names})
    return training, arrays
