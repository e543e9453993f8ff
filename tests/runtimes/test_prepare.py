import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backendexp.errors import BackendUnavailable, RuntimeUnavailable
from backendexp.runs.plan import RunSpec
from backendexp.runtimes import build, prepare
from backendexp.runtimes.prepare import Interpreter

MakeSpec = Callable[..., RunSpec]


def test_keras_3_runs_in_our_own_interpreter(make_spec: MakeSpec) -> None:
    prepare.check_available(make_spec("jax"))
    assert prepare.prepare(make_spec("jax"), print) == Interpreter(sys.executable, own=True)


def test_keras_2_runs_in_the_interpreter_that_was_built(make_spec: MakeSpec, keras2_python: str) -> None:
    prepare.check_available(make_spec("theano", "keras2"))
    assert prepare.prepare(make_spec("theano", "keras2"), print) == Interpreter(keras2_python, own=False)


def test_named_interpreter_is_used_and_decides_the_runtime(make_spec: MakeSpec, keras2_python: str) -> None:
    spec = make_spec("tensorflow", runtime__python=keras2_python)
    assert spec.runtime == "keras2"
    prepare.check_available(spec)
    assert prepare.prepare(spec, print) == Interpreter(keras2_python, own=False)


def test_named_interpreter_of_the_other_generation_is_refused(
    make_spec: MakeSpec, keras2_python: str
) -> None:
    spec = make_spec("tensorflow", "keras3", runtime__python=keras2_python)
    with pytest.raises(
        RuntimeUnavailable,
        match=r"which has Keras 2\.3\.1, but runtime 'keras3' expects Keras 3\. Use runtime=auto",
    ):
        prepare.check_available(spec)


def python_with(packages: str, folder: Path) -> str:
    """Write an interpreter that claims to have these packages, each with a module of the same name."""
    path = folder / "python"
    modules = list(json.loads(f"{{{packages}}}"))
    answer = f'{{"python": "3.11.7", "packages": {{{packages}}}, "modules": {json.dumps(modules)}}}'
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("backend", "packages", "missing"),
    [
        ("jax", '"keras": "3.15.1"', "jax"),
        ("jax", '"keras": "3.15.1", "torch": "2"', "jax"),
        ("theano", '"keras": "3.15.1", "pytensor": "3.0.7"', "keras_theano"),
    ],
)
def test_engine_that_the_named_interpreter_lacks_is_reported_with_its_pip_line(
    backend: str, packages: str, missing: str, make_spec: MakeSpec, tmp_path: Path
) -> None:
    python = python_with(packages, tmp_path)
    with pytest.raises(BackendUnavailable) as refusal:
        prepare.check_available(make_spec(backend, runtime__python=python))
    assert str(refusal.value) == (
        f"backend {backend!r} is not available in runtime 'keras3': no module named {missing!r}.\n"
        f"Expected it in {python}. Install it with: {python} -m pip install {missing.replace('_', '-')}"
    )


def test_engine_that_our_interpreter_lacks_is_reported_with_its_extra(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # the import system marks a missing module in this way
    with pytest.raises(
        BackendUnavailable,
        match=r"no module named 'torch'\.\nExpected it in .* Install it with: pip install 'back.*\[torch\]'",
    ):
        prepare.check_available(make_spec("torch"))


def test_runtime_that_is_not_built_needs_something_to_build_it_with(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKENDEXP_CACHE", str(tmp_path / "cache"))
    assert not build.is_built("keras2")
    prepare.check_available(make_spec("theano", "keras2"))
    for name in ("PATH", "PYENV_ROOT", "HOME", "UV_PYTHON_INSTALL_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    with pytest.raises(RuntimeUnavailable, match=r"runtime 'keras2' needs Python 3\.7, but it was not found"):
        prepare.check_available(make_spec("theano", "keras2"))
    assert not (tmp_path / "cache").exists()
