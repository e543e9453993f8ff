"""Compiles a program before it is needed: `python -m keras_theano.execution.ahead JOB` compiles it into
PyTensor's cache on disk.

JOB: the path of a file with a pickled pair of a Graph and the sample arrays.

The process ends with code 0 when the program is in the cache. It also ends when its stdin is closed, which
happens when its parent dies. Numba writes its cache by renaming whole files. So nothing is damaged if a
compilation is killed, or runs twice at the same time.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytensor
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Apply
from pytensor.graph.traversal import io_toposort

from keras_theano.tracing.computed import Computed
from keras_theano.tracing.depth import as_deep_as
from keras_theano.tracing.loop import Loop


@dataclass
class Graph:
    """A graph that can be compiled here or sent to another process.

    inputs: PyTensor variables.
    outputs: PyTensor variables.
    updates: pairs of a shared variable and its new value.
    """

    inputs: list[Any]
    outputs: list[Any]
    updates: list[tuple[Any, Any]]

    @property
    def ends(self) -> list[Any]:
        return [*self.outputs, *(value for _, value in self.updates)]

    @property
    def size(self) -> int:
        """The number of nodes, including those of one step of each loop."""
        nodes = io_toposort(self.inputs, self.ends)
        loops = [node.op for node in nodes if isinstance(node.op, Loop)]
        return len(nodes) + sum(len(io_toposort(loop.step_inputs, loop.step_outputs)) for loop in loops)

    @property
    def calls_numpy(self) -> bool:
        """Whether the graph contains a Loop or a Computed, whose functions NumPy runs in every tier. PyTensor
        would not keep the compiled graph in its cache.
        """
        return any(isinstance(node.op, (Loop, Computed)) for node in io_toposort(self.inputs, self.ends))

    def __getstate__(self) -> dict[str, Any]:
        """Return the nodes as a flat list, with numbers for their variables. Pickle would follow the graph by
        nested calls, and a deep graph needs more of them than Python allows.
        """
        numbers: dict[Any, int] = {}
        roots, nodes = [], []

        def number(variable: Any) -> int:
            if variable not in numbers:
                numbers[variable] = len(numbers)
                roots.append((numbers[variable], variable))
            return numbers[variable]

        for node in io_toposort(self.inputs, self.ends):
            inputs = [number(variable) for variable in node.inputs]
            for variable in node.outputs:
                numbers[variable] = len(numbers)
            outputs = [(numbers[variable], variable.type, variable.name) for variable in node.outputs]
            nodes.append((node.op, inputs, outputs))
        return {
            "inputs": [number(variable) for variable in self.inputs],
            "outputs": [number(variable) for variable in self.outputs],
            "updates": [(number(variable), number(value)) for variable, value in self.updates],
            "roots": roots,
            "nodes": nodes,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        variables: dict[int, Any] = dict(state["roots"])
        for op, inputs, outputs in state["nodes"]:
            made = [kind.make_variable(name=name) for _, kind, name in outputs]
            Apply(op, [variables[number] for number in inputs], made)
            variables.update(zip([number for number, _, _ in outputs], made, strict=True))
        self.inputs = [variables[number] for number in state["inputs"]]
        self.outputs = [variables[number] for number in state["outputs"]]
        self.updates = [(variables[shared], variables[value]) for shared, value in state["updates"]]


def compiled(graph: Graph, mode: Mode) -> Any:
    """Return a PyTensor function. It relies on its callers to pass arrays of the right dtypes."""
    with as_deep_as(graph.ends):
        function = pytensor.function(
            graph.inputs, graph.outputs, updates=graph.updates, mode=mode, on_unused_input="ignore"
        )
    function.trust_input = True
    return function


class Helper:
    """A process that compiles a graph with Numba at low priority, and that ends when this process ends.

    graph: what to compile.
    arrays: a batch to compile for. Only the shapes and dtypes matter.
    """

    def __init__(self, graph: Graph, arrays: list[np.ndarray[Any, Any]]) -> None:
        descriptor, name = tempfile.mkstemp(prefix="keras-theano-", suffix=".job")
        with os.fdopen(descriptor, "wb") as file:
            pickle.dump((graph, [np.zeros_like(array) for array in arrays]), file)
        self._job = Path(name)
        self._log = self._job.with_suffix(".log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "keras_theano.execution.ahead", name],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTENSOR_FLAGS": _same_flags()},
                start_new_session=True,
            )

    @property
    def working(self) -> bool:
        return self._process.poll() is None

    @property
    def failure(self) -> str | None:
        """The reason why the process failed, or None if it succeeded. Waits for its end, and removes its
        files.
        """
        code = self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        words = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        for path in (self._job, self._log):
            path.unlink(missing_ok=True)
        return None if code == 0 else f"compiling ahead ended with {code}: {' '.join(words[-1:])}"

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # the process was never started
            if self.working:
                self._process.kill()
                self.failure  # noqa: B018  # reading it removes the files


def _same_flags() -> str:
    """Return PyTensor's flags for a process that must fill the cache of this process."""
    flags = os.environ.get("PYTENSOR_FLAGS", "")
    return ",".join([*([flags] if flags else []), f"base_compiledir={pytensor.config.base_compiledir}"])


def main(job: str) -> None:
    from keras_theano.execution.numba_mode import COMPILED

    os.nice(10)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    graph, arrays = pickle.loads(Path(job).read_bytes())
    compiled(graph, COMPILED)(*arrays)


def _die_with_parent() -> None:
    # This reads file descriptor 0 instead of sys.stdin, because Python aborts if it ends while a thread reads
    # sys.stdin.
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
