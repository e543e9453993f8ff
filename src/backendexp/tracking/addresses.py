"""Keeps the passwords in store addresses out of everything that is shown or stored.

A whole address enters in two places only: the environment (MLFLOW_TRACKING_URI) and the command line, from
which `taken_from` removes it before Hydra or any other code reads it. Everywhere inside the program, in files
and in messages, an address has the form that `shown` returns, with *** in place of the password. Only the
code that opens the store asks for the `whole` address.
"""

import json
import os
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from backendexp.errors import ConfigError, TrackingError

MASK = "***"
# This variable holds the whole addresses from the command line, as JSON. The processes that a launcher starts
# inherit it.
KEPT = "BACKENDEXP_TRACKING_ADDRESSES"
# How the names of MLflow's variables begin. The second belongs to its telemetry.
MLFLOW_VARIABLES = ("MLFLOW_", "_MLFLOW_")
# Matches the password in `scheme://user:password@host`. It extends to the last @, because users do not always
# escape an @, / or ? in a password, and databases do not require it.
_OF_USER = re.compile(r"(?:https?:/+|[\w+.-]+:/{1,2})?[^:/?#]*:(?![/\\])(.+)@", re.DOTALL)
_AFTER_SCHEME = re.compile(r"(?:https?:/+|[\w+.-]+://)[^:/?#]*:(.+)@", re.DOTALL)
# Matches the settings after the ? from which some drivers read the password: those of postgresql, mysql, SAS
# tokens and pyodbc.
_OF_QUERY = re.compile(
    r"[?&;][^=&;]*(?:pass|pwd|secret|token|key|cred|auth|sig|odbc_connect)[^=&;]*=([^&;]+)", re.IGNORECASE
)
_IN_TEXT = re.compile(r"[\w+.-]+:/{1,3}[^\s'\"<>]+")
_INTERPOLATION = re.compile(r"\$\{[^{}]*\}")
_SETTING = "tracking.uri"


def shown(uri: str) -> str:
    """Return the address in the form that may be printed and stored.

    An address that already has this form is returned unchanged.
    """
    for start, end in reversed(_secrets(uri)):
        uri = uri[:start] + MASK + uri[end:]
    return uri


def _secrets(uri: str) -> list[tuple[int, int]]:
    """Return where the passwords of an address are, as pairs (start, end) in order, without overlaps.

    If an address can be read in two ways, everything that could be a password is included.
    """
    of_user = _AFTER_SCHEME.match(uri) or _OF_USER.match(uri)
    found = [of_user.span(1)] if of_user else []
    found += [match.span(1) for match in _OF_QUERY.finditer(uri)]
    apart: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if apart and start <= apart[-1][1]:
            start, end = apart[-1][0], max(end, apart.pop()[1])
        apart.append((start, end))
    return apart


def page(uri: str) -> str:
    """Return the address that a browser opens for a store that is a server.

    It has no user and no password, because the browser asks for them.
    """
    return re.sub(r"^(https?:/+)[^/?#]*@", r"\1", shown(uri).split("?")[0]).rstrip("/")


def keep(uri: str) -> str:
    """Return the address as it is shown, and remember the whole address.

    From then on this process, and the processes that it starts, know the whole address.
    """
    short = shown(uri)
    if short != uri:
        others = [known for known in _kept() if shown(known) != short]
        os.environ[KEPT] = json.dumps([uri, *others])
    return short


def whole(uri: str) -> str:
    """Return the address with its password, from the command line or from MLFLOW_TRACKING_URI.

    Raises TrackingError: the address has a password, but it was given in neither place.
    """
    short = shown(uri)
    if MASK not in short or short != uri:
        return uri
    for known in _known():
        if shown(known).rstrip("/") == short.rstrip("/"):
            return known
    raise TrackingError(
        f"the tracking store {short} needs its password, which is not saved on disk. Give the whole address, "
        f"with the password in place of {MASK}, in MLFLOW_TRACKING_URI, or as {_SETTING}=ADDRESS"
    )


def _kept() -> list[str]:
    return list(json.loads(os.environ.get(KEPT, "[]")))


def _known() -> list[str]:
    return [*_kept(), *filter(None, [os.environ.get("MLFLOW_TRACKING_URI")])]


def hidden(text: str) -> str:
    """Return the text with the password of every address in it hidden."""
    for known in _known():
        text = text.replace(known, shown(known))
    return _IN_TEXT.sub(lambda match: shown(match[0]), text)


