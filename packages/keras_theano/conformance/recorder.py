"""A pytest plugin for run.py. It writes a line of JSON for each test as soon as the test ends.

The file $CONFORMANCE_LOG may already have lines of a process that died. The tests in them are not run again.
A line is {"began": id}, or {"id": id, "outcome": passed | failed | skipped, "reason": str, "seconds": float}.
"""

import ast
import json
import os
import sys
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

import pytest

LOG = Path(os.environ["CONFORMANCE_LOG"])

# Keras's conftest.py skips the tests that train on these backends.
NOT_TRAINABLE = ("numpy", "openvino")
# Reasons for which some tests only run on the backends that they name. Theano has what they need.
NOT_SO_ON_THEANO = ("doesn't implement custom ops for einsum", "assumes reproducibility in fit")

_results: dict[str, dict] = {}


def _write(line: dict) -> None:
    with LOG.open("a") as log:
        log.write(json.dumps(line) + "\n")


class _Finder:
    """Adds the Theano backend to trainer_test.py, which chooses the trainer and the name of the CPU by the
    name of the backend, and only knows Keras's own. When a module of Keras that chooses in this way is
    imported, keras_theano adds a branch to it. Here the test module gets such a branch, and an entry in its
    table of names.
    """

    def find_spec(self, name, path, target=None):
        if name != "keras.src.trainers.trainer_test":
            return None
        spec = PathFinder.find_spec(name, path, target)
        spec.loader = _Loader(name, spec.origin)
        return spec


class _Loader(SourceFileLoader):
    def get_code(self, fullname):
        from keras_theano.hook.branches import with_branches_for_theano

        path = self.get_filename(fullname)
        tree = with_branches_for_theano(self.get_data(path), fullname)
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict) and {getattr(key, "value", None) for key in node.keys} >= _KNOWN:
                node.keys.append(ast.Constant("theano"))
                node.values.append(ast.Constant("cpu"))
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)


_KNOWN = {"tensorflow", "jax", "torch"}


def pytest_sessionstart(session):
    # By now pytest has installed its finder, which rewrites assertions. This one must come before it.
    if os.environ["KERAS_BACKEND"] == "theano":
        sys.meta_path.insert(0, _Finder())


def skip_if_backend(given_backend, reason):
    return pytest.mark.skipif(os.environ["KERAS_BACKEND"] == given_backend, reason=reason)


# Tests import `skip_if_backend` from the conftest.py of Keras's repository, which is not in the wheel.
sys.modules["conftest"] = sys.modules[__name__]


def pytest_configure(config):
    config.addinivalue_line("markers", "requires_trainable_backend: the backend has to train")


def pytest_collection_modifyitems(config, items):
    import keras

    assert keras.config.backend() == os.environ["KERAS_BACKEND"]
    if keras.config.backend() in NOT_TRAINABLE:
        for item in items:
            if "requires_trainable_backend" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="the backend does not train"))
    if keras.config.backend() == "theano":
        for node in {node for item in items for node in item.listchain()}:
            node.own_markers = [mark for mark in node.own_markers if not _is_not_so(mark)]
    lines = [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []
    done = {line.get("began") or line["id"] for line in lines}
    remaining = [item for item in items if item.nodeid not in done]
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in done])
    items[:] = remaining


def _is_not_so(mark):
    reason = mark.kwargs.get("reason") or ""
    return mark.name == "skipif" and any(part in reason for part in NOT_SO_ON_THEANO)


def pytest_collectreport(report):
    # A file that cannot be imported counts as one test.
    if report.failed:
        _write({"id": report.nodeid, "outcome": "failed", "reason": report.longreprtext, "seconds": 0.0})
    elif report.skipped:
        _write({"id": report.nodeid, "outcome": "skipped", "reason": report.longrepr[2], "seconds": 0.0})


def pytest_runtest_logstart(nodeid, location):
    _write({"began": nodeid})
    _results[nodeid] = {"id": nodeid, "outcome": "passed", "reason": "", "seconds": 0.0}


def pytest_runtest_logreport(report):
    """Record the worst outcome among the setup, call, subtests and teardown of a test."""
    result = _results[report.nodeid]
    result["seconds"] += report.duration
    if report.failed:
        result.update(outcome="failed", reason=report.longreprtext)
    elif report.skipped and result["outcome"] == "passed":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.wasxfail
        result.update(outcome="skipped", reason=reason)


def pytest_runtest_logfinish(nodeid, location):
    _write(_results.pop(nodeid))
