"""How the address of a store is shown and stored: never with a password in it.

A whole address enters in two places only: the environment (MLFLOW_TRACKING_URI) and the command line, from
which `taken_from` removes it before Hydra or anybody else reads it. Everywhere inside, in files and in
messages, an address is as `shown` gives it, with *** for the password. Only whoever opens the store asks for
the `whole` one.
"""

import json
import os
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from backendexp.errors import ConfigError, TrackingError

MASK = "***"
# Whole addresses that the command line gave, as JSON: the processes that a launcher starts inherit them.
KEPT = "BACKENDEXP_TRACKING_ADDRESSES"
# The password of `scheme://user:password@host`. It reaches to the last @, because people do not always
# escape an @, / or ? in it, and databases do not ask them to.
_OF_USER = re.compile(r"(?:https?:/+|[\w+.-]+:/{1,2})?[^:/?#]*:(?![/\\])(.+)@", re.DOTALL)
_AFTER_SCHEME = re.compile(r"(?:https?:/+|[\w+.-]+://)[^:/?#]*:(.+)@", re.DOTALL)
# Settings after the ?, of which some drivers take the password: postgresql, mysql and SAS tokens, pyodbc.
_OF_QUERY = re.compile(
    r"[?&;][^=&;]*(?:pass|pwd|secret|token|key|cred|auth|sig|odbc_connect)[^=&;]*=([^&;]+)", re.IGNORECASE
)
_IN_TEXT = re.compile(r"[\w+.-]+:/{1,3}[^\s'\"<>]+")
_INTERPOLATION = re.compile(r"\$\{[^{}]*\}")
_SETTING = "tracking.uri"


def shown(uri: str) -> str:
    """The address as it may be printed and stored; one that is shown already stays as it is."""
    for start, end in reversed(_secrets(uri)):
        uri = uri[:start] + MASK + uri[end:]
    return uri


def _secrets(uri: str) -> list[tuple[int, int]]:
    """Where in the address its passwords stand: (start, end), in order, apart from each other.

    Where an address can be read in two ways, both of what could be its password are.
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
    """What a browser is sent to, for the store that is a server: it asks for user and password itself."""
    return re.sub(r"^(https?:/+)[^/?#]*@", r"\1", shown(uri).split("?")[0]).rstrip("/")


def keep(uri: str) -> str:
    """The address as it is shown. From now on this process, and those that it starts, know the whole one."""
    short = shown(uri)
    if short != uri:
        others = [known for known in _kept() if shown(known) != short]
        os.environ[KEPT] = json.dumps([uri, *others])
    return short


def whole(uri: str) -> str:
    """The address with its password, which was given on the command line or stands in MLFLOW_TRACKING_URI.

    Raises TrackingError: it has a password that nobody gave.
    """
    short = shown(uri)
    if MASK not in short or short != uri:
        return uri
    for known in _known():
        if shown(known).rstrip("/") == short.rstrip("/"):
            return known
    raise TrackingError(
        f"the tracking store {short} needs its password, which is not kept on disk. Give the whole address, "
        f"with the password in place of {MASK}, in MLFLOW_TRACKING_URI, or as {_SETTING}=ADDRESS"
    )


def _kept() -> list[str]:
    return list(json.loads(os.environ.get(KEPT, "[]")))


def _known() -> list[str]:
    return [*_kept(), *filter(None, [os.environ.get("MLFLOW_TRACKING_URI")])]


def hidden(text: str) -> str:
    """A text with every address in it as it is shown."""
    for known in _known():
        text = text.replace(known, shown(known))
    return _IN_TEXT.sub(lambda match: shown(match[0]), text)


def hidden_of(uri: str, text: str) -> str:
    """What somebody else says about a store: besides the addresses, its password alone is left out, too, in
    whatever way it may be escaped.
    """
    known = [uri, *(k for k in _known() if shown(k) == shown(uri))]
    text = hidden(text)
    secrets = {address[start:end] for address in known for start, end in _secrets(address)} - {MASK}
    for secret in secrets:
        for form in {write(read(secret)) for read in _READ for write in _WRITTEN}:
            # A short one may be a part of any word.
            edge = r"\b" if len(form) < 6 and form.isalnum() else ""
            text = re.sub(f"{edge}{re.escape(form)}{edge}", MASK, text, flags=re.IGNORECASE)
    return text


_READ: tuple[Callable[[str], str], ...] = (str, unquote, unquote_plus)
_WRITTEN: tuple[Callable[[str], str], ...] = (str, quote, quote_plus, lambda text: quote(text, safe=""))


# -- the command line and the configuration ----------------------------------------------------------------


def taken_from(arguments: list[str], of_hydra: bool) -> list[str]:
    """The words of a command line without passwords, which are kept. Hydra would write what it is given into
    the folder of every run, and into the names of folders.

    of_hydra: they are Hydra's; else those of a command such as `backendexp sync`.
    Raises ConfigError: a password stands where it cannot be taken out.
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
    """It is an address, with a password that stands there itself."""
    return "://" in value and _has_literal_secret(value)


def _has_literal_secret(address: str) -> bool:
    """A password that is ${oc.env:NAME} stands nowhere."""
    plain = _INTERPOLATION.sub("\0", address)
    secrets = (plain[start:end] for start, end in _secrets(plain))
    return any(secret not in ("\0", MASK) for secret in secrets)


def _taken_from_setting(value: str) -> str:
    """A value of tracking.uri in Hydra's grammar: one address, or several of a sweep."""
    from hydra.core.override_parser.types import Quote, QuotedString

    addresses = _addresses(value)
    for address in addresses:
        if _INTERPOLATION.search(address) and _has_literal_secret(address):
            raise ConfigError(
                f"{_SETTING} is {shown(address)!r}: expected the password to be interpolated, such as "
                "${oc.env:PASSWORD}, or no part of the address"
            )
    return ",".join(QuotedString(keep(address), Quote.single).with_quotes() for address in addresses)


def _addresses(value: str) -> list[str]:
    """As Hydra reads them. What it cannot read, or would cut at a comma, is one address as it stands."""
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
    """tracking: that part of the configuration, with its interpolations.

    Raises ConfigError: it holds a password, which must have come from a file.
    """
    uri = tracking["uri"]
    if isinstance(uri, str) and _has_literal_secret(uri):
        raise ConfigError(
            f"{_SETTING} is {shown(uri)!r} with a password, in a configuration file, and Hydra copies the "
            "configuration into the folder of every run. Write uri: null there and give the address in "
            "MLFLOW_TRACKING_URI, or name another variable: uri: ${oc.env:MY_STORE}"
        )
