"""PyTensor's Numba mode with changes to speed, bounds checks and NaN.

A transposed matrix is a view whose layout Numba does not know, and Numba's matrix product first copies such a
view. For a weight matrix this takes longer than the product itself. So a product gets a transposition whose
layout Numba knows, which goes to BLAS without a copy.

PyTensor compiles indexing by arrays of numbers without bounds checks. It then reads whatever lies at the
wrong place, and in a gradient it writes there. Here such indexing raises IndexError.

PyTensor's greatest and least element of an axis skip NaN. Here they return NaN, as in NumPy. Some of
PyTensor's rewrites lose NaN. They are left out or replaced, also for the C tier.
"""

from collections.abc import Sequence
from typing import Any

from pytensor.compile.mode import NUMBA, Mode, optdb
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
from pytensor.tensor.rewriting.basic import local_useless_elemwise
from pytensor.tensor.rewriting.math import (
    AlgebraicCanonizer,
    local_add_canonizer,
    local_elemwise_sub_zeros,
    local_mul_canonizer,
    local_useless_elemwise_comparison,
)
from pytensor.tensor.subtensor import AdvancedIncSubtensor, AdvancedIncSubtensor1, AdvancedSubtensor

# These rewrites move a product into the branches of a switch, where 0 times infinity becomes 0. The
# interpreter rewrites nothing, so it returns NaN as NumPy does.
_LOSING_NAN = ("local_mul_switch_sink", "local_div_switch_sink")
# These rewrites replace x - x by 0, x / x by 1 and x == x by True, although x may be NaN. The rewrites below
# take their places and leave such expressions alone.
_CANCELLING = {"sums": local_add_canonizer, "products": local_mul_canonizer}
_COMPARING = (local_useless_elemwise, local_useless_elemwise_comparison, local_elemwise_sub_zeros)


class _WithoutCancelling(AlgebraicCanonizer):
    """PyTensor's rewrite of sums or of products, but it does not cancel equal terms or factors."""

    def simplify_factors(self, num: list[Any], denum: list[Any]) -> tuple[list[Any], list[Any]]:
        return num, denum


def _unless_equal(rewrite: Any) -> Any:
    """Return the rewrite, but limited to nodes whose floating-point inputs all differ."""

    @node_rewriter(rewrite.tracks())
    def unless_equal(fgraph: FunctionGraph, node: Apply) -> Any:  # type: ignore[type-arg]
        floats = [part for part in node.inputs if part.type.dtype.startswith(("float", "complex"))]
        return None if len(set(floats)) < len(floats) else rewrite.transform(fgraph, node)

    return unless_equal


# PyTensor's own modes do not include rewrites with this tag.
_TAG = "keras_theano"
for _name, _rewrite in _CANCELLING.items():
    _parts = (
        _rewrite.main,
        _rewrite.inverse,
        _rewrite.reciprocal,
        _rewrite.calculate,
        _rewrite.use_reciprocal,
    )
    optdb["canonicalize"].register(f"{_TAG}_{_name}", _WithoutCancelling(*_parts), _TAG)
for _rewrite in _COMPARING:
    for _stage in ("canonicalize", "specialize"):
        optdb[_stage].register(f"{_TAG}_{_rewrite.__name__}", _unless_equal(_rewrite), _TAG)


def keeping_nan(mode: Mode) -> Mode:
    """Return the mode without the rewrites that lose NaN where NumPy returns NaN.

    Two differences remain. PyTensor still replaces x * 0 by 0 if the 0 is a constant. And Numba compiles with
    fast math, which may change the order of sums: x - (x + y) becomes -y.
    """
    replaced = [f"local_{name}_canonizer" for name in ("add", "mul")] + [each.__name__ for each in _COMPARING]
    return mode.excluding(*_LOSING_NAN, *replaced).including(_TAG)


class Transposition(Op):
    """Returns the transpose of a matrix as a view."""

    __props__ = ()
    view_map = {0: [0]}  # noqa: RUF012  # this is how PyTensor expects it

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
    """Return the function that compiles the op with bounds checks.

    picks: the function that PyTensor uses to compile the op.
    """

    def checked(op: Op, node: Apply, **options: Any) -> tuple[Any, str]:  # type: ignore[type-arg]
        function, key = picks(op, node, **options)
        return numba_basic.numba_njit(function.py_func, boundscheck=True), f"{key}, within bounds"

    return checked


def _nan_is_the_greatest(op: Any, idx: str, res: str, arr: str) -> list[Any]:
    """Return the code that updates a maximum or minimum with one more number."""
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

# This runs after all of PyTensor's own rewrites, which only know DimShuffle.
COMPILED = keeping_nan(NUMBA).register((dfs_rewriter(_with_transpositions), 1000))
