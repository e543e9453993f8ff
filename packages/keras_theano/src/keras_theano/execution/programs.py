"""A recorded program and the tiers that run it. It starts in the interpreter and is compiled later.

PyTensor takes tens of seconds to compile a training step, and most of this time goes to Numba. So in mode
`auto` a program starts in the interpreter, which needs no compilation. When it has run there for a second, a
helper process compiles it into PyTensor's cache on disk (see ahead.py). After that the program is loaded from
the cache and continues compiled. It keeps its shared variables, and so its state.
"""

import os
import time
import warnings
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytensor
from pytensor.compile.mode import Mode

from keras_theano.errors import CompilerMissing
from keras_theano.execution import ahead
from keras_theano.execution.interpreter import INTERPRETED
from keras_theano.execution.products import multiplications
from keras_theano.execution.threads import limited, one_thread

INTERPRETER, NATIVE, NUMBA, C, AUTO = "interpreter", "native", "numba", "c", "auto"
# Loading a compiled program costs a second or two. Compiling is not worth it for less time than this.
_WORTH_COMPILING_S = 1.0
# The time between two checks of the helper process.
_LOOK_EVERY_S = 0.2
# A program remembers for this many sizes of batches whether its products run on one thread.
_KEPT_SIZES = 1000

_programs: "weakref.WeakSet[Program]" = weakref.WeakSet()


def pinned_mode() -> str:
    """Return the mode that KERAS_THEANO_MODE chooses: auto, native, numba, c or interpreter.

    Raises ValueError if it has another value. Raises CompilerMissing if it is c and there is no C++ compiler.
    """
    name = os.environ.get("KERAS_THEANO_MODE") or AUTO
    if name not in (AUTO, NATIVE, NUMBA, C, INTERPRETER):
        raise ValueError(f"KERAS_THEANO_MODE={name!r}. Expected auto, native, numba, c or interpreter.")
    if name == C and not pytensor.config.cxx:
        raise CompilerMissing(
            "KERAS_THEANO_MODE=c needs a C++ compiler, and there is no g++ on the PATH. "
            "Install one (Debian: apt install g++), or leave the mode at auto."
        )
    return name


def mode_of(tier: str) -> Mode:
    """Return PyTensor's mode for a tier."""
    if tier == INTERPRETER:
        return INTERPRETED
    # Importing Numba takes a second, which a step that starts in the interpreter does not wait for.
    from keras_theano.execution.numba_mode import COMPILED, keeping_nan

    if tier == NUMBA:
        return COMPILED
    return keeping_nan(Mode("cvm", "fast_run"))


@dataclass(frozen=True)
class Ran:
    """Describes what a program ran on.

    name: the names of the step and of the model.
    tier: the tier that runs the program now.
    calls: the number of calls, by tier.
    compile_s: the seconds that this process took until the program could run, by tier.
    compiling: whether a helper process is working on the program.
    outside: why the native tier leaves nodes to NumPy, and how many in the batch with the most of them.
    """

    name: str
    tier: str
    calls: dict[str, int]
    compile_s: dict[str, float]
    compiling: bool
    outside: dict[str, int] = field(default_factory=dict)


def report() -> list[Ran]:
    """Return what the programs of this process ran on, in the order in which they were recorded."""
    return [program.ran() for program in sorted(_programs, key=lambda program: program.number)]


def native_steps() -> list[tuple[str, Any]]:
    """Return the names and the steps of all programs in the native tier, in the order of their recording."""
    found = [program.native for program in sorted(_programs, key=lambda program: program.number)]
    return [each for each in found if each is not None]


class Program:
    """A recorded program, which can be called.

    name: the names of the step and of the model.
    inputs: PyTensor variables.
    outputs: PyTensor variables.
    updates: pairs of a shared variable and its new value.
    nodes: the number of nodes of its graph, which says how much memory it needs.

    A call takes a list with one array for each input, of the input's dtype. It returns a list with one array
    for each output.
    """

    _made = 0

    def __init__(
        self, name: str, inputs: Sequence[Any], outputs: Sequence[Any], updates: Sequence[tuple[Any, Any]]
    ) -> None:
        Program._made += 1
        self.number = Program._made
        self._name = name
        self._graph = ahead.Graph(list(inputs), list(outputs), list(updates))
        self.nodes = self._graph.size
        self._calls: dict[str, int] = {}
        self._compile_s: dict[str, float] = {}
        self._limits: dict[Any, AbstractContextManager[None]] = {}
        mode = pinned_mode()
        # The interpreter calls NumPy with the least overhead.
        self._climbs = mode == AUTO and not self._graph.calls_numpy
        self._spent_s = 0.0
        self._looked = 0.0
        self._helper: ahead.Helper | None = None
        self._use(INTERPRETER if mode == AUTO else mode)
        _programs.add(self)

    def __call__(self, arrays: list[Any]) -> list[Any]:
        self._calls[self._tier] += 1
        if not self._climbs:
            with self._limit(arrays):
                return self._function(*arrays)  # type: ignore[no-any-return]
        began = time.perf_counter()
        with self._limit(arrays):
            results = self._function(*arrays)
        now = time.perf_counter()
        self._spent_s += now - began
        if self._spent_s > _WORTH_COMPILING_S and now - self._looked > _LOOK_EVERY_S:
            self._looked = now
            self._climb(arrays)
        return results  # type: ignore[no-any-return]

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

    def _use(self, tier: str) -> None:
        began = time.perf_counter()
        self._function = self._made_for(tier)
        one_thread.look_again()  # a C compiler may have linked another library
        self._compile_s[tier] = time.perf_counter() - began
        self._calls.setdefault(tier, 0)
        self._tier = tier

    def _made_for(self, tier: str) -> Any:
        if tier == NATIVE:
            # LLVM is not loaded unless this tier is chosen.
            from keras_theano.execution.native.step import NativeStep

            return NativeStep(self._graph)
        function = ahead.compiled(self._graph, mode_of(tier))
        # In the C tier, PyTensor may multiply matrices in Python. NumPy would warn about infinities.
        return np.errstate(all="ignore")(function.__call__) if tier == C else function

    def _climb(self, arrays: list[Any]) -> None:
        """Start the helper process, or take over the program that it has compiled."""
        if self._helper is None:
            self._helper = ahead.Helper(self._graph, arrays)
        if self._helper.working:
            return
        self._climbs = False
        failure = self._helper.failure
        self._helper = None
        if failure is None:
            self._use(NUMBA)
        else:
            warnings.warn(f"{self._name} stays in the interpreter: {failure}", RuntimeWarning, stacklevel=2)

    def ran(self) -> Ran:
        outside = self._function.outside() if self._tier == NATIVE else {}
        compiling = self._helper is not None
        return Ran(self._name, self._tier, dict(self._calls), dict(self._compile_s), compiling, outside)

    @property
    def native(self) -> tuple[str, Any] | None:
        """The name and the step of the native tier, if this is the tier of the program."""
        return (self._name, self._function) if self._tier == NATIVE else None
