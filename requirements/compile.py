"""Updates the pinned requirements: python requirements/compile.py [--upgrade | --check]

requirements.txt                        the packages that backendexp needs to run
requirements/dev.txt                    these packages and those that its tests and checks need
src/backendexp/runtimes/keras2.txt      the packages of the keras2 runtime, for Python 3.7

Pins that still satisfy the inputs are kept, unless --upgrade asks for the newest versions. --check changes
nothing, and exits with 1 if a file does not match its input. The files name no package index, so they work
with any. They contain the requirements of keras-theano, but not keras-theano itself, which is installed from
packages/keras_theano.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from uv import find_uv_bin

ROOT = Path(__file__).parents[1]
DEFAULT, DEV = Path("requirements.txt"), Path("requirements/dev.txt")
KERAS2 = Path("src/backendexp/runtimes/keras2.txt")
# The order matters, because the development pins are constrained to the default ones.
TARGETS = {
    DEFAULT: ["pyproject.toml", "--universal", "--python-version", "3.11"],
    DEV: ["pyproject.toml", "--extra", "dev", "--universal", "--python-version", "3.11", "-c", str(DEFAULT)],
    KERAS2: ["requirements/keras2.in", "--python-version", "3.7"],
}


def compile_one(arguments: list[str], output: Path, upgrade: bool) -> None:
    """Resolve the inputs in `arguments` and write the pins to `output`, keeping those that it already has."""
    command = [find_uv_bin(), "pip", "compile", "--quiet", "--generate-hashes", "--no-header"]
    command += [
        "--no-emit-package",
        "keras-theano",
        "--output-file",
        str(output),
        *arguments,
    ]
    subprocess.run([*command, *(["--upgrade"] if upgrade else [])], cwd=ROOT, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--upgrade", action="store_true")
    how.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    stale = []
    for target, arguments in TARGETS.items():
        if not asked.check:
            compile_one(arguments, ROOT / target, asked.upgrade)
            continue
        with tempfile.TemporaryDirectory() as folder:
            fresh = Path(folder) / target.name
            shutil.copy(ROOT / target, fresh)
            compile_one(arguments, fresh, upgrade=False)
            if fresh.read_text() != (ROOT / target).read_text():
                stale.append(target)
    for target in stale:
        print(
            f"{target} is out of date. Update it with: python {Path(__file__).relative_to(ROOT)}",
            file=sys.stderr,
        )
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
