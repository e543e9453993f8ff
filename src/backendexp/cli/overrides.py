"""Reads the KEY=VALUE words of a command line with Hydra's parser, and shows how to write those that it
cannot read.

Hydra's grammar gives a meaning to most characters that are not letters. A path with spaces, brackets, an
umlaut or a second `=` must therefore be put in Hydra's own quotes, and these in the shell's quotes.
"""

import os
import shlex
import subprocess
from collections.abc import Callable
from typing import Any, get_args

from backendexp import spelling
from backendexp.cli import command_names
from backendexp.config import schema
from backendexp.config.composition import Composition, sentence
from backendexp.errors import ConfigError


def read(words: list[str], composition: Composition, sweep: bool) -> list[Any]:
    """Return Hydra's Override for each word.

    sweep: whether commas may separate the values of a sweep.
    Raises ConfigError: a word is not an override, or must be written differently; the message shows how.
    """
    from hydra.errors import HydraException

    read: list[Any] = []
    for at, word in enumerate(words):
        if "=" not in word and not word.startswith("~"):
            raise ConfigError(_neither(word, words[at - 1] if at else "", composition))
        try:
            read += composition.parse([word])
        except HydraException as error:
            raise ConfigError(_unreadable(word, words, error, composition, sweep)) from error
    return read


def _neither(word: str, before: str, composition: Composition) -> str:
    # The value may contain a space, which the shell took as the end of the value.
    whole = quoted(f"{before} {word}", composition.parse) if "=" in before else None
    nearest = spelling.nearest(word, command_names.names())
    return (
        f"{word!r} is neither a setting nor a command. {nearest}"
        + (f"If it is part of the value before it, write {whole}. " if whole and not nearest else "")
        + "Settings are written KEY=VALUE, e.g. backend=theano; commands are "
        + ", ".join(command_names.names())
    )


def _unreadable(word: str, words: list[str], error: Exception, composition: Composition, sweep: bool) -> str:
    key, _, value = word.partition("=")
    key = key.lstrip("+~")
    options = composition.options(key)
    if unknown := unknown_key(key, words, composition):
        return unknown
    if options and not composition.has(key, value):
        return unknown_choice(key, value, options)
    if takes_text(key) or options:
        line = quoted(word, composition.parse, sweep)
        if line:
            return (
                f"{word!r} cannot be read as KEY=VALUE: some of its characters have a special meaning in "
                f"Hydra. Quote the value: {line}"
            )
    return f"{word!r} cannot be read as KEY=VALUE: {sentence(error)}"


def quoted(word: str, parse: Callable[[list[str]], list[Any]], sweep: bool = False) -> str | None:
    """Return how to type the word in this system's shell so that its value is read as plain text.

    Returns None if quotes do not help.
    sweep: whether commas separate several values.
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
    """Return the text, with each `${` escaped if OmegaConf cannot read the text as an interpolation."""
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
    """Return whether the value of this setting may be text. Hydra's own settings may always be text."""
    if key.split(".")[0].split("/")[0] == "hydra":
        return True
    kind = schema.kind(key)
    # A setting that no kind of data or of model lists is an argument of the user's own function.
    return kind is str or str in get_args(kind) or kind is None


def takes_list(key: str) -> bool:
    return "list" in str(schema.kind(key)).lower()


def unknown_key(key: str, words: list[str], composition: Composition) -> str | None:
    """Return the message about a key that is not in the configuration, or None if the key exists.

    words: all overrides of the command line.
    """
    is_hydras = key.split(".")[0].split("/")[0] == "hydra"
    if is_hydras or composition.options(key) or schema.has_key(key, words):
        return None
    return schema.unknown_key(key, composition.groups())


def unknown_choice(key: str, choice: str, options: list[str]) -> str:
    nearest = spelling.nearest(choice, options)
    return f"{key}={choice} is not known. {nearest}Expected one of: {', '.join(options)}"
