"""A recorded program and the tiers that run it.

The native tier compiles a program to machine code when it meets the first batch, in a fraction of a second.
The interpreter runs it as a sequence of NumPy calls.
"""

import os
import time
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keras_theano.execution.graph import INTERPRETER, NATIVE, Graph
from keras_theano.execution.interpreter import interpreted
from keras_theano.execution.products import multiplications
from keras_theano.execution.threads import limited, one_thread

if TYPE_CHECKING:
    from keras_theano.execution.native.step import NativeStep

AUTO = "auto"
AT_ONCE, LATER, NEVER = "at once", "later", "never"
# A program remembers for this many sizes of batches whether its products run on one thread.
_KEPT_SIZES = 100

_programs: "weakref.WeakSet[Program]" = weakref.WeakSet()


def pinned_mode() -> str:
    """Return the mode that KERAS_THEANO_MODE chooses: auto, native or interpreter.

    Raises ValueError if it has another value.
    """
    name = os.environ.get("KERAS_THEANO_MODE") or AUTO
    if name in (AUTO, NATIVE, INTERPRETER):
        return name
    gone = " The modes numba and c are gone, because native is faster." if name in ("numba", "c") else ""
    raise ValueError(f"KERAS_THEANO_MODE={name!r}. Expected auto, native or interpreter.{gone}")


@dataclass(frozen=True)
class Ran:
    """Describes what a program ran on.

    name: the names of the step and of the model.
    tier: the tier that ran the last call.
    calls: the number of calls, by tier.
    compile_s: the seconds that this process spent on making the program ready to run, by tier.
    outside: why the native tier leaves nodes to NumPy, and how many in the batch with the most of them.
    """

    name: str
    tier: str
    calls: dict[str, int]
    compile_s: dict[str, float]
    outside: dict[str, int] = field(default_factory=dict)


def report() -> list[Ran]:
    """Return what the programs of this process ran on, in the order in which they were recorded."""
    return [program.ran() for program in sorted(_programs, key=lambda program: program.number)]


def native_steps() -> list[tuple[str, Any]]:
    """Return the names and the steps of all programs in the native tier, in the order of their recording."""
    found = [program.native for program in sorted(_programs, key=lambda program: program.number)]
    return [each for each in found if each is not None]


def load_tier() -> None:
    """Import the tier that computes the steps, which the first step would do otherwise."""
    with suppress(ValueError):  # the first step raises it
        if pinned_mode() != INTERPRETER:
            import keras_theano.execution.native.step  # noqa: F401


class Program:
    """A recorded program, which can be called.

    name: the names of the step and of the model.
    inputs: PyTensor variables.
    outputs: PyTensor variables.
    updates: pairs of a shared variable and its new value.
    compiled: when mode `auto` compiles the program: AT_ONCE, LATER if it is called often, or NEVER.
    nodes: the number of nodes of its graph, which says how much memory it needs.

    A call takes a list with one array for each input, of the input's dtype. It returns a list with one array
    for each output.
    """

    _made = 0

    def __init__(
        self,
        name: str,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        updates: Sequence[tuple[Any, Any]],
        compiled: str = AT_ONCE,
    ) -> None:
        Program._made += 1
        self.number = Program._made
        self._name = name
        self._graph = Graph(list(inputs), list(outputs), list(updates))
        self.nodes = self._graph.size
        self._limits: dict[Any, AbstractContextManager[None]] = {}
        mode = pinned_mode()
        if mode == INTERPRETER or (mode == AUTO and compiled == NEVER):
            self._runner: _Interpreted | NativeStep = _Interpreted(self._graph)
        else:
            self._runner = _native(self._graph, strict=mode == NATIVE, at_once=compiled == AT_ONCE)
        _programs.add(self)

    def __call__(self, arrays: list[Any]) -> list[Any]:
        with self._limit(arrays):
            return self._runner(*arrays)

    def _limit(self, arrays: list[Any]) -> AbstractContextManager[None]:
        """Return the context for a call. If the largest matrix product of the step is small for batches of
        these sizes, all products run on one thread.
        """
        if not one_thread.changes_something:
            return nullcontext()
        sizes = tuple([array.shape for array in arrays])
        if sizes not in self._limits:
            if len(self._limits) >= _KEPT_SIZES:
                self._limits.clear()
            graph = self._graph
            results = [*graph.outputs, *[value for _, value in graph.updates]]
            self._limits[sizes] = limited(multiplications(graph.inputs, results, sizes))
        return self._limits[sizes]

    def ran(self) -> Ran:
        runner = self._runner
        return Ran(self._name, runner.tier, dict(runner.calls), dict(runner.compile_s), runner.outside())

    @property
    def native(self) -> "tuple[str, NativeStep] | None":
        """The name and the step of the native tier, unless the interpreter is pinned."""
        return None if isinstance(self._runner, _Interpreted) else (self._name, self._runner)


class _Interpreted:
    """A graph in the interpreter, which counts its calls."""

    tier = INTERPRETER

    def __init__(self, graph: Graph) -> None:
        began = time.perf_counter()
        self._function: Callable[..., list[Any]] = interpreted(graph)
        self.compile_s = {INTERPRETER: time.perf_counter() - began}
        self.calls = Counter[str]()

    def __call__(self, *arrays: Any) -> list[Any]:
        self.calls[INTERPRETER] += 1
        return self._function(*arrays)

    def outside(self) -> dict[str, int]:
        """Nothing lies outside of the native tier, because it has no part in this."""
        return {}


def _native(graph: Graph, strict: bool, at_once: bool) -> "NativeStep":
    # LLVM is not loaded where the interpreter is pinned.
    from keras_theano.execution.native.step import NativeStep

    return NativeStep(graph, strict, at_once)
