"""PyTensor's Numba mode, without its copies of transposed matrices.

There, a transposed matrix is a view whose layout Numba does not know, and Numba's matrix product first copies
such a view. For a weight matrix that takes longer than the product itself. So a product gets a transposition
whose layout Numba knows, which goes to BLAS as it is.
"""

from collections.abc import Sequence
from typing import Any

from pytensor.compile.mode import NUMBA
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import dfs_rewriter, node_rewriter
from pytensor.link.numba.dispatch import basic as numba_basic
from pytensor.tensor.elemwise import DimShuffle
from pytensor.tensor.math import Dot


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


# After all of PyTensor's own rewrites, which know DimShuffle alone.
COMPILED = NUMBA.register((dfs_rewriter(_with_transpositions), 1000))
