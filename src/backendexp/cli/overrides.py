"""The words KEY=VALUE of a command line, read by Hydra's parser, and told how to be written where it cannot.

Hydra's grammar gives a meaning to most characters that are not letters: a path with spaces, brackets, an
umlaut or a second `=` has to stand in quotes of Hydra's own, and those in the shell's.
"""

import os
import shlex
import subprocess
from collections.abc import Callable
from typing import Any, get_args

from backendexp import spelling
from backendexp.cli import commands
from backendexp.config import schema
from backendexp.config.composition import Composition, sentence
from backendexp.errors import ConfigError


def read(words: list[str], composition: Composition, sweep: bool) -> list[Any]:
    """Hydra's Override of each word.

    sweep: commas may separate the values of a sweep.
    Raises ConfigError: a word is none, or is to be written otherwise; with the line to type.
    """
    from hydra.errors import HydraException

    read: list[Any] = []
    for at, word in enumerate(words):
        if "=" not in word and not word.startswith("~"):
            raise ConfigError(_neither(word, words[at - 1] if at else "", composition))
        try:
            read += composition.parse([word])
        except HydraException as error:
            raise ConfigError(_unreadable(word, error, composition, sweep)) from error
    return read


def _neither(word: str, before: str, composition: Composition) -> str:
    # A space that the shell took for the end of the value.
    whole = quoted(f"{before} {word}", composition.parse) if "=" in before else None
    nearest = spelling.nearest(word, commands.names())
    return (
        f"{word!r} is neither a setting nor a command. {nearest}"
        + (f"If it belongs to the value before it, write {whole}. " if whole and not nearest else "")
        + f"Settings are written KEY=VALUE, e.g. backend=theano; commands are {', '.join(commands.names())}"
    )


def _unreadable(word: str, error: Exception, composition: Composition, sweep: bool) -> str:
    key, _, value = word.partition("=")
    key = key.lstrip("+~")
    options = composition.options(key)
    if unknown := unknown_key(key, composition):
        return unknown
    if options and not composition.has(key, value):
        return unknown_choice(key, value, options)
    if takes_text(key) or options:
        line = quoted(word, composition.parse, sweep)
        if line:
            return (
                f"{word!r} cannot be read as KEY=VALUE: some of its characters have a meaning for Hydra. "
                f"Quote the value: {line}"
            )
    return f"{word!r} cannot be read as KEY=VALUE: {sentence(error)}"


def quoted(word: str, parse: Callable[[list[str]], list[Any]], sweep: bool = False) -> str | None:
    """The word as it must be typed in this system's shell so that its value is the text that stands there.
    None: no quotes help.

    sweep: commas separate several values.
    """
    from hydra.errors import HydraException

    key, _, value = word.partition("=")
    texts = value.split(",") if sweep else [value]
    line = f"{key}={','.join(_in_quotes(text) for text in texts)}"
    try:
        (override,) = parse([line])
    except HydraException:
        return None
    got = list(override.sweep_iterator()) if override.is_sweep_override() else [override._value]
    if [getattr(part, "text", part) for part in got] != [_without_interpolation(text) for text in texts]:
        return None
    return for_shell(line)


def _in_quotes(text: str) -> str:
    from hydra.core.override_parser.types import Quote, QuotedString

    quote = Quote.single if '"' in text and "'" not in text else Quote.double
    return str(QuotedString(_without_interpolation(text), quote).with_quotes())


def _without_interpolation(text: str) -> str:
    """The text, with each `${` escaped where OmegaConf could not read it as an interpolation."""
    from omegaconf import OmegaConf
    from omegaconf.errors import GrammarParseError

    try:
        OmegaConf.create({"text": text})
    except GrammarParseError:
        return text.replace("${", r"\${")
    return text


def for_shell(word: str) -> str:
    return subprocess.list2cmdline([word]) if os.name == "nt" else shlex.quote(word)


def takes_text(key: str) -> bool:
    """Whether it is a setting whose value is text. Hydra's own settings may be."""
    if key.split(".")[0].split("/")[0] == "hydra":
        return True
    kind = schema.kind(key)
    return kind is str or str in get_args(kind)


def takes_list(key: str) -> bool:
    return "list" in str(schema.kind(key))


def unknown_key(key: str, composition: Composition) -> str | None:
    """What to say of a key that is not in the configuration. None: it is there."""
    is_hydras = key.split(".")[0].split("/")[0] == "hydra"
    if is_hydras or composition.options(key) or schema.has_key(key):
        return None
    return schema.unknown_key(key, composition.groups())


def unknown_choice(key: str, choice: str, options: list[str]) -> str:
    nearest = spelling.nearest(choice, options)
    return f"{key}={choice} is not known. {nearest}Expected one of: {', '.join(options)}"
