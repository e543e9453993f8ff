"""A Python function of one batch. It is recorded once for each kind of batch, and then runs compiled."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from keras.src import tree

from keras_theano.execution.collector import paused
from keras_theano.execution.programs import AT_ONCE, LATER, NEVER, Program
from keras_theano.tracing.tensor import UNTRACEABLE_DTYPES, NoValueYet, Tensor, as_node
from keras_theano.tracing.trace import WIDENED, Trace, opened

# The programs of a step together keep at most this many nodes. A node takes about 7 kB, so this is about a
# gigabyte.
KEPT_NODES = 150_000
# A step compiles this many programs when they are recorded. Further kinds of batches, such as sequences of
# ever new lengths, are compiled when they have come often.
COMPILED_AT_ONCE = 8


class Step:
    """A step that records its function when it meets a new kind of batch.

    name: the names of the step and of the model.
    function: takes one batch, which is a nested structure of tuples, lists and dicts with arrays and None.
        The function may assign to Variables.
    record_anew: whether to record the function at every call.
    fixed_batch: whether all batches have the same number of samples.

    The programs of many kinds are kept, but not of arbitrarily many. If one was dropped and its kind of batch
    comes again, the function is recorded again.

    The number of samples may change without a new recording, so `x.shape[0]` is None while the function is
    recorded. It is known, and each number of samples is recorded separately, if all batches have the same, if
    every call is recorded, or if it turns out that the function cannot be recorded otherwise.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[Any], Any],
        record_anew: bool = False,
        fixed_batch: bool = False,
    ) -> None:
        self._name = name
        self._function = function
        self._record_anew = record_anew
        self._sized = fixed_batch or record_anew
        self._recordings = 0
        # The one that was used last comes last.
        self._programs: dict[Any, tuple[Program, Callable[[list[Any]], Any]]] = {}

    def __call__(self, data: Any) -> Any:
        arrays: list[np.ndarray[Any, Any]] = []
        kind = _flatten(data, arrays)
        key = self._key(kind, arrays)
        recording = self._programs.pop(key, None)
        if recording is None or self._record_anew:
            if self._record_anew:
                self._programs.clear()
            # PyTensor keeps with each node where it was made, which nothing here uses.
            with paused(), pytensor.config.change_flags(traceback__limit=0):
                recording = self._recorded(data)
            self._drop_old(recording[0].nodes)
            key = self._key(kind, arrays)  # it may count the samples now
        self._programs[key] = recording
        program, pack = recording
        return pack(program(arrays))

    def _drop_old(self, nodes: int) -> None:
        """Drop the programs that were not used for the longest time, until one with `nodes` nodes has room.
        Batches of ever new shapes would fill the memory otherwise.
        """
        kept = nodes + sum(program.nodes for program, _ in list(self._programs.values()))
        while kept > KEPT_NODES and self._programs:
            program, _ = self._programs.pop(next(iter(self._programs)))
            kept -= program.nodes

    def _key(self, kind: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
        return (kind, *[array.shape[:1] for array in arrays]) if self._sized else kind

    def _recorded(self, data: Any) -> tuple[Program, Callable[[list[Any]], Any]]:
        try:
            return self._record(data)
        except (TypeError, ValueError, NotImplementedError) as failure:
            if self._sized or isinstance(failure, NoValueYet):
                raise
        # Perhaps the function computes with `x.shape[0]`, or needs the number of samples for other reasons.
        self._sized = True
        try:
            return self._record(data)
        except Exception:
            self._sized = False
            raise

    def _record(self, data: Any) -> tuple[Program, Callable[[list[Any]], Any]]:
        inputs: list[Any] = []

        def symbolic(leaf: Any) -> Tensor | None:
            if leaf is None:
                return None
            array = _array(leaf)
            # Only the size of a batch may vary; everything else is fixed when the step is compiled. A batch
            # of one sample broadcasts, and larger batches do not.
            size = array.shape[0] if array.ndim and (self._sized or array.shape[0] == 1) else None
            shape = (size, *array.shape[1:]) if array.ndim else ()
            inputs.append(pt.tensor(dtype=array.dtype.name, shape=shape))
            return Tensor(inputs[-1])

        recorded = Trace()
        with opened(recorded):
            results = self._function(tree.map_structure(symbolic, data))
            leaves = [leaf if leaf is None else as_node(leaf) for leaf in tree.flatten(results)]
            updates = [(variable.shared, as_node(value)) for variable, value in recorded.updates]
        outputs = [leaf for leaf in leaves if leaf is not None]

        def pack(values: list[Any]) -> Any:
            remaining = iter(values)
            return tree.pack_sequence_as(
                results, [None if leaf is None else next(remaining) for leaf in leaves]
            )

        when = AT_ONCE if self._recordings < COMPILED_AT_ONCE else LATER
        self._recordings += 1
        if self._record_anew:
            when = NEVER
        program = Program(self._name, inputs, outputs, updates, when)
        if isinstance(results, Tensor):
            return program, lambda values: values[0]
        if type(results) is dict and all(isinstance(leaf, Tensor) for leaf in results.values()):
            # The keys are sorted because keras.tree sorts the keys of a dict.
            names = sorted(results)
            return program, lambda values: dict(zip(names, values, strict=True))
        return program, pack


def _flatten(data: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    """Return the kind of a batch, for which one recorded program is valid. It consists of the nesting, the
    dtypes and all sizes, but of the batch size only whether it is 1.

    data: the batch.
    arrays: the list to which the arrays of the batch are appended.
    """
    if data is None:
        return None
    if isinstance(data, (tuple, list)):
        return (type(data), *[_flatten(part, arrays) for part in data])
    if isinstance(data, dict):
        return (dict, *[(key, _flatten(data[key], arrays)) for key in sorted(data)])
    array = _array(data)
    arrays.append(array)
    return (array.dtype, array.ndim, array.shape[1:], array.shape[:1] == (1,))


def _array(leaf: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(leaf)
    dtype = _computed_in(array.dtype)
    if dtype is None:
        raise NotImplementedError(
            f"the Theano backend cannot train or predict on a batch of dtype {array.dtype}: {array!r:.80}"
        )
    return array.astype(dtype, copy=False)


@cache
def _computed_in(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """Return the dtype in which a batch of this dtype is computed, or None if there is none."""
    if dtype.name in WIDENED:
        return np.dtype(WIDENED[dtype.name])
    return None if dtype.name in UNTRACEABLE_DTYPES or dtype.kind not in "biufc" else dtype
