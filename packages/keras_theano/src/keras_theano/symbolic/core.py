"""Control flow, scatter and slices.

A function that is given to `cond`, `scan` or a loop runs once with symbolic arguments, to record what it
computes. So Python's side effects in it happen once. Values that it reads from outside keep their gradients.
"""

import builtins
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytensor.tensor as pt
from keras.src import tree
from keras.src.backend.common import KerasVariable
from pytensor.gradient import disconnected_grad
from pytensor.graph.basic import Variable
from pytensor.graph.replace import vectorize_graph
from pytensor.graph.traversal import io_toposort
from pytensor.tensor.variable import TensorVariable

from keras_theano.symbolic.bounds import checked, within
from keras_theano.symbolic.filling import filled
from keras_theano.symbolic.limits import refusal
from keras_theano.symbolic.loops import looped
from keras_theano.symbolic.math import MAX, MIN, PROD, grouped
from keras_theano.symbolic.sizes import size_of, sizes_of
from keras_theano.tracing import trace
from keras_theano.tracing.computed import Computed
from keras_theano.tracing.conditional import ifelse
from keras_theano.tracing.loop import Loop
from keras_theano.tracing.subgraphs import edges, next_number, rebuilt
from keras_theano.tracing.tensor import (
    Tensor,
    as_node,
    as_nodes,
    cast,
    common_dtype,
    is_traced,
    shape_of,
    sizes,
)

Function = Callable[..., Any]


def _tensor(x: Any) -> TensorVariable:
    """Convert `x` as Keras does: 64 bits become 32."""
    return as_node(x, common_dtype(x))


def convert_to_numpy(x: Any) -> Any:
    """Always raise TypeError, because a traced tensor has no value yet."""
    return Tensor(as_node(x)).numpy()  # type: ignore[operator]


def stop_gradient(variable: Any) -> Tensor:
    return Tensor(disconnected_grad(as_node(variable)))


# Branches


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """Compute both branches, and choose the results of one and the values that it assigned to variables. The
    gradient reaches only the branch that is taken.

    Raises ValueError if the branches return different structures.
    """
    chosen = pt.neq(as_node(pred), 0)
    if chosen.type.ndim:
        raise ValueError(f"cond needs a scalar predicate. Received: shape={chosen.type.shape}")
    outer = _open_trace()
    taken, other = _Branch(outer, true_fn), _Branch(outer, false_fn)
    try:
        tree.assert_same_structure(taken.result, other.result)
    except ValueError as error:
        raise ValueError(f"the branches of cond return different structures: {error}") from error

    results = list(zip(tree.flatten(taken.result), tree.flatten(other.result), strict=True))
    assigned = {id(v): v for v, _ in [*taken.trace.updates, *other.trace.updates]}.values()
    pairs = [_of_one_dtype(*pair) for pair in results if not _is_none(*pair)]
    pairs += [(as_node(taken.trace.read(v)), as_node(other.trace.read(v))) for v in assigned]
    firsts = taken.guarded([first for first, _ in pairs], chosen)
    seconds = other.guarded([second for _, second in pairs], pt.invert(chosen))
    joined = iter([Tensor(_either(chosen, *pair)) for pair in zip(firsts, seconds, strict=True)])

    leaves = [None if _is_none(*pair) else next(joined) for pair in results]
    for variable in assigned:
        outer.write(variable, next(joined))
    return tree.pack_sequence_as(taken.result, leaves)


class _Branch:
    """What one of the functions has recorded.

    result: what the function returned.
    since: the nodes that the function made have this number or a higher one.
    trace: the values that it assigned to variables.
    """

    def __init__(self, outer: trace.Trace, function: Callable[[], Any]) -> None:
        self.since = next_number()
        self.trace = outer.branch()
        with trace.opened(self.trace):
            self.result = function()

    def guarded(self, outputs: list[TensorVariable], taken: TensorVariable) -> list[TensorVariable]:
        """Return the same values. If the branch is not taken, the gradient for everything outside of it is 0,
        even if derivatives inside are infinite. PyTensor's rewrites remove the switches.
        """

        def guard(edge: TensorVariable) -> TensorVariable:
            is_float = str(getattr(edge.type, "dtype", "")).startswith("float")
            return pt.switch(taken, edge, disconnected_grad(edge)) if is_float else edge

        outside = edges(outputs, self.since)
        inside = rebuilt(outputs, {edge: guard(edge) for edge in outside})
        return [old if old in outside else new for old, new in zip(outputs, inside, strict=True)]


