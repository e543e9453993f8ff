"""How an old model was compiled, and the state of its optimizer, as the plan carries them to Keras 3."""

from typing import Any

from backendexp.porting.archive import Archive
from backendexp.porting.pieces import Likewise
from backendexp.porting.plan import Plan

# The numbers of a state that come before those of the weights: the steps, and Nadam's schedule.
_BEFORE = {"Nadam": 2}
# What each optimizer keeps of a weight, in the order of Keras 2: the attribute of Keras 3 that has it, and
# the power by which it follows a factor of the weight (see `pieces.Likewise`).
_Kept = tuple[tuple[str, int], ...]
_KEPT: dict[str, _Kept] = {
    "SGD": (("momentums", 1),),
    "RMSprop": (("_velocities", -2),),
    "Adagrad": (("_accumulators", -2),),
    "Adadelta": (("_accumulated_grads", -2), ("_accumulated_delta_vars", 2)),
    "Adam": (("_momentums", -1), ("_velocities", -2)),
    "Adamax": (("_m", -1), ("_u", -1)),
    "Nadam": (("_momentums", -1), ("_velocities", -2)),
}


def _kept(kind: str, config: dict[str, Any]) -> _Kept:
    """What an optimizer keeps of a weight with these arguments. tf.keras has more of them than Keras 2."""
    kept = _KEPT.get(kind, ())
    if kind == "Adam" and config.get("amsgrad"):
        kept += (("_velocity_hats", -2),)
    if kind == "RMSprop" and config.get("momentum"):
        kept += (("_momentums", 1),)
    if kind == "RMSprop" and config.get("centered"):
        kept += (("_average_gradients", -1),)
    return kept


def of(archive: Archive, plan: Plan) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """(what the worker compiles the model with, the arrays of the state by their keys).

    The first is None if the file was not compiled. Keras 2 keeps all first arrays of the weights, and then
    all second ones.
    """
    if archive.training is None:
        return None, {}
    stated = archive.training if isinstance(archive.training, dict) else {}
    described = stated.get("optimizer_config")
    described = described if isinstance(described, dict) else {}
    kind, config = str(described.get("class_name", "")), dict(described.get("config") or {})
    kind = kind.rpartition(">")[2]
    training: dict[str, Any] = {
        "optimizer": kind,
        "config": config,
        "loss": stated.get("loss"),
        "metrics": stated.get("metrics"),
        "loss_weights": stated.get("loss_weights"),
        "of_keras_1": archive.generation == 1 and bool(archive.optimizer_weights),
        "iterations": 0,
        "schedule": None,
        "attributes": [],
        "state": [],
    }
    arrays: dict[str, Any] = {}
    held, count = archive.optimizer_weights, len(plan.trained)
    kept = _kept(kind, config)
    # The Nadam of TensorFlow 2.11 and later keeps its schedule out of the file.
    before = 1 if config.get("is_legacy_optimizer") is False else _BEFORE.get(kind, 1)
    if held and held[0].shape == ():
        training["iterations"] = int(held[0])
    if kind == "Nadam" and before == 2 and len(held) > 1:
        training["schedule"] = float(held[1])
    if not kept or len(held) < before + len(kept) * count or archive.generation == 1:
        return training, {}
    training["attributes"] = [attribute for attribute, _ in kept]
    for number, (key, likewise) in enumerate(plan.trained):
        states = [held[before + part * count + number] for part in range(len(kept))]
        followed = _followed(states, kept, likewise)
        if key is None or any(state.shape != plan.arrays[key].shape for state in followed):
            training["state"].append({"key": None, "arrays": []})
            continue
        names = [f"s{number}_{part}" for part in range(len(kept))]
        arrays.update(zip(names, followed, strict=True))
        training["state"].append({"key": key, "arrays": names})
    return training, arrays


def _followed(states: list[Any], kept: _Kept, likewise: Likewise | None) -> list[Any]:
    """What an optimizer keeps of a weight, changed as the weight was. It stays if its shape is another."""
    if likewise is None:
        return states
    try:
        return [likewise(state, power) for state, (_, power) in zip(states, kept, strict=True)]
    except ValueError:
        return states