def hidden_of(uri: str, text: str) -> str:
    """Return what other software says about a store, with its password hidden.

    The password is hidden not only in addresses, but also where it appears alone, however it is escaped.
    """
    known = [uri, *(k for k in _known() if shown(k) == shown(uri))]
    text = hidden(text)
    secrets = {address[start:end] for address in known for start, end in _secrets(address)} - {MASK}
    for secret in secrets:
        for form in {write(read(secret)) for read in _READ for write in _WRITTEN}:
            # A short password may also be a part of any word, so only whole words are replaced.
            edge = r"\b" if len(form) < 6 and form.isalnum() else ""
            text = re.sub(f"{edge}{re.escape(form)}{edge}", MASK, text, flags=re.IGNORECASE)
    return text


_READ: tuple[Callable[[str], str], ...] = (str, unquote, unquote_plus)
_WRITTEN: tuple[Callable[[str], str], ...] = (str, quote, quote_plus, lambda text: quote(text, safe=""))


# -- the command line and the configuration ----------------------------------------------------------------


def taken_from(arguments: list[str], of_hydra: bool) -> list[str]:
    """Return the words of a command line without the passwords, which are remembered.

    Hydra would write them into the folder of every run, and into the names of folders.
    of_hydra: whether the words are for Hydra, not for a command such as `backendexp sync`.
    Raises ConfigError: a password is in a place from which it cannot be removed.
    """
    taken = []
    for word in arguments:
        key, equals, value = word.partition("=")
        if not of_hydra and not (equals and re.fullmatch(r"[\w.-]+", key)):
            key, equals, value = "", "", word
        if not of_hydra:
            taken.append(f"{key}{equals}{keep(value) if _is_literal(value) else value}")
        elif key.lstrip("+") == _SETTING:
            taken.append(f"{key}={_taken_from_setting(value)}" if _holds_password(value) else word)
        elif any(_is_literal(address) for address in _IN_TEXT.findall(word)):
            raise ConfigError(
                f"{hidden(key)} holds a password, which Hydra would write into the folder of every run. Give "
                f"the address in MLFLOW_TRACKING_URI, or as {_SETTING}=ADDRESS"
            )
        else:
            taken.append(word)
    return taken


def _holds_password(value: str) -> bool:
    return any(map(_has_literal_secret, [value, value.strip("'\""), *_IN_TEXT.findall(value)]))


def _is_literal(value: str) -> bool:
    """Return whether the value is an address that contains its password itself, not an interpolation."""
    return "://" in value and _has_literal_secret(value)


def _has_literal_secret(address: str) -> bool:
    """Return whether the address contains a password itself. One such as ${oc.env:NAME} does not count."""
    plain = _INTERPOLATION.sub("\0", address)
    secrets = (plain[start:end] for start, end in _secrets(plain))
    return any(secret not in ("\0", MASK) for secret in secrets)


def _taken_from_setting(value: str) -> str:
    """Return the value of tracking.uri in Hydra's grammar, without passwords.

    value: one address, or several addresses of a sweep.
    Raises ConfigError: a part of an address is interpolated, and the password is not.
    """
    from hydra.core.override_parser.types import Quote, QuotedString

    addresses = _addresses(value)
    for address in addresses:
        if _INTERPOLATION.search(address) and _has_literal_secret(address):
            raise ConfigError(
                f"{_SETTING} is {shown(address)!r}: expected an interpolated password, such as "
                "${oc.env:PASSWORD}, or an address without interpolations"
            )
    return ",".join(QuotedString(keep(address), Quote.single).with_quotes() for address in addresses)


def _addresses(value: str) -> list[str]:
    """Split the value of tracking.uri into addresses as Hydra does.

    A value that Hydra cannot read, or would cut at a comma inside an address, is returned as one address.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import ChoiceSweep, QuotedString
    from hydra.errors import HydraException

    try:
        (override,) = OverridesParser.create().parse_overrides([f"{_SETTING}={value}"])
    except HydraException:
        return [value]
    read: Any = override.value()
    if isinstance(read, ChoiceSweep):
        words = [item.text if isinstance(item, QuotedString) else str(item) for item in read.list]
        return words if all("://" in word for word in words) else [value]
    return [read] if isinstance(read, str) else [value]


def check_configured(tracking: Any) -> None:
    """Check that no file of the configuration contains a password.

    tracking: that part of the configuration, with its interpolations.
    Raises ConfigError: it contains a password, which must have come from a file.
    """
    uri = tracking["uri"]
    if isinstance(uri, str) and _has_literal_secret(uri):
        raise ConfigError(
            f"{_SETTING} has a password in a configuration file, {shown(uri)!r}, and Hydra copies the "
            "configuration into the folder of every run. Write uri: null there and give the address in "
            "MLFLOW_TRACKING_URI, or name another variable: uri: ${oc.env:MY_STORE}"
        )
