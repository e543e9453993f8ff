"""`import keras` with KERAS_BACKEND=theano works in processes that import nothing else first."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from keras_theano.hook.branches import with_branches_for_theano
from keras_theano.hook.finder import release_of, require_known
from oracles.processes import lean

SHOW = "import keras; print(keras.config.backend(), hasattr(keras.Variable, 'symbolic'))"
OURS = "theano True"


def python(
    code: str, home: Path, only_engine: str | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run code in another process, which can be made to find a single engine, because it then starts fast."""
    environment = {k: v for k, v in os.environ.items() if k not in ("KERAS_BACKEND", "PYTENSOR_FLAGS")}
    environment.update(variables, KERAS_HOME=str(home))
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment if only_engine is None else lean(environment, only_engine),
        capture_output=True,
        text=True,
    )


def test_environment_variable_chooses_the_backend(tmp_path: Path) -> None:
    assert python(SHOW, tmp_path, "theano", KERAS_BACKEND="theano").stdout.strip() == OURS


def test_a_script_may_set_the_variable_itself(tmp_path: Path) -> None:
    answer = python(f"import os; os.environ['KERAS_BACKEND'] = 'theano'; {SHOW}", tmp_path, "theano")
    assert answer.stdout.strip() == OURS


def test_keras_json_chooses_the_backend(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "theano"}))
    assert python(SHOW, tmp_path, "theano").stdout.strip() == OURS


def test_environment_variable_takes_precedence_over_keras_json(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "theano"}))
    assert python(SHOW, tmp_path, "jax", KERAS_BACKEND="jax").stdout.split()[0] == "jax"


def test_other_backends_load_keras_as_it_is(tmp_path: Path) -> None:
    code = (
        "import keras, keras.src.layers.layer as module; "
        "print(type(module.__loader__).__module__, 'keras_theano.hook.loader' in __import__('sys').modules)"
    )
    assert python(code, tmp_path, KERAS_BACKEND="numpy").stdout.strip() == (
        "_frozen_importlib_external False"
    )


def test_importing_keras_imports_no_engine(tmp_path: Path) -> None:
    engines = {
        "pytensor",
        "numba",
        "tensorflow",
        "torch",
    }  # Keras itself imports JAX if it is installed, to offer Orbax
    code = f"import sys, keras; print(sorted({engines} & set(sys.modules)))"
    answer = python(code, tmp_path, KERAS_BACKEND="theano")
    assert answer.stdout.strip() == "[]", answer.stderr


def test_start_of_python_loads_the_hook_and_nothing_else(tmp_path: Path) -> None:
    code = "import sys; print(*sorted(name for name in sys.modules if name.startswith('keras')))"
    assert python(code, tmp_path).stdout.split() == [
        "keras_theano",
        "keras_theano.hook",
        "keras_theano.hook.finder",
        "keras_theano.hook.known_keras",
    ]


def test_dynamic_backend_knows_the_name(tmp_path: Path) -> None:
    code = (
        "from keras.src.utils.backend_utils import DynamicBackend; "
        "dynamic = DynamicBackend('theano'); dynamic.set_backend('theano'); print(dynamic.cast.__module__)"
    )
    answer = python(code, tmp_path, "theano", KERAS_BACKEND="theano")
    assert answer.stdout.strip() == "keras_theano.src.ops.core", answer.stderr


def test_error_without_pytensor_names_the_line_that_installs_it(tmp_path: Path) -> None:
    code = f"import sys; sys.modules['pytensor'] = None; {SHOW}"
    answer = python(code, tmp_path, KERAS_BACKEND="theano")
    assert answer.stderr.strip().splitlines()[-1] == (
        "ImportError: KERAS_BACKEND=theano runs on PyTensor, which is not installed. "
        "Install it with: pip install 'pytensor>=3,<4'"
    )


def test_keras_that_chooses_in_another_way_is_refused() -> None:
    with pytest.raises(ImportError, match=r"does not know this version of Keras: keras\.src\.backend") as e:
        with_branches_for_theano(b"from importlib import import_module\n", "keras.src.backend")
    assert "pip install 'keras==3.15.*'" in str(e.value)


@pytest.mark.parametrize("version", ["3.14.1", "3.17.0", "3.17.0.dev2027010104", "3.1", "3.150.0", "4.0"])
def test_unknown_version_of_keras_is_refused(version: str) -> None:
    message = f"knows Keras 3.15 and 3.16, and this is Keras {version}. .*pip install 'keras==3.15"
    with pytest.raises(ImportError, match=message):
        require_known(version)


@pytest.mark.parametrize("version", ["3.15.0", "3.15.1", "3.16.0.dev2026102704", "3.16.0"])
def test_every_build_of_a_known_version_passes(version: str) -> None:
    require_known(version)


@pytest.mark.parametrize(
    ("pretended", "said"),
    [
        ("3.17.0", "KERAS_BACKEND=theano knows Keras 3.15 and 3.16, and this is Keras 3.17.0. "),
        ("3.16.0", "keras_theano does not know this version of Keras, 3.16.0: keras.src.backend.config "),
    ],
)
def test_import_of_keras_with_another_layout_is_refused(pretended: str, said: str, tmp_path: Path) -> None:
    if release_of(keras.__version__) == release_of(pretended):
        pytest.skip("this Keras is laid out as its version says")
    code = (
        "import sys, types; version = types.ModuleType('keras.src.version'); "
        f"version.__version__ = {pretended!r}; sys.modules[version.__name__] = version; import keras"
    )
    answer = python(code, tmp_path, KERAS_BACKEND="theano")
    assert answer.stderr.strip().splitlines()[-1].startswith(f"ImportError: {said}"), answer.stderr


def test_a_branch_keeps_its_neighbours_and_its_line_numbers() -> None:
    source = b"""
name = "theano"
if name == "jax":
    chosen = "jax"
elif name == "numpy":
    chosen = name
else:
    raise ValueError(name)
allowed = name in ("tensorflow", "numpy")
"""
    tree = with_branches_for_theano(source, "m")
    names: dict[str, object] = {}
    exec(compile(tree, "m", "exec"), names)
    assert (names["chosen"], names["allowed"]) == ("theano", True)
    for name in ("numpy", "jax"):
        exec(
            compile(
                with_branches_for_theano(source.replace(b'"theano"', f'"{name}"'.encode()), "m"), "m", "exec"
            ),
            names,
        )
        assert names["chosen"] == name
    with pytest.raises(ValueError, match="torch"):
        exec(
            compile(with_branches_for_theano(source.replace(b'"theano"', b'"torch"'), "m"), "m", "exec"),
            names,
        )
