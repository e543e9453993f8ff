"""If Hydra cannot read a word, the message shows how to type it, and typing it so gives the intended
value.
"""

import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from backendexp.cli import overrides
from support.arrays import good_arrays
from support.checking import check, check_all, refusal


def typed(line: str) -> list[str]:
    """Return the arguments into which bash splits a line."""
    said = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True, text=True, timeout=60
    )
    return said.stdout.split("\0")[:-1]


def advised(message: str) -> str:
    line = message.partition("Quote the value: ")[2]
    assert line, message
    return line


@pytest.mark.parametrize(
    "name",
    [
        "dätä/数据.npz",
        "my data (1).npz",
        "epoch=3.npz",
        "it's mine (2).npz",
        'the "best" one;.npz',
        "a&b#c.npz",
        "{x}.npz",
        "$(touch nowhere) `x`.npz",
        "!history.npz",
        "a\\b'c\".npz",
        "${half.npz",
        "[1](2).npz",
        "range(3).npz",
        "a, b (3).npz",
    ],
)
def test_path_is_shown_as_it_must_be_typed_and_is_read_when_it_is_typed_so(name: str, project: Path) -> None:
    (project / name).parent.mkdir(exist_ok=True)
    np.savez(project / name, **good_arrays())  # type: ignore[arg-type]
    line = advised(refusal("backend=jax", "data=npz", f"data.path={name}"))
    (word,) = typed(line)
    (spec,) = check("backend=jax", "data=npz", word)
    assert spec.data.path == str(project / name)


@pytest.mark.parametrize("key", ["tracking.run_name", "tracking.experiment", "+tracking.run_name"])
@pytest.mark.parametrize("name", ["R&D", "run #3", "100 % (a=b)", "naïve", "f(x)", "a\nb (c)"])
def test_name_is_shown_as_it_must_be_typed(key: str, name: str) -> None:
    (word,) = typed(advised(refusal(f"{key}={name}")))
    tracking = check_all("backend=jax", word).tracking
    assert getattr(tracking, key.split(".")[1]) == name


def test_each_value_of_a_sweep_is_quoted() -> None:
    line = advised(refusal("-m", "backend=jax", "tracking.run_name=R&D,S&T"))
    assert typed(line) == ['tracking.run_name="R&D","S&T"']
    assert len(check("-m", "backend=jax", *typed(line))) == 2


def test_rest_of_a_value_after_a_space_is_shown_with_the_value_that_it_may_belong_to(project: Path) -> None:
    np.savez(project / "my data.npz", **good_arrays())  # type: ignore[arg-type]
    message = refusal("data=npz", "data.path=my", "data.npz")
    line = message.partition("write ")[2].partition(". Settings")[0]
    (word,) = typed(line)
    assert check("backend=jax", "data=npz", word)[0].data.path == str(project / "my data.npz")


@pytest.mark.parametrize("name", ["a,b", "range(3)", "choice(a,b)", "[a,b]", "{a:b}"])
def test_text_that_hydra_takes_for_something_else_is_shown_quoted(name: str) -> None:
    message = refusal(f"tracking.run_name={name}")
    (word,) = typed(message.rpartition("text, write ")[2])
    tracking = check_all("backend=jax", word).tracking
    assert tracking is not None
    assert tracking.run_name == name


def test_sweep_without_its_option_is_shown_with_it_and_as_the_list_that_it_may_be() -> None:
    message = refusal("seed=1,2")
    assert message.startswith(
        "Ambiguous value for argument 'seed=1,2': to sweep over it, add -m: -m seed=1,2"
    )
    assert "as text" not in message
    assert "as a list, write 'model.hidden_units=[8,4]'" in refusal("model.hidden_units=8,4")
    assert "add -m: -m 'seed=range(3)'" in refusal("seed=range(3)")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("backend=théano", "backend=théano is not known. Did you mean 'theano'?"),
        ("data.pfad=a (1).npz", "data.pfad is not a key of the configuration. Did you mean 'data.path'?"),
        ("däta.path=x", "däta.path is not a key of the configuration. Did you mean 'data.path'?"),
        ("seed=(3)", "'seed=(3)' cannot be read as KEY=VALUE"),
        ("model.hidden_units=[64", "cannot be read as KEY=VALUE"),
    ],
)
def test_quotes_are_not_advised_where_they_would_not_help(word: str, said: str) -> None:
    message = refusal(word)
    assert said in message
    assert "Quote" not in message


def _is_read_as(text: str, word: str) -> bool:
    (override,) = OverridesParser.create().parse_overrides([word])
    try:
        return bool(OmegaConf.create({"value": override.value()})["value"] == text)
    except OmegaConfBaseException:
        return "${" in text  # this interpolates a key that does not exist


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12))
@example("\\")
@example("\\\\'")
@example("\"\\'")
@example("a${b}\\")
@example("'\"")
@example("~")
def test_any_text_can_be_quoted(text: str) -> None:
    line = overrides.quoted(f"tracking.run_name={text}", OverridesParser.create().parse_overrides)
    assert line is not None
    (word,) = shlex.split(line)
    # A user who writes \\${ knows how to escape it for OmegaConf.
    assert _is_read_as(text.replace(r"\${", "${"), word)
