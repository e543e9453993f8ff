"""Each example prints on Theano what it prints on JAX, when it is run as a user runs it."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "same_start")
# All of them together take some minutes, and most of that time JAX compiles.
IN_CI = {"subclassing"}
DECIMAL = re.compile(r"-?\d+\.\d+")
# The numbers may differ by this many units of their last printed digit. When each initial weight of a script
# was changed by one unit in the last place of float32, which is how backends differ, then 165 of all 166
# numbers were the same to the last digit, and one differed by one unit. Each backend rounds in every one of
# its hundred to three hundred steps, and not only once, so a number may lie a little further away.
UNITS = 3


def printed(name: str, backend: str, folder: Path) -> str:
    """Return what the example prints on a backend with one thread. It may not give warnings."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "KERAS_HOME": str(folder),
        "OMP_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
        "PYTENSOR_FLAGS": f"base_compiledir={folder}",
    }
    answer = subprocess.run(
        [sys.executable, f"{name}.py"], cwd=EXAMPLES, env=environment, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    assert "Warning:" not in answer.stderr
    return answer.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in IN_CI else pytest.mark.extended) for name in SCRIPTS]
)
def test_example_prints_the_same_numbers_on_theano_and_on_jax(name: str, tmp_path: Path) -> None:
    ours, theirs = (printed(name, backend, tmp_path) for backend in ("theano", "jax"))
    # Words, whole numbers and truth values are the same.
    assert DECIMAL.sub("#", ours) == DECIMAL.sub("#", theirs)
    pairs = list(zip(DECIMAL.findall(ours), DECIMAL.findall(theirs), strict=True))
    assert len(pairs) > 2
    for one, other in pairs:
        digits = len(one.partition(".")[2])
        assert digits >= 3, f"{one} says too little"
        unit = 10.0**-digits
        assert abs(float(one) - float(other)) < (UNITS + 0.5) * unit, f"{one} and {other} in:\n{ours}"


def test_readme_lists_every_example() -> None:
    listed = re.findall(r"^\| \[(\w+)\.py\]\(\1\.py\) \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == SCRIPTS
    assert set(SCRIPTS) > IN_CI


@pytest.mark.parametrize("name", SCRIPTS)
def test_example_says_what_it_teaches_and_imports_no_backend(name: str) -> None:
    module = ast.parse((EXAMPLES / f"{name}.py").read_text())
    assert len((ast.get_docstring(module) or "").splitlines()) > 2
    imported = {
        alias.name if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(module)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    roots = {module.partition(".")[0] for module in imported}
    assert roots - set(sys.stdlib_module_names) <= {"keras", "numpy", "same_start"}