def _is_none(a: Any, b: Any) -> bool:
    return a is None and b is None


def _of_one_dtype(a: Any, b: Any) -> tuple[TensorVariable, TensorVariable]:
    if a is None or b is None:
        raise ValueError(f"one branch of cond returns None where the other returns {b if a is None else a!r}")
    first, second = as_node(a), as_node(b)
    if first.type.dtype != second.type.dtype:
        first, second = as_nodes(a, b)
    return first, second


def _either(chosen: TensorVariable, a: TensorVariable, b: TensorVariable) -> TensorVariable:
    """Return `a` where `chosen` is true, otherwise `b`. Both have the same dtype."""
    if a is b:
        return a
    if a.type.ndim != b.type.ndim:
        raise ValueError(f"the branches of cond return different shapes: {a.type.shape} and {b.type.shape}")
    # PyTensor can fuse a switch with the ops around it. But a switch broadcasts, so it needs equal shapes.
    choose = pt.switch if a.type.shape == b.type.shape else ifelse
    return choose(chosen, a, b)


def _open_trace() -> trace.Trace:
    outer = trace.current()
    assert outer is not None
    return outer


def switch(index: Any, branches: Sequence[Function], *operands: Any) -> Any:
    """Compute all branches and choose one. An index that is too small chooses the first, and one that is too
    large chooses the last.
    """
    place = Tensor(as_node(index, "int32"))

    def among(first: int) -> Any:
        if first == len(branches) - 1:
            return branches[first](*operands)
        return cond(
            Tensor(pt.le(place.node, first)), lambda: branches[first](*operands), lambda: among(first + 1)
        )

    return among(0)


# Loops


def scan(
    f: Function, init: Any, xs: Any = None, length: int | None = None, reverse: bool = False, unroll: Any = 1
) -> tuple[Any, Any]:
    """Run `f` for each element in turn.

    f: takes the carry and one element of each array in `xs`, and returns the next carry and an output.
    """
    if not callable(f):
        raise TypeError(f"`f` should be a callable. Received: f={f}")
    if xs is None and length is None:
        raise ValueError("Got no `xs` to scan over and `length` not provided.")
    carried = [_tensor(part) for part in tree.flatten(init)]
    sequences = [_tensor(part) for part in tree.flatten(xs)] if xs is not None else []
    steps = _steps(length if length is not None else size_of(sequences[0], 0))
    given = [_cut(part, steps) for part in sequences] or [pt.arange(steps)]
    nest: list[Any] = []

    def step(elements: list[Tensor], carry: list[Tensor]) -> tuple[list[Any], list[Any]]:
        element = None if xs is None else tree.pack_sequence_as(xs, elements)
        moved, output = f(tree.pack_sequence_as(init, carry), element)
        nest[:] = [[Tensor(pt.zeros_like(part.node)) for part in carry] if output is None else output]
        return tree.flatten(nest[0]), _as_many(moved, carry)

    outputs, last = looped(step, given, carried, reverse)
    stacked = tree.pack_sequence_as(nest[0], [Tensor(part) for part in outputs])
    return tree.pack_sequence_as(init, [Tensor(part) for part in last]), stacked


def _cut(sequence: TensorVariable, steps: Any) -> TensorVariable:
    """Return the first elements of a sequence, as many as there are steps."""
    size = size_of(sequence, 0)
    known = isinstance(steps, int) and isinstance(size, int)
    if steps is size or (known and steps == size):
        return sequence
    message = "an array to scan over has fewer elements than the scan has steps"
    part = checked(sequence, IndexError, message, size >= steps if known else pt.ge(size, steps))[:steps]
    return pt.specify_shape(part, (steps if isinstance(steps, int) else None, *sequence.type.shape[1:]))


