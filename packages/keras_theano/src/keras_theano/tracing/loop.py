"""A loop over a sequence as one node of a graph, so that a long sequence takes no longer to record than a
short one.

The step of the loop is recorded once. Its gradient is a second loop, which runs backwards over the gradient
of the step. That loop needs values that the step computed on the way. So every value that a step computes can
be an output of the first loop. Those outputs that nothing uses cost nothing in the interpreter, which does
not compute them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytensor
import pytensor.tensor as pt
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.op import Op
from pytensor.graph.traversal import io_toposort
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Dot
from pytensor.tensor.type import TensorType

from keras_theano.tracing.subgraphs import edges, rebuilt

# Returns the function of a list of arrays that computes a node with a Loop. The interpreter builds on this
# package, so it cannot be imported here and stores its function in this variable.
interpreted: Callable[["Loop"], Callable[..., Any]] | None = None


class Loop(Op):
    """Runs a step for each element along the first axis of its sequences.

    inputs: the variables that the step is a function of: one for an element of each sequence, one for each
        state, and one for each value that all steps share.
    new_states: the states after the step, with the types of the states.
    stacked: results of which those of all steps are stacked.
    summed: results of which those of all steps are added up.
    sequences: the number of sequences.
    backwards: whether the last element comes first. The results of the first element still come first in the
        stacked outputs.
    condition: whether there is another step, a function of the states and the shared values. A loop without
        sequences needs one. Otherwise there is one step for each element.

    Its inputs are the sequences, the states before the first step, and the shared values. Its outputs are the
    states after the last step, the stacked results and the sums. All sequences must have the same length.
    """

    __props__ = ()

    def __init__(
        self,
        inputs: Sequence[Any],
        new_states: Sequence[Any],
        stacked: Sequence[Any],
        summed: Sequence[Any],
        sequences: int,
        backwards: bool = False,
        condition: Any = None,
    ) -> None:
        self.step_inputs = list(inputs)
        self.new_states, self.stacked, self.summed = list(new_states), list(stacked), list(summed)
        self.sequences, self.states = sequences, len(new_states)
        self.backwards, self.condition = backwards, condition
        self._function: Callable[..., Any] | None = None

    # Two loops are never merged.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def step_outputs(self) -> list[Any]:
        return [*self.new_states, *self.stacked, *self.summed]

    def split(self, of_inputs: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Return the parts that belong to the sequences, the states and the shared values."""
        end = self.sequences + self.states
        return list(of_inputs[: self.sequences]), list(of_inputs[self.sequences : end]), list(of_inputs[end:])

    def make_node(self, *inputs: Any) -> Apply:  # type: ignore[type-arg]
        length = inputs[0].type.shape[0] if self.sequences else None
        outputs = [
            *[state.type() for state in self.split(self.step_inputs)[1]],
            *[TensorType(part.type.dtype, (length, *part.type.shape))() for part in self.stacked],
            *[part.type() for part in self.summed],
        ]
        return Apply(self, list(inputs), outputs)

    def perform(self, node: Apply, inputs: Sequence[Any], outputs: list[list[Any]]) -> None:  # type: ignore[type-arg]
        if self._function is None:
            assert interpreted is not None, "keras_theano.execution.interpreter was not imported"
            self._function = interpreted(self)
        for cell, value in zip(outputs, self._function(*inputs), strict=True):
            cell[0] = value

    def connection_pattern(self, node: Apply) -> list[list[bool]]:  # type: ignore[type-arg]
        return [[_is_real(given) and _is_real(out) for out in node.outputs] for given in node.inputs]

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        of_states = cotangents[: self.states]
        of_stacked = cotangents[self.states : self.states + len(self.stacked)]
        of_summed = cotangents[self.states + len(self.stacked) :]
        elements, states, shared = self.split(self.step_inputs)
        sequences, starts, values = self.split(inputs)

        # The gradients of a step's results: for the stacked ones an element of a sequence, for the states the
        # state of the loop, for the summed ones a value that all steps share.
        new: list[tuple[Any, Any]] = []
        given: list[tuple[Any, Any]] = []
        for result, cotangent in zip(self.stacked, of_stacked, strict=True):
            if _is_real(result) and cotangent.type != disconnected_type:
                given.append((result.type(), cotangent))
                new.append((result, given[-1][0]))
        carried = [n for n, state in enumerate(states) if _is_real(state)]
        carry = [states[n].type() for n in carried]
        new += [(self.new_states[n], symbol) for n, symbol in zip(carried, carry, strict=True)]
        constant: list[tuple[Any, Any]] = []
        for result, cotangent in zip(self.summed, of_summed, strict=True):
            if _is_real(result) and cotangent.type != disconnected_type:
                constant.append((result.type(), cotangent))
                new.append((result, constant[-1][0]))
        real = [part for part in self.step_inputs if _is_real(part)]
        found = dict(zip(real, self._merged(gradients_from(new, real)), strict=True))

        # Values of the first loop that the gradients are computed from.
        kept = dict(zip(elements, sequences, strict=True))
        position = len(self.new_states)
        for n, result in enumerate(self.stacked):
            kept.setdefault(result, outputs[position + n])
        fixed = dict(zip(shared, values, strict=True))

        def of(part: Any) -> Any:
            gradient = found.get(part)
            return pt.zeros_like(part) if gradient is None else gradient

        ends = [cotangent for n, cotangent in enumerate(of_states) if n in carried]
        begin = [
            pt.zeros_like(starts[n]) if end.type == disconnected_type else end
            for n, end in zip(carried, ends, strict=True)
        ]
        backward = loop(
            elements=[*given, *kept.items()],
            states=list(zip(carry, begin, [of(states[n]) for n in carried], strict=True)),
            shared=[*fixed.items(), *constant],
            stacked=[of(part) for part in elements if _is_real(part)],
            summed=[of(part) for part in shared if _is_real(part)],
            backwards=not self.backwards,
        )
        of_starts, of_elements, of_shared = (iter(part) for part in backward)
        gradients = [next(of_elements) if _is_real(part) else disconnected_type() for part in elements]
        gradients += [next(of_starts) if _is_real(part) else disconnected_type() for part in states]
        gradients += [next(of_shared) if _is_real(part) else disconnected_type() for part in shared]
        return gradients

    def _merged(self, gradients: Sequence[Any]) -> list[Any]:
        """Return the gradients of a step, computed from what the step has already computed where this is the
        same. The derivative of a sigmoid, for example, contains the sigmoid.
        """
        known = {}
        for node in io_toposort(self.step_inputs, self.step_outputs):
            known[node.op, tuple(node.inputs)] = node
        new: dict[Any, Any] = {}
        ends = [part for part in gradients if part is not None]
        for node in io_toposort([*self.step_inputs, *self.step_outputs], ends):
            inputs = [new.get(part, part) for part in node.inputs]
            same = known.get((node.op, tuple(inputs))) or node.clone_with_new_inputs(inputs)
            new.update(zip(node.outputs, same.outputs, strict=True))
        return [new.get(part, part) for part in gradients]


