import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from backendexp.errors import RuntimeUnavailable
from backendexp.runtimes import inventory
from backendexp.runtimes.inventory import Inventory


def test_inventory_of_this_interpreter_has_its_versions() -> None:
    found = inventory.take_inventory(sys.executable)
    assert found.python == "{}.{}.{}".format(*sys.version_info)
    assert found.keras == version("keras")
    assert found.keras_generation == 3
    assert found.version("mlflow") == version("mlflow")


def test_inventory_of_the_tutorials_stack(keras2_python: str) -> None:
    found = inventory.take_inventory(keras2_python)
    assert found.python.startswith("3.7.")
    assert (found.keras, found.keras_generation) == ("2.3.1", 2)
    assert (found.version("tensorflow"), found.version("theano")) == ("1.14.0", "1.0.4")
    assert inventory.keras_generation_of(keras2_python) == 2


def test_interpreter_without_packages_has_no_keras(bare_python: str) -> None:
    found = inventory.take_inventory(bare_python)
    assert (found.keras, found.keras_generation) == (None, None)
    with pytest.raises(RuntimeUnavailable, match=r"which has no Keras: expected Keras 2 or 3\. Install it"):
        inventory.keras_generation_of(bare_python)


@pytest.mark.parametrize("generation", ["1.0.8", "4.0.0"])
def test_unsupported_keras_is_refused(generation: str, tmp_path: Path) -> None:
    python = tmp_path / "python"
    answer = f'{{"python": "3.6.0", "packages": {{"Keras": "{generation}"}}, "modules": ["keras"]}}'
    python.write_text(f"#!/bin/sh\necho '{answer}'\n")
    python.chmod(0o755)
    with pytest.raises(RuntimeUnavailable, match=rf"which has Keras {generation}: expected Keras 2 or 3"):
        inventory.keras_generation_of(str(python))


def test_path_that_is_not_a_interpreter_is_refused(tmp_path: Path) -> None:
    for python in (tmp_path / "nowhere", tmp_path, Path("/bin/false"), Path("/bin/echo")):
        with pytest.raises(
            RuntimeUnavailable, match=r"does not run as a Python interpreter: .* Expected the"
        ):
            inventory.take_inventory(str(python))


def test_distribution_may_differ_in_name_from_its_module() -> None:
    none = frozenset[str]()
    assert Inventory("3.11.0", {"tensorflow-cpu": "2.21.0"}, none).version("tensorflow") == "2.21.0"
    assert Inventory("3.11.0", {"tensorflow-estimator": "2.0"}, none).version("tensorflow") is None


def test_interpreter_has_the_modules_that_it_can_import(bare_python: str) -> None:
    """An interpreter that has PyTensor but not keras_theano cannot run the Theano backend of Keras 3."""
    packages = Path(
        subprocess.run(
            [bare_python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    )
    (packages / "pytensor").mkdir()
    (packages / "pytensor" / "__init__.py").write_text("raise SystemExit('it was imported')")
    (packages / "jax-0.10.0.dist-info").mkdir()
    try:
        found = inventory.take_inventory.__wrapped__(bare_python)
    finally:
        shutil.rmtree(packages / "pytensor")
        (packages / "jax-0.10.0.dist-info").rmdir()
    assert found.has("pytensor")
    assert not found.has("keras_theano")
    assert not found.has("jax")


def test_paths_of_our_interpreter_do_not_reach_another(
    bare_python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keras_theano.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert not inventory.take_inventory.__wrapped__(bare_python).has("keras_theano")