def map(f: Function, xs: Any) -> Any:
    return _vectorized(f, xs)


def vectorized_map(function: Function, elements: Any) -> Any:
    return _vectorized(function, list(elements) if isinstance(elements, (list, tuple)) else elements)


def _vectorized(f: Function, xs: Any) -> Any:
    """Record `f` for one element, and compute it for all elements at once, unless it contains a loop."""
    arrays = [as_node(part) for part in tree.flatten(xs)]
    one = [pt.tensor(dtype=part.type.dtype, shape=part.type.shape[1:]) for part in arrays]
    result = _pure(f, tree.pack_sequence_as(xs, [Tensor(part) for part in one]))
    outputs = [as_node(part) for part in tree.flatten(result)]
    if any(isinstance(node.op, (Loop, Computed)) for node in io_toposort(one, outputs)):

        def step(elements: list[Tensor], _: list[Tensor]) -> tuple[list[Any], list[Any]]:
            return tree.flatten(f(tree.pack_sequence_as(xs, elements))), []

        stacks, _ = looped(step, arrays, [])
        return tree.pack_sequence_as(result, [Tensor(part) for part in stacks])
    batched = vectorize_graph(outputs, dict(zip(one, arrays, strict=True)))
    rows = arrays[0].shape[0]
    leaves = [
        # A result that does not depend on the element has no axis of elements yet.
        Tensor(many if many.type.ndim > single.type.ndim else filled(many, [rows, *sizes_of(many)]))
        for single, many in zip(outputs, batched, strict=True)
    ]
    return tree.pack_sequence_as(result, leaves)