def loop(
    elements: Sequence[tuple[Any, Any]],
    states: Sequence[tuple[Any, Any, Any]],
    shared: Sequence[tuple[Any, Any]],
    stacked: Sequence[Any],
    summed: Sequence[Any] = (),
    backwards: bool = False,
    condition: Any = None,
) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the states after the last step of a loop, the stacked results and the sums.

    elements: pairs of the variable for an element, and the sequence.
    states: for each state the variable, its value before the first step, and its new value.
    shared: pairs of the variable for a value that all steps share, and the value.
    stacked, summed: what a step computes from these variables.
    backwards: whether the last element comes first.
    condition: whether there is another step, computed from these variables. If it is None, there is one step
        for each element.

    Variables that no result depends on are left out, but for one sequence, which gives the number of steps.
    """
    ends = [] if condition is None else [condition]
    results = [*[new for _, _, new in states], *stacked, *summed, *ends]
    known = [*[part for part, _ in elements], *[part for part, _, _ in states], *[part for part, _ in shared]]
    fixed = dict(shared)
    order = []
    for node in io_toposort(known, results):
        if all(part in fixed or isinstance(part, Constant) for part in node.inputs):
            # This is the same in every step, so it is computed once before the loop.
            once = node.clone_with_new_inputs([fixed.get(part, part) for part in node.inputs])
            fixed.update(zip(node.outputs, once.outputs, strict=True))
        else:
            order.append(node)
    shared = list(fixed.items())
    read = {*results, *[part for node in order for part in node.inputs]}
    elements = [pair for pair in elements if pair[0] in read] or list(elements[:1])
    shared = [pair for pair in shared if pair[0] in read]
    before = [part for part, _, _ in states]
    inputs = [*[part for part, _ in elements], *before, *[part for part, _ in shared]]
    # What a later gradient may need.
    there = {*stacked, *[part for part, _ in elements], *[part for part, _ in shared]}
    possible = [*before, *[part for node in order for part in node.outputs]]
    kept = [part for part in possible if isinstance(part.type, TensorType) and part not in there]

    # A loop owns its variables, so that the recorded step can be a part of other loops too.
    own = {part: part.type() for part in inputs}
    own_results = rebuilt([*results, *kept], own)
    count, many = len(states), len(stacked)
    new_states, stacks = own_results[:count], own_results[count : count + many]
    going = own_results[len(results) - 1] if ends else None
    sums, more = own_results[count + many : len(results) - len(ends)], own_results[len(results) :]
    own_inputs = [own[part] for part in inputs]
    op = Loop(own_inputs, new_states, [*stacks, *more], sums, len(elements), backwards, going)
    outputs = op(
        *[whole for _, whole in elements],
        *[start for _, start, _ in states],
        *[value for _, value in shared],
        return_list=True,
    )
    end = count + many
    return outputs[:count], outputs[count:end], outputs[end + len(more) :]


def _is_real(variable: Any) -> bool:
    return str(getattr(variable.type, "dtype", "")).startswith("float")


class _End(Op):
    """Returns its input, with the same gradient. As the end of a graph it may have a known gradient, even if
    other ends are computed from its input.
    """

    __props__ = ()

    def make_node(self, x: Variable) -> Apply:  # type: ignore[type-arg]
        return Apply(self, [x], [x.type()])

    def perform(self, node: Apply, inputs: Sequence[Any], outputs: list[list[Any]]) -> None:  # type: ignore[type-arg]
        outputs[0][0] = inputs[0]

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        return list(cotangents)


def gradients_from(known: Sequence[tuple[Any, Any]], wrt: Sequence[Any]) -> list[Any]:
    """Return the gradients with respect to each variable in `wrt`, or None where there is none.

    known: pairs of a result and its gradient.
    """
    ends = {_End()(result): gradient for result, gradient in known if not isinstance(result, Constant)}
    if not ends:
        return [None for _ in wrt]
    return list(
        pytensor.grad(
            None,
            wrt,
            known_grads=ends,
            disconnected_inputs="ignore",
            return_disconnected="none",
        )
    )


# Recording a step


def recorded(
    elements: Sequence[tuple[Any, Any]],
    states: Sequence[tuple[Any, Any, Any]],
    stacked: Sequence[Any],
    since: int,
    backwards: bool = False,
    condition: Any = None,
) -> tuple[list[Any], list[Any]]:
    """Return the states after the last step, and the stacked results, of a step that was just recorded.

    elements: pairs of the variable for an element, and the sequence.
    states: for each state the variable, its value before the first step, and its new value.
    stacked: results of which those of all steps are stacked.
    since: the number of the first variable that belongs to the step.
    backwards, condition: as for `loop`.

    What does not depend on a state is computed for all elements at once, before the loop.
    """
    results = [*[new for _, _, new in states], *stacked, *([] if condition is None else [condition])]
    own = [*[part for part, _ in elements], *[part for part, _, _ in states]]
    outside = [edge for edge in edges(results, since) if edge not in own]
    order = list(io_toposort([*own, *outside], results))
    varying = set(own)
    for node in order:
        if any(part in varying for part in node.inputs):
            varying.update(node.outputs)
    whole: dict[Any, Any] = dict(elements)
    for node in order:
        if node.outputs[0] in varying:
            lifted = _lifted(node, whole, varying)
            if lifted is not None:
                whole[node.outputs[0]] = lifted
    inside = [node for node in order if node.outputs[0] in varying and node.outputs[0] not in whole]
    read = dict.fromkeys([*[part for node in inside for part in node.inputs], *results])
    fixed = [part for part in read if part not in varying and not isinstance(part, Constant)]
    fed = [(part, value) for part, value in whole.items() if part in read]
    last, all_of_them, _ = loop(
        elements=fed or elements[:1],
        states=states,
        shared=[(part, part) for part in fixed],
        stacked=stacked,
        backwards=backwards,
        condition=condition,
    )
    return last, all_of_them


def _lifted(node: Apply, whole: dict[Any, Any], varying: set[Any]) -> Any:  # type: ignore[type-arg]
    """Return what the node computes for all elements at once, or None if it depends on a state or is not of a
    kind for which this is known.

    whole: for a variable of one element, the sequence for all elements.
    varying: the variables that differ between steps.
    """
    if any(part in varying and part not in whole for part in node.inputs):
        return None
    if isinstance(node.op, Elemwise) and len(node.outputs) == 1:
        before = ["x", *range(node.outputs[0].type.ndim)]
        return node.op(*[whole[part] if part in whole else part.dimshuffle(before) for part in node.inputs])
    if isinstance(node.op, DimShuffle):
        moved = [axis if axis == "x" else axis + 1 for axis in node.op.new_order]
        return whole[node.inputs[0]].dimshuffle(0, *moved)
    if isinstance(node.op, Dot):
        x, matrix = node.inputs
        if x in whole and matrix not in whole and x.type.ndim == matrix.type.ndim == 2:
            rows = whole[x]
            product = pt.dot(rows.reshape((-1, rows.shape[2])), matrix)
            shape = [rows.shape[0], rows.shape[1], matrix.shape[1]]
            return pt.specify_shape(product.reshape(shape), (rows.type.shape[0], *node.outputs[0].type.shape))
    return None
