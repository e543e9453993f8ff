"""Checks the values of settings by what `backendexp.worker.settings.setting` says about them."""

import math
from collections.abc import Callable, Iterable
from dataclasses import Field, fields
from typing import Any, get_args, get_type_hints

from backendexp import spelling
from backendexp.errors import ConfigError
from backendexp.runtimes import catalogue
from backendexp.worker.settings import Model


def check_fields(part: Any, prefix: str) -> None:
    """Check the fields of a part of the configuration that are settings.

    prefix: the name of the part and a dot, which stand before the names of its fields in messages.
    Raises ConfigError: a value cannot be used; the first such value is reported.
    """
    optional = {name: type(None) in get_args(hint) for name, hint in get_type_hints(type(part)).items()}
    for field in fields(part):
        value, key = getattr(part, field.name), prefix + field.name
        about = field.metadata
        if about.get("planned") and value is not None:
            raise ConfigError(
                f"{key} is set, but {prefix[:-1]}={part.kind} takes {about['planned']}. Leave it out"
            )
        if not about or "planned" in about:
            continue
        if about["required"] and not value:
            raise ConfigError(
                f"{key} is not set, but {prefix[:-1]}={part.kind} needs {about['required']}, "
                f"e.g. {about['example']}"
            )
        if value is None and optional[field.name]:
            continue
        if isinstance(value, list):
            _check_length(key, value, about)
        for element in value if isinstance(value, list) else [value]:
            check_value(key, element, about)


def _check_length(key: str, value: list[Any], about: Any) -> None:
    items, example = about["items"], about["example"]
    if len(value) < about["at_least"]:
        raise ConfigError(f"{key} is empty: expected {about['at_least']} or more {items}, e.g. {example}")
    if about["at_most"] is not None and len(value) > about["at_most"]:
        raise ConfigError(f"{key} has {len(value)} {items}: expected at most {about['at_most']}")


def check_value(key: str, value: Any, about: Any) -> None:
    """Check one value, or one element of a list.

    about: the metadata of the field.
    Raises ConfigError: the value cannot be used.
    """
    choices = about["choices"]
    if about["names"]:
        choices = getattr(catalogue.KERAS3, about["names"])
    if about["automatic"]:
        choices = {"auto", *choices}
    if choices is not None:
        one_of(key, value, choices, about["example"])
    elif about["high"] is not None:
        number(key, value, about["low"], about["high"], about["example"], about["above"], about["below"])


def check_names(settings: Any, runtime: catalogue.RuntimeFacts) -> None:
    """Check the names in a configuration or a plan against a runtime.

    Raises ConfigError: Keras 3 knows a name, or has the layers of the model, but this runtime's Keras does
        not.
    """
    check_generation(settings.model, runtime)
    for prefix in ("data", "model", "training"):
        part = getattr(settings, prefix)
        for field in fields(part):
            if not (names := field.metadata.get("names")):
                continue
            values, known = getattr(part, field.name), getattr(runtime, names)
            accepted = {"auto", *known} if field.metadata["automatic"] else known
            for value in values if isinstance(values, list) else [values]:
                if value is None or value in accepted:
                    continue
                raise ConfigError(
                    f"{prefix}.{field.name} is {value!r}, which runtime {runtime.name!r} "
                    f"(Keras {runtime.generation}) does not have. "
                    f"Expected one of: {', '.join(sorted(known))}"
                )


def check_generation(model: Model, runtime: catalogue.RuntimeFacts) -> None:
    """Check that the Keras of a runtime has the layers of a model.

    Raises ConfigError: it does not; the message names the runtimes that have them.
    """
    if runtime.generation not in model.GENERATIONS:
        able = [facts.name for facts in catalogue.RUNTIMES.values() if facts.generation in model.GENERATIONS]
        raise ConfigError(
            f"model={model.kind} has layers that runtime {runtime.name!r} (Keras "
            f"{runtime.generation}) does not have. Use {' or '.join(f'runtime={name}' for name in able)}"
        )


def check_execution(settings: Any, backend: str, runtime: catalogue.RuntimeFacts) -> None:
    """Check that the backend can run a model as `engine` and `training.steps_per_execution` say.

    settings: a configuration or a plan.
    Raises ConfigError: it cannot.
    """
    for key, names in runtime.cannot.get(backend, {}).items():
        part, name = key.split(".")
        value = getattr(getattr(settings, part), name)
        if value in names:
            raise ConfigError(
                f"{key} is {str(value).lower()}, but {names[value]} (backend {backend!r} on runtime "
                f"{runtime.name!r}). Leave it out"
            )
    steps = settings.training.steps_per_execution
    if steps > 1 and (why := runtime.one_step.get(backend)):
        raise ConfigError(
            f"training.steps_per_execution is {steps}, but {why} (backend {backend!r} on runtime "
            f"{runtime.name!r}). Leave it out"
        )


def is_settable(field: "Field[Any]") -> bool:
    """Return whether the user may set a field."""
    return "planned" not in field.metadata


def one_of(key: str, value: str, choices: Iterable[str], example: str) -> None:
    """Check that a word is one of those that are accepted.

    Raises ConfigError: it is not; the message suggests the nearest one.
    """
    if value not in choices:
        raise ConfigError(
            f"{key} is {value!r}, which is not known. {spelling.nearest(value, choices)}"
            f"Expected one of: {', '.join(sorted(choices))}, e.g. {example}"
        )


def number(
    key: str,
    value: float | None,
    low: float,
    high: float,
    example: str,
    above: bool = False,
    below: bool = False,
) -> None:
    """Check that a number is in the range from `low` to `high`.

    above: whether `low` itself is excluded. below: whether `high` itself is excluded.
    Raises ConfigError: it is not, or it is not finite.
    """
    too_low: Callable[[float], bool] = (lambda v: v <= low) if above else (lambda v: v < low)
    too_high: Callable[[float], bool] = (lambda v: v >= high) if below else (lambda v: v > high)
    if value is None or not math.isfinite(value) or too_low(value) or too_high(value):
        raise ConfigError(
            f"{key} is {'not set' if value is None else value}: expected a number "
            f"{'above' if above else 'from'} {low:,} {'to below' if below else 'to'} {high:,}, "
            f"e.g. {example}"
        )