def associative_scan(f: Function, elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """Scan in log2(n) calls of `f`, each on almost all elements (https://doi.org/10.1145/7902.7903).

    Raises NotImplementedError if n is not known before the call.
    """
    if not callable(f):
        raise TypeError(f"`f` should be a callable. Received: f={f}")
    # These are combined from the end at which the scan starts.
    parts = [_tensor(part) for part in tree.flatten(elems)]
    lengths = {part.type.shape[axis] for part in parts}
    if len(lengths) > 1:
        raise ValueError(f"Array inputs to associative_scan must have the same length. They have {lengths}")
    (length,) = lengths
    if length is None:
        raise refusal("associative_scan", f"axis={axis}")

    def along(part: TensorVariable, start: int | None, stop: int | None) -> TensorVariable:
        return part[(*[builtins.slice(None)] * (axis % part.type.ndim), builtins.slice(start, stop))]

    def combine(first: list[TensorVariable], second: list[TensorVariable]) -> list[TensorVariable]:
        packed = [tree.pack_sequence_as(elems, [Tensor(part) for part in half]) for half in (first, second)]
        return [as_node(part) for part in tree.flatten(f(*packed))]

    if reverse:
        parts = [pt.flip(part, axis) for part in parts]
    distance = 1
    while distance < length:
        later = combine(
            [along(part, None, -distance) for part in parts], [along(part, distance, None) for part in parts]
        )
        parts = [
            pt.concatenate([along(part, None, distance), sums], axis=axis)
            for part, sums in zip(parts, later, strict=True)
        ]
        distance *= 2
    if reverse:
        parts = [pt.flip(part, axis) for part in parts]
    if length > 1:
        parts = [cast(part, "float64") for part in parts]  # as Keras's NumPy backend does for every dtype
    return tree.pack_sequence_as(elems, [Tensor(part) for part in parts])


def while_loop(cond: Function, body: Function, loop_vars: Any, maximum_iterations: int | None = None) -> Any:
    """Run `body` as long as `cond` holds, at most `maximum_iterations` times. Both take the variables of the
    loop.

    The gradient goes through the steps that were run.
    """
    is_sequence = isinstance(loop_vars, (tuple, list))
    start = tuple(loop_vars) if is_sequence else (loop_vars,)
    carried = [_tensor(part) for part in tree.flatten(start)]
    limited = maximum_iterations is not None

    def packed(carry: list[Tensor]) -> Any:
        return tree.pack_sequence_as(start, carry[: len(carried)])

    def going(carry: list[Tensor]) -> Tensor:
        more = pt.neq(as_node(cond(*packed(carry))), 0)
        if limited:
            more = pt.and_(more, pt.lt(carry[-1].node, as_node(maximum_iterations, "int64")))
        return Tensor(more)

    def step(_: list[Tensor], carry: list[Tensor]) -> tuple[list[Any], list[Any]]:
        found = body(*packed(carry))
        moved = _as_many(tuple(found) if isinstance(found, (list, tuple)) else (found,), carried)
        return [], [*moved, *[Tensor(part.node + 1) for part in carry[len(carried) :]]]

    counter = [as_node(0, "int64")] if limited else []
    _, last = looped(step, [], [*carried, *counter], condition=going)
    found = packed([Tensor(part) for part in last])
    return found if is_sequence else found[0]


# A loop of more steps than this is recorded as one node. The graph would grow with each step otherwise.
_UNROLLED_STEPS = 8


def fori_loop(lower: Any, upper: Any, body_fun: Function, init_val: Any) -> Any:
    """Call `body_fun` with each number from `lower` to `upper` - 1 and the last value.

    If the bounds are numbers, the first call gets a Python number, and so do all calls of a short loop.
    """
    value, first = init_val, lower
    if not is_traced((lower, upper)):
        unrolled = 1 if int(upper) - int(lower) > _UNROLLED_STEPS else _UNROLLED_STEPS
        first = min(int(lower) + unrolled, max(int(lower), int(upper)))
        for index in range(int(lower), first):
            value = body_fun(index, value)
        if first >= int(upper):
            return value
    carried = [as_node(part) for part in tree.flatten(value)]

    def step(elements: list[Tensor], carry: list[Tensor]) -> tuple[list[Any], list[Any]]:
        return [], _as_many(body_fun(elements[0], tree.pack_sequence_as(value, carry)), carry)

    begin, end = (as_node(bound, "int32") for bound in (first, upper))
    indices = pt.arange(begin, pt.maximum(begin, end), dtype="int32")
    _, last = looped(step, [indices], carried)
    return tree.pack_sequence_as(value, [Tensor(part) for part in last])


def _steps(steps: Any) -> Any:
    return (
        as_node(steps, "int64") if is_traced(steps) else steps if isinstance(steps, Variable) else int(steps)
    )


def _as_many(result: Any, carry: Sequence[Any]) -> list[Any]:
    """Return the results of a step as a list, which must be as long as its carry."""
    flat = list(tree.flatten(result))
    if len(flat) != len(carry):
        raise ValueError(f"a step of the loop takes {len(carry)} values and returns {len(flat)}")
    return flat


def _pure(function: Function, *args: Any) -> Any:
    """Call the function, and raise NotImplementedError if it assigns to a variable."""
    inner = _open_trace().branch()
    with trace.opened(inner):
        result = function(*args)
    if inner.updates:
        raise refusal("map", ", ".join(str(variable.path) for variable, _ in inner.updates))
    return result


# Parts of arrays


def scatter(indices: Any, values: Any, shape: Any) -> Tensor:
    """Return zeros to which the values are added at the given places.

    indices: shape (..., number of indexed axes).
    values: shape (..., the other axes).
    """
    node = _tensor(values)
    zeros = filled(as_node(0, node.type.dtype), sizes(shape))
    return Tensor(pt.inc_subtensor(zeros[_places(as_node(indices))], node))


def scatter_update(inputs: Any, indices: Any, updates: Any, reduction: str | None = None) -> Tensor:
    """Return `inputs` with updates.

    indices: shape (number of updates, number of indexed axes).

    If several updates have the same place and there is no reduction, the last one wins.
    """
    node = as_node(inputs)
    new, where = as_node(updates, node.type.dtype), as_node(indices)
    places = _places(where)
    if reduction == "add":
        return Tensor(pt.inc_subtensor(node[places], new))
    before, after = [node.shape[n] for n in range(len(places))], sizes_of(node)[len(places) :]
    new = filled(new, [size_of(where, 0), *after])
    # For each place, compute the number of its row among the elements that the indices do not select.
    row = pt.zeros_like(places[0])
    for index, length in zip(places, before, strict=True):
        index = within(index, length, "an index of scatter_update lies outside of the array")
        row = row * length + pt.switch(index < 0, index + length, index)
    if reduction is None:
        stays = _is_last_of_its_kind(row)[(..., *[None] * len(after))]
        return Tensor(pt.set_subtensor(node[places], pt.switch(stays, new, disconnected_grad(new))))
    if reduction not in ("max", "min", "mul"):
        raise ValueError(f"Unsupported reduction: {reduction}")
    kind = {"max": MAX, "min": MIN, "mul": PROD}[reduction]
    rows = pt.prod(pt.stack(before))
    found = kind.combine(node.reshape((rows, *after)), grouped(new, row, rows, kind))
    return Tensor(pt.specify_shape(found.reshape([*before, *after]), node.type.shape))


def _is_last_of_its_kind(numbers: TensorVariable) -> TensorVariable:
    """Return False for each number that occurs again later, otherwise True.

    numbers: shape (n,).
    Returns bool of shape (n,).
    """
    order = pt.argsort(numbers, kind="mergesort")  # equal numbers keep their order
    ordered = numbers[order]
    last = pt.concatenate([pt.neq(ordered[1:], ordered[:-1]), pt.ones((1,), dtype="bool")])
    return last[pt.argsort(order)]


def _places(indices: TensorVariable) -> tuple[TensorVariable, ...]:
    axes = indices.type.shape[-1]
    if axes is None:
        raise ValueError(
            "the size of the last axis of the indices must be known, because it is the number of indexed axes"
        )
    return tuple(indices[..., n] for n in range(axes))


def slice(inputs: Any, start_indices: Any, shape: Any) -> Tensor:
    node, lengths = as_node(inputs), sizes(shape)
    starts = _starts(start_indices, len(lengths))
    if len(starts) != len(lengths):
        raise ValueError(
            "Length of `start_indices` must match length of `shape`. "
            f"Received: start_indices={start_indices}, shape={shape}"
        )
    part = node[_window(node, starts, lengths)]
    known = [length if isinstance(length, int) else None for length in lengths]
    return Tensor(pt.specify_shape(part, [*known, *part.type.shape[len(known) :]]))


def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Tensor:
    node = as_node(inputs)
    new = as_node(updates, node.type.dtype)
    window = _window(node, _starts(start_indices, new.type.ndim), sizes(shape_of(Tensor(new))))
    return Tensor(pt.set_subtensor(node[window], new))


def _starts(indices: Any, axes: int) -> list[Any]:
    if isinstance(indices, (Tensor, KerasVariable)):
        node = as_node(indices, "int64")
        return [node[n] for n in range(axes)]
    return sizes([index if is_traced(index) else int(index) for index in indices])


_OUTSIDE = "a slice lies outside of the array: start_indices and the shape must fit in it"


def _window(
    node: TensorVariable, starts: Iterable[Any], lengths: Iterable[Any]
) -> tuple[builtins.slice, ...]:
    window = []
    for axis, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        # Do not count from the end as Python does: the end of such a window may be 0.
        size = size_of(node, axis)
        if isinstance(start, int):
            first = start + size if start < 0 else start
        else:
            first = pt.switch(pt.lt(start, 0), start + size, start)
        if all(isinstance(number, int) for number in (first, length, size)):
            if first < 0 or first + length > size:
                raise IndexError(_OUTSIDE)
        else:
            first = pt.as_tensor(first, dtype="int64") if isinstance(first, int) else cast(first, "int64")
            first = checked(first, IndexError, _OUTSIDE, pt.ge(first, 0), pt.le(first + length, size))
        window.append(builtins.slice(first, first + length))
    return tuple(window)


def unstack(x: Any, num: int | None = None, axis: int = 0) -> list[Tensor]:
    node = pt.moveaxis(as_node(x), axis, 0)
    size = num if node.type.shape[0] is None else node.type.shape[0]
    if size is None:
        raise ValueError(f"unstack needs `num`: the size of axis {axis} is not known before the call")
    return [Tensor(node[n]) for n in range(size)]
