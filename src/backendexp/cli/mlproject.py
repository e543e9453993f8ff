"""Turns the parameters of an MLproject entry point into a command line of `backendexp`.

MLflow calls `python -m backendexp.cli.mlproject ENTRY --name value ...`, with the declared parameters first.
Parameters that MLproject does not declare also arrive as `--key value`, and are treated as overrides.
"""

import shlex
import sys

from backendexp.cli import main as cli
from backendexp.cli.exit_codes import BAD_INPUT
from backendexp.errors import ConfigError
from backendexp.tracking import addresses

# The parameters whose names in MLproject differ from the keys of the configuration.
_KEYS = {
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "hidden_units": "model.hidden_units",
    "dropout": "model.dropout",
    "optimizer": "training.optimizer",
    "learning_rate": "training.learning_rate",
}
# The parameters that have another meaning in one entry point.
_KEYS_OF = {
    "compare": {
        "backends": "compare.backends",
        "baseline": "compare.baseline",
        "blocks": "compare.blocks",
    },
    "scale": {
        "backends": "scale.backends",
        "baseline": "scale.baseline",
        "samples": "scale.samples",
        "hidden_units": "scale.hidden_units",
        "repeats": "scale.repeats",
    },
}
# The keys whose values are lists. Users may leave out the brackets.
_LISTS = ("model.hidden_units", "scale.hidden_units", "scale.samples", "compare.backends", "scale.backends")
_UNSET = "none"
# The parameters whose default in MLproject leaves the choice to the configuration.
_OPTIONAL = ("experiment", "backends", "baseline", "hidden_units", "dropout")
_PREFIXES = {
    "main": [],
    "sweep": ["--multirun"],
    "parity": ["experiment=parity"],
    "compare": ["experiment=compare"],
    "scale": ["experiment=scale"],
}


def command_line(entry: str, arguments: list[str]) -> list[str]:
    """Return the arguments of `backendexp` that correspond to those of MLflow.

    Raises ConfigError: an option has no value, a key is given twice, or the experiment has its own entry
    point.
    """
    keys = {**_KEYS, **_KEYS_OF.get(entry, {})}
    given: dict[str, str] = {}
    more: list[str] = []
    names, values = arguments[0::2], arguments[1::2]
    if len(names) != len(values) or not all(name.startswith("--") for name in names):
        raise ConfigError(f"expected pairs of --name value, got: {shlex.join(arguments)}")
    for name, value in zip(names, values, strict=True):
        key = name.removeprefix("--")
        if key == "overrides":
            more += _split(value)
        elif value != _UNSET or key not in _OPTIONAL:
            given[keys.get(key, key)] = value
    for key in given.keys() & _LISTS:
        given[key] = f"[{given[key].strip('[]')}]"
    if entry == "main" and given.get("experiment") in _KEYS_OF:
        raise ConfigError(
            f"experiment={given['experiment']} runs several backends, but the entry point main runs one. "
            f"Use the experiment's own entry point: mlflow run . -e {given['experiment']}"
        )
    for word in more:
        key = word.split("=")[0].lstrip("+~")
        if key in given:
            name = next((short for short, long in keys.items() if long == key), key)
            raise ConfigError(f"{key} is given twice: use -P {name}=..., remove it from overrides")
    return [*_PREFIXES[entry], *(f"{key}={value}" for key, value in given.items()), *more]


def _split(text: str) -> list[str]:
    if text == _UNSET:
        return []
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ConfigError(
            f"overrides is {text!r}, which cannot be read as a command line: {error}"
        ) from error


def main() -> int:
    try:
        arguments = command_line(sys.argv[1], sys.argv[2:])
    except ConfigError as error:
        print(f"backendexp: {addresses.hidden(str(error))}", file=sys.stderr)
        return BAD_INPUT
    sys.argv = ["backendexp", *arguments]
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
