"""PyTensor's Numba mode, without its copies of transposed matrices, and within the bounds of arrays.

There, a transposed matrix is a view whose layout Numba does not know, and Numba's matrix product first copies
such a view. For a weight matrix that takes longer than the product itself. So a product gets a transposition
whose layout Numba knows, which goes to BLAS as it is.

And where arrays of numbers pick elements of others, PyTensor compiles without a look at the bounds: it reads,
and in a gradient writes, whatever lies there. Its greatest and least of several numbers pass over NaN. Both
are compiled anew here, so that they raise IndexError, and NaN is the greatest and the least, as in NumPy.
"""

from collections.abc import Sequence
from typing import Any

from pytensor.compile.mode import NUMBA
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import dfs_rewriter, node_rewriter
from pytensor.link.numba.dispatch import basic as numba_basic
from pytensor.link.numba.dispatch import elemwise as numba_elemwise
from pytensor.link.numba.dispatch import subtensor as numba_subtensor
from pytensor.link.numba.dispatch.string_codegen import CODE_TOKEN
from pytensor.scalar.basic import Maximum, Minimum
from pytensor.tensor.elemwise import CAReduce, DimShuffle
from pytensor.tensor.math import Dot
from pytensor.tensor.subtensor import AdvancedIncSubtensor, AdvancedIncSubtensor1, AdvancedSubtensor

# Rewrites that move a product into the branches of a switch, where 0 times infinity becomes 0. The
# interpreter rewrites nothing, and says NaN, as NumPy does.
CHANGING_NAN = ("local_mul_switch_sink", "local_div_switch_sink")


class Transposition(Op):
    """The transpose of a matrix, as a view."""

    __props__ = ()
    view_map = {0: [0]}  # noqa: RUF012  # PyTensor's convention

    def make_node(self, x: Variable) -> Apply:  # type: ignore[type-arg]
        return Apply(self, [x], [x.type.clone(shape=x.type.shape[::-1])()])

    def perform(self, node: Apply, inputs: Sequence[Any], outputs: list[list[Any]]) -> None:  # type: ignore[type-arg]
        outputs[0][0] = inputs[0].T


@numba_basic.register_funcify_default_op_cache_key(Transposition)
def _(op: Transposition, node: Apply, **_: Any) -> tuple[Any, int]:  # type: ignore[type-arg]
    @numba_basic.numba_njit
    def transposed(x: Any) -> Any:
        return x.T

    return transposed, 1


@node_rewriter([Dot])
def _with_transpositions(fgraph: FunctionGraph, node: Apply) -> list[Variable] | None:  # type: ignore[type-arg]
    factors = [_known_to_numba(factor) for factor in node.inputs]
    return None if factors == node.inputs else [node.op(*factors)]


def _known_to_numba(factor: Variable) -> Variable:  # type: ignore[type-arg]
    made_by = factor.owner
    if made_by is None or not isinstance(made_by.op, DimShuffle) or made_by.op.new_order != (1, 0):
        return factor
    return Transposition()(made_by.inputs[0])  # type: ignore[no-any-return]


def _within_bounds(picks: Any) -> Any:
    """picks: what PyTensor compiles the op with."""

    def checked(op: Op, node: Apply, **options: Any) -> tuple[Any, str]:  # type: ignore[type-arg]
        function, key = picks(op, node, **options)
        return numba_basic.numba_njit(function.py_func, boundscheck=True), f"{key}, within bounds"

    return checked


def _nan_is_the_greatest(op: Any, idx: str, res: str, arr: str) -> list[Any]:
    """The code that takes one number more into a maximum or minimum."""
    better = "<" if isinstance(op, Maximum) else ">"
    return [
        f"if {res}[{idx}] {better} {arr} or {arr} != {arr}:",
        CODE_TOKEN.INDENT,
        f"{res}[{idx}] = {arr}",
        CODE_TOKEN.DEDENT,
    ]


def _reduction(op: Op, node: Apply, **options: Any) -> tuple[Any, str]:  # type: ignore[type-arg]
    function, key = numba_elemwise.numba_funcify_CAReduce(op, node, **options)
    return function, f"{key}, with NaN"


numba_elemwise.scalar_in_place_fn.register(Maximum)(_nan_is_the_greatest)
numba_elemwise.scalar_in_place_fn.register(Minimum)(_nan_is_the_greatest)
numba_basic.register_funcify_and_cache_key(CAReduce)(_reduction)

for _op, _picks in {
    AdvancedSubtensor: numba_subtensor.numba_funcify_AdvancedSubtensor,
    AdvancedIncSubtensor: numba_subtensor.numba_funcify_AdvancedSubtensor,
    AdvancedIncSubtensor1: numba_subtensor.numba_funcify_AdvancedIncSubtensor1,
}.items():
    numba_basic.register_funcify_and_cache_key(_op)(_within_bounds(_picks))

# After all of PyTensor's own rewrites, which know DimShuffle alone.
COMPILED = NUMBA.excluding(*CHANGING_NAN).register((dfs_rewriter(_with_transpositions), 1000))
