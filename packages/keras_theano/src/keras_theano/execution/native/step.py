"""A recorded step in this tier: segments of machine code, and NumPy in between for what has no rule here.

A stage is a segment and the nodes that run after it in NumPy. The next stage is compiled when the shapes of
their results are known, because nothing else may tell them. Most steps have one stage and no such node.

Shared variables are changed in the last segment only, after everything that may raise an error. If a check in
a segment fails, or a batch cannot be compiled, the interpreter runs the step again from its start. So it
raises what the interpreter raises, and nothing has been changed.
"""

import os
import threading
import time
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import MergeOptimizer
from pytensor.graph.traversal import graph_inputs

from keras_theano.execution.collector import paused
from keras_theano.execution.graph import INTERPRETER, NATIVE, Graph
from keras_theano.execution.interpreter import functions_in, interpreted
from keras_theano.execution.native import (  # noqa: F401  # rules register themselves
    accumulation,
    indexing,
    linear_algebra,
    sorting,
    unrolling,
)
from keras_theano.execution.native.looping import CompiledLoop
from keras_theano.execution.native.lowering import Lowering
from keras_theano.execution.native.segment import Segment
from keras_theano.execution.native.states import State, state_of
from keras_theano.execution.native.while_loops import Stopped
from keras_theano.execution.native.work import DTYPES, Sizes, Uncovered
from keras_theano.tracing.depth import as_deep_as
from keras_theano.tracing.loop import Loop

# Programs are compiled for this many kinds of batches when they first meet them. Later kinds run in the
# interpreter when they come for the first time.
_AT_ONCE = 8
# Each kind keeps its memory. When there are this many, another one must come more often before it replaces
# the one that was not used for the longest time. Kinds that take turns would be compiled at every call
# otherwise.
_MOST_KINDS = 16
_OFTEN = 10
# A step counts how often it has met this many kinds that are not compiled.
_COUNTED = 100

Arrays = dict[Variable, Any]


