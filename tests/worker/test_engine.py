"""A worker has imported everything before a run begins, so that no import is in the times of a run."""

import json
import os
import subprocess
import sys
from pathlib import Path

from backendexp.worker import engine

FIRST_STEP = """
import json, os, sys

sys.path.insert(0, os.environ["PACKAGE"])
from worker import engine

engine.load()
import keras, numpy

model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu"), keras.layers.Dropout(0.5)])
model.compile("adam", "mse")
before = set(sys.modules)
model.fit(numpy.ones((8, 4)), numpy.ones((8, 3)), verbose=0)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_first_step_on_theano_imports_no_part_of_the_engine(tmp_path: Path) -> None:
    environment = {**os.environ, "KERAS_BACKEND": "theano", "KERAS_HOME": str(tmp_path)}
    environment["PACKAGE"] = str(Path(engine.__file__).parents[1])
    ended = subprocess.run(
        [sys.executable, "-c", FIRST_STEP], env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    imported = json.loads(ended.stdout.splitlines()[-1])
    assert not [name for name in imported if name.startswith(("keras_theano", "llvmlite", "pytensor"))]


def test_engine_of_which_a_part_is_missing_is_refused(tmp_path: Path) -> None:
    environment = {**os.environ, "KERAS_BACKEND": "theano", "KERAS_HOME": str(tmp_path)}
    environment["PACKAGE"] = str(Path(engine.__file__).parents[1])
    script = FIRST_STEP.replace(
        "engine.load()",
        """sys.modules["llvmlite"] = None
try:
    engine.load()
except engine.Refused as refusal:
    sys.exit(refusal.kind)
""",
    )
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (1, "engine_missing")