class NativeStep:
    """A graph that can be called with arrays. It returns a list of arrays, and updates shared variables.

    strict: whether a batch that cannot be compiled is an error. Otherwise the interpreter runs such batches,
        and the first one gives a warning.
    at_once: whether the first kinds of batches are compiled when they come for the first time.
    tier: the tier that ran the last call.
    calls: the number of calls, by tier.
    compile_s: the seconds that it took to make the step ready to run, by tier.
    """

    def __init__(self, graph: Graph, strict: bool = True, at_once: bool = True) -> None:
        began = time.perf_counter()
        self._graph = graph
        self._strict = strict
        self._at_once = at_once
        inputs = set(graph.inputs)
        found = [v for v in graph_inputs(graph.ends) if v not in inputs and not isinstance(v, Constant)]
        for variable, value in graph.updates:
            if (
                value.type.dtype != variable.type.dtype
            ):  # machine code would write beyond the end of the array
                raise TypeError(f"an update of {variable.type} by {value.type}. Cast the new value.")
        updated = [shared for shared, _ in graph.updates]
        shared = list(dict.fromkeys([*found, *updated]))
        with as_deep_as(graph.ends):
            fgraph = FunctionGraph([*graph.inputs, *shared], graph.ends, clone=True)
            MergeOptimizer().rewrite(fgraph)
        count = len(graph.inputs)
        self._inputs: list[Variable] = fgraph.inputs[:count]
        own = dict(zip(shared, fgraph.inputs[count:], strict=True))
        self._states: dict[Variable, State] = {
            variable: state_of(each) for each, variable in own.items() if variable.type.dtype in DTYPES
        }
        self._other_cells = {
            variable: each.container.storage
            for each, variable in own.items()
            if variable.type.dtype not in DTYPES
        }
        results = fgraph.outputs[: len(graph.outputs)]
        updates = zip(updated, fgraph.outputs[len(graph.outputs) :], strict=True)
        self._ends = Ends(results, [(own[each], value) for each, value in updates])
        self._cells = {own[each]: each.container.storage for each in updated}
        self._nodes = fgraph.toposort()
        self._functions = self._functions_in(fgraph)
        self._kinds: dict[tuple[Sizes, ...], Stage] = {}  # the one that was used last comes last
        self._met: Counter[Any] = Counter()
        self._refused: set[Any] = set()
        self._interpreter: Callable[..., list[Any]] | None = None
        self._lock = _lock()
        self._running = False
        self.tier = NATIVE
        self.calls: Counter[str] = Counter()
        self.compile_s = {NATIVE: time.perf_counter() - began}

    def __call__(self, *arrays: Any) -> list[Any]:
        with self._lock:
            if self._running:  # something in the step has called the step
                return self._interpreted(arrays)
            for state in self._states.values():
                state.refresh()
            kind = (*[array.shape for array in arrays], *[state.shape for state in self._states.values()])
            first = self._kinds.pop(kind, None)
            if first is not None:
                self._kinds[kind] = first
            elif not self._worth_compiling(kind):
                return self._interpreted(arrays)
            self._running = True
            try:
                results = self._run(kind, first, arrays)
            except _NotCompiled as failure:
                return self._without(kind, arrays, failure.__cause__)
            finally:
                self._running = False
            if results is None:
                return self._interpreted(arrays)
            self.tier = NATIVE
            self.calls[NATIVE] += 1
            return results

    def _functions_in(self, fgraph: FunctionGraph) -> Callable[[Any, Any], Callable[..., Any]]:
        """Return what returns the function of arrays for an op and its node that have no rule."""
        by_numpy = functions_in(fgraph)

        def function(op: Any, node: Apply) -> Callable[..., Any]:  # type: ignore[type-arg]
            if isinstance(op, Loop):
                return CompiledLoop(node, fgraph, partial(by_numpy, op, node), self._compiling)
            return by_numpy(op, node)

        return function

    def _worth_compiling(self, kind: Any) -> bool:
        """Return whether to compile a kind of batch, and make room for it."""
        if kind in self._refused:
            return False
        if len(self._kinds) >= _AT_ONCE or not self._at_once:
            if len(self._met) >= _COUNTED:
                self._met.clear()
            self._met[kind] += 1
            full = len(self._kinds) >= _MOST_KINDS
            if self._met[kind] < (_OFTEN if full or not self._at_once else 2):
                return False
            del self._met[kind]
            if full:
                del self._kinds[next(iter(self._kinds))]
        return True

    def _without(self, kind: Any, arrays: Sequence[Any], failure: BaseException | None) -> list[Any]:
        """Run a batch that could not be compiled, and tell why if the interpreter can run it."""
        self._kinds.pop(kind, None)
        results = self._interpreted(arrays)
        if self._strict and failure is not None:
            raise failure
        if not self._refused:
            warnings.warn(
                f"The interpreter runs a step that could not be compiled: {failure!r}",
                RuntimeWarning,
                stacklevel=2,
            )
        self._refused.add(kind)
        return results

    def kinds(self) -> list[tuple[Sizes, ...]]:
        """Return each kind of batch that was compiled: the shapes of the inputs, followed by those of the
        shared variables.
        """
        return list(self._kinds)

    @property
    def inputs(self) -> int:
        """The number of inputs."""
        return len(self._inputs)

    def outside(self, kind: tuple[Sizes, ...] | None = None) -> dict[str, int]:
        """Return how many nodes NumPy computes, by the reason, in one kind of batch. None stands for the kind
        with the most of them.
        """
        most: list[str] = []
        for stage in self._kinds.values() if kind is None else [self._kinds[kind]]:
            most = max(most, stage.reasons(), key=len)
        return dict(Counter(most))

    def segments(self, kind: tuple[Sizes, ...]) -> list[Segment]:
        """Return the segments of one kind of batch, in the order in which they run."""
        return list(self._kinds[kind].segments())

    def _interpreted(self, arrays: Sequence[Any]) -> list[Any]:
        if self._interpreter is None:
            with self._timed(INTERPRETER):
                self._interpreter = interpreted(self._graph)
        self.tier = INTERPRETER
        self.calls[INTERPRETER] += 1
        return self._interpreter(*arrays)

    @contextmanager
    def _timed(self, tier: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.compile_s[tier] = self.compile_s.get(tier, 0.0) + time.perf_counter() - began

    @contextmanager
    def _compiling(self) -> Iterator[None]:
        with self._timed(NATIVE), paused():
            try:
                yield
            except Exception as failure:
                raise _NotCompiled from failure

    def _run(self, kind: Any, first: "Stage | None", given: Sequence[Any]) -> list[Any] | None:
        """Return the results, or None if the interpreter must run the step."""
        arrays: Arrays = {}
        for variable, array in zip(self._inputs, given, strict=True):
            arrays[variable] = _readable(array, variable.type.dtype)
        for variable, state in self._states.items():
            arrays[variable] = state.array
        for variable, cell in self._other_cells.items():
            arrays[variable] = cell[0]
        stage = first
        if stage is None:
            with self._compiling():
                stage = self._kinds[kind] = Stage(self._nodes, arrays, self._ends, self._functions)
        while True:
            if not stage.run(arrays, self._states):
                return None
            if stage.last:
                break
            with self._compiling():
                following = stage.next(arrays)
            if following is None:
                return None
            stage = following
        return stage.finish(arrays, self._cells, self._states)


class _NotCompiled(Exception):
    """A stage could not be compiled. The cause is the error."""


class Ends:
    """What a step computes.

    results: variables.
    updates: pairs of the variable of a shared variable, and its new value.
    """

    def __init__(self, results: Sequence[Variable], updates: Sequence[tuple[Variable, Variable]]) -> None:
        self.results = results
        self.updates = updates

    @property
    def variables(self) -> list[Variable]:
        return [*self.results, *[value for _, value in self.updates]]


class Stage:
    """A segment and the nodes that NumPy computes after it.

    nodes: all nodes that have not been computed before, in an order in which they can be.
    arrays: what exists, by variable.
    ends: what the step computes.
    functions: returns the NumPy function of a node.
    known: values that are the same whenever this stage runs, such as sizes.
    """

    def __init__(
        self,
        nodes: Iterable[Apply],  # type: ignore[type-arg]
        arrays: Arrays,
        ends: Ends,
        functions: Callable[[Any, Any], Callable[..., Any]],
        known: Arrays | None = None,
    ) -> None:
        self._ends = ends
        self._functions = functions
        self._outside: list[tuple[Apply, str]] = []  # type: ignore[type-arg]
        self._later: list[Apply] = []  # type: ignore[type-arg]
        self._next: dict[Any, Stage] = {}
        self._lowering = Lowering()
        nodes = list(nodes)
        self._known: Arrays = dict(known or {})
        self._given = self._give(nodes, arrays)
        inside = self._partition(nodes)
        self.last = not self._outside
        self._compile(inside)
        self._calls = [(node, functions(node.op, node)) for node, _ in self._outside]

    def _give(self, nodes: Sequence[Apply], arrays: Arrays) -> list[Variable]:  # type: ignore[type-arg]
        used = {variable for node in nodes for variable in node.inputs}
        used.update(self._ends.variables, [shared for shared, _ in self._ends.updates])
        given = []
        for variable, array in arrays.items():
            if variable in self._known:
                self._lowering.let_known(variable, self._known[variable])
            elif variable in used and isinstance(array, np.ndarray) and array.dtype.name in DTYPES:
                self._lowering.give(variable, array.shape)
                given.append(variable)
        return given

    def _partition(self, nodes: Sequence[Apply]) -> list[Apply]:  # type: ignore[type-arg]
        """Return the nodes that the segment computes. Set those that NumPy computes, and those for later."""
        missing: set[Variable] = set()
        inside = []
        for node in nodes:
            if not missing.isdisjoint(node.inputs):
                self._later.append(node)
            else:
                try:
                    self._lowering.lower(node)
                    inside.append(node)
                    continue
                except Uncovered as reason:
                    self._outside.append((node, str(reason)))
            missing.update(node.outputs)
        return inside

    def _compile(self, inside: Sequence[Apply]) -> None:  # type: ignore[type-arg]
        lowering = self._lowering
        after = [node for node, _ in self._outside] + self._later
        wanted = {variable for node in after for variable in node.inputs}
        wanted.update(self._ends.results)
        computed = [output for node in inside for output in node.outputs]
        native, self._assigned = [], []
        if self.last:
            for shared, value in self._ends.updates:
                fits = shared in self._given and lowering.has(value)
                if fits and lowering.view(value).shape == lowering.view(shared).shape:
                    native.append((shared, value))
                else:
                    self._assigned.append((shared, value))
                    wanted.add(value)
        else:
            wanted.update(value for _, value in self._ends.updates)
        self._results = []
        for variable in dict.fromkeys([*computed, *(self._ends.results if self.last else [])]):
            if variable in wanted and lowering.has(variable):
                if lowering.is_known(variable):
                    self._known[variable] = lowering.known(variable)
                else:
                    self._results.append(variable)
        updates = [(lowering.view(shared).value, lowering.view(value)) for shared, value in native]
        views = [lowering.view(variable) for variable in self._results]
        if not self.last:  # the next segment reads them, and its arrays are contiguous
            views = [lowering.shop.dense(view) for view in views]
        self.segment: Segment | None = None
        self._copied: list[Variable] = []
        if views or updates or lowering.checks:
            self.segment = Segment(lowering.shop, views, lowering.checks, updates)
            replaced = set(self.segment.replaced)
            self._copied = [shared for n, (shared, _) in enumerate(native) if n not in replaced]
        self._sources = [self._given[n] for n in self.segment.given] if self.segment else []
        del self._lowering

    def run(self, arrays: Arrays, states: dict[Variable, State]) -> bool:
        """Add what the stage computes to the arrays, and return whether no check has failed."""
        if self.segment is not None:
            addresses = [
                states[variable].address if variable in states else arrays[variable].ctypes.data
                for variable in self._sources
            ]
            if not self.segment.run(addresses):
                return False
            arrays.update(zip(self._results, self.segment.arrays, strict=False))
        arrays.update(self._known)
        if self._calls:
            try:
                with np.errstate(all="ignore"):
                    for node, function in self._calls:
                        _call(node, function, arrays)
            except Stopped:
                return False
        return True

    def next(self, arrays: Arrays) -> "Stage | None":
        """Return the stage that follows for the shapes that NumPy's results have. If they have had too many
        different ones, return None for further ones.
        """
        outputs = [output for node, _ in self._outside for output in node.outputs]
        kind = tuple([getattr(arrays[output], "shape", None) for output in outputs])
        if kind not in self._next:
            if len(self._next) >= _AT_ONCE:
                return None
            self._next[kind] = Stage(self._later, arrays, self._ends, self._functions, self._known)
        return self._next[kind]

    def finish(
        self, arrays: Arrays, cells: dict[Variable, list[Any]], states: dict[Variable, State]
    ) -> list[Any]:
        """Return the results, and assign the new values of shared variables."""
        results = [np.array(arrays[variable]) for variable in self._ends.results]
        assigned = [np.array(arrays[value]) for _, value in self._assigned]
        if self.segment is not None:
            for shared, array in zip(self._copied, self.segment.arrays[len(self._results) :], strict=True):
                np.copyto(states[shared].array, array)  # type: ignore[arg-type]
        for (shared, _), array in zip(self._assigned, assigned, strict=True):
            cells[shared][0] = array
        return results

    def reasons(self) -> list[str]:
        pairs = zip(self._outside, self._calls, strict=True)
        own = [reason for (_, reason), (_, function) in pairs if not _is_compiled(function)]
        return own + [reason for stage in self._next.values() for reason in stage.reasons()]

    def segments(self) -> Iterable[Segment]:
        if self.segment is not None:
            yield self.segment
        for _, function in self._calls:
            if isinstance(function, CompiledLoop):
                yield from function.segments()
        for stage in self._next.values():
            yield from stage.segments()


def _is_compiled(function: Any) -> bool:
    return isinstance(function, CompiledLoop) and function.compiled


def _readable(array: Any, dtype: str) -> Any:
    """Return an array of this dtype that machine code can read: its elements lie in their order."""
    flags = array.flags
    if array.dtype == dtype and flags.c_contiguous and flags.aligned:
        return array
    return np.array(array, dtype, order="C")


def _call(node: Apply, function: Callable[..., Any], arrays: Arrays) -> None:  # type: ignore[type-arg]
    """Compute a node with NumPy. Its results are arrays of their own, because segments write over others."""
    inputs = [_input(variable, arrays) for variable in node.inputs]
    outputs = function(*inputs)
    for variable, output in zip(node.outputs, [outputs] if len(node.outputs) == 1 else outputs, strict=True):
        if not hasattr(variable.type, "dtype") or output is None or isinstance(output, (list, tuple)):
            arrays[variable] = output
            continue
        array = np.asarray(output)
        owned = array.base is None and array.flags.owndata and not any(array is each for each in inputs)
        arrays[variable] = np.ascontiguousarray(array) if owned and array.ndim else np.array(array, order="C")


def _input(variable: Variable, arrays: Arrays) -> Any:
    if isinstance(variable, Constant) and variable not in arrays:
        return variable.data
    array = arrays[variable]
    # NumPy's functions return numbers instead of arrays without axes, and the interpreter hands these on.
    return array[()] if isinstance(array, np.ndarray) and array.ndim == 0 else array


# A child process must not wait for a thread of its parent.
_locks: "weakref.WeakSet[_Lock]" = weakref.WeakSet()


class _Lock:
    """A lock that its thread may take again, and that is free in a child process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        self._lock = threading.RLock()


def _lock() -> _Lock:
    lock = _Lock()
    _locks.add(lock)
    return lock


def _renew_locks() -> None:
    for lock in _locks:
        lock.renew()


os.register_at_fork(after_in_child=_renew_locks)
