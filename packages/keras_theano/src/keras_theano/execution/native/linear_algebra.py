"""The rules for decompositions and solvers, whose code is in `lapack`.

They work on the last two axes. What NumPy computes in the interpreter is computed in float64, as NumPy does
also for float32. The other ops compute in their own dtype, as SciPy does.

Where the interpreter raises an error, the segment is stopped. Where the interpreter's result is NaN, so is
this one.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply
from pytensor.tensor.linalg.decomposition.cholesky import Cholesky
from pytensor.tensor.linalg.decomposition.eigen import Eigh
from pytensor.tensor.linalg.decomposition.lu import LUFactor
from pytensor.tensor.linalg.decomposition.qr import QR
from pytensor.tensor.linalg.decomposition.svd import SVD
from pytensor.tensor.linalg.inverse import MatrixInverse
from pytensor.tensor.linalg.solvers.general import Solve
from pytensor.tensor.linalg.solvers.triangular import SolveTriangular
from pytensor.tensor.linalg.summary import Det

from keras_theano.execution.native.fortran import LETTERS, layout
from keras_theano.execution.native.lapack import scratch_of
from keras_theano.execution.native.lowering import Lowering, of_matrices, rule
from keras_theano.execution.native.work import LinearAlgebra, Sizes, Uncovered, Value, View, contiguous

# Greater sizes and pivots are no exact float32.
_MOST_PIVOTS = 2**24


@rule.register
@of_matrices.register
def _(op: Cholesky, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    (x,), batch = _matrices(node, graph, square=True)
    n = x.shape[-1]
    value = _computed(graph, "cholesky", [x], batch, n * n, lower=bool(op.lower))
    return [_part(value, 0, (n, n), (n, 1))]


@rule.register
@of_matrices.register
def _(op: SolveTriangular, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    (a, b), batch = _system(op, node, graph)
    a = a if layout(a) else graph.shop.dense(a)
    options = {"lower": bool(op.lower), "unit": bool(op.unit_diagonal)}
    return [_solution(op, _computed(graph, "solve_triangular", [a, b], batch, _size(b), **options), b)]


@rule.register
@of_matrices.register
def _(op: Solve, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    # The op of keras_theano has the results of NumPy. PyTensor's own has others for singular matrices.
    if type(op) is Solve or op.assume_a != "gen":
        raise Uncovered(f"{node.op}")
    parts, batch = _system(op, node, graph, wide=True)
    found = _solution(op, _computed(graph, "solve", parts, batch, _size(parts[1])), parts[1])
    return _narrow(graph, node, found)


@rule.register
@of_matrices.register
def _(op: MatrixInverse, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    (x,), batch = _matrices(node, graph, square=True, wide=True)
    n = x.shape[-1]
    found = _part(_computed(graph, "inverse", [x], batch, n * n), 0, (n, n), (1, n))
    return _narrow(graph, node, found)


@rule.register
@of_matrices.register
def _(op: Det, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    parts, batch = _matrices(node, graph, square=True, wide=True)
    return _narrow(graph, node, _part(_computed(graph, "determinant", parts, batch, 1), 0, (), ()))


@rule.register
@of_matrices.register
def _(op: LUFactor, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    (x,), batch = _matrices(node, graph, square=True)
    n = x.shape[-1]
    if n > _MOST_PIVOTS:
        raise Uncovered(f"{node.op}")
    value = _computed(graph, "lu", [x], batch, n * n + n)
    pivots = graph.shop.cast(_part(value, n * n, (n,), (1,)), "int32")
    return [_part(value, 0, (n, n), (1, n)), pivots]


@rule.register
@of_matrices.register
def _(op: QR, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    if op.mode not in ("full", "economic") or op.pivoting:
        raise Uncovered(f"{node.op}")
    (x,), batch = _matrices(node, graph)
    rows, columns = x.shape[-2:]
    own = rows if op.mode == "full" else min(rows, columns)
    value = _computed(graph, "qr", [x], batch, own * (rows + columns), full=op.mode == "full")
    return [
        _part(value, 0, (rows, own), (1, rows)),
        _part(value, rows * own, (own, columns), (columns, 1)),
    ]


@rule.register
@of_matrices.register
def _(op: Eigh, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    if op.driver != "evd" or len(node.inputs) > 1:
        raise Uncovered(f"{node.op}")
    (x,), batch = _matrices(node, graph, square=True)
    n = x.shape[-1]
    value = _computed(graph, "eigh", [x], batch, n * n + n, lower=bool(op.lower))
    return [_part(value, n * n, (n,), (1,)), _part(value, 0, (n, n), (1, n))]


@rule.register
@of_matrices.register
def _(op: SVD, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    (x,), batch = _matrices(node, graph, wide=True)
    rows, columns = x.shape[-2:]
    short = min(rows, columns)
    if not op.compute_uv:
        value = _computed(graph, "svd", [x], batch, short, full=False, vectors=False)
        return _narrow(graph, node, _part(value, 0, (short,), (1,)))
    left, right = (rows, columns) if op.full_matrices else (short, short)
    length = short + rows * left + right * columns
    value = _computed(graph, "svd", [x], batch, length, full=bool(op.full_matrices), vectors=True)
    return _narrow(
        graph,
        node,
        _part(value, short, (rows, left), (1, rows)),
        _part(value, 0, (short,), (1,)),
        _part(value, short + rows * left, (right, columns), (1, right)),
    )


def _matrices(
    node: Apply,  # type: ignore[type-arg]
    graph: Lowering,
    square: bool = False,
    wide: bool = False,
) -> tuple[list[View], Sizes]:
    """Return the inputs of a node, and the shape of the axes before the matrices.

    square: whether the first input must have as many rows as columns.
    wide: whether to convert them to float64.
    """
    parts = [graph.view(part) for part in node.inputs]
    dtype = node.outputs[0].type.dtype
    name = type(getattr(node.op, "core_op", node.op)).__name__
    if dtype not in LETTERS or any(part.dtype != dtype for part in parts):
        raise Uncovered(f"{name} of {parts[0].dtype}")
    if any(0 in part.shape for part in parts):
        raise Uncovered(f"{name} of nothing")
    if square and parts[0].shape[-1] != parts[0].shape[-2]:
        raise Uncovered(f"{name} of other than square matrices")
    return [graph.shop.cast(part, "float64") if wide else part for part in parts], parts[0].shape[:-2]


def _narrow(graph: Lowering, node: Apply, *results: View) -> list[View]:  # type: ignore[type-arg]
    """Convert the results to the dtype of the node's outputs."""
    return [graph.shop.cast(result, node.outputs[0].type.dtype) for result in results]


def _system(
    op: Any,
    node: Apply,  # type: ignore[type-arg]
    graph: Lowering,
    wide: bool = False,
) -> tuple[list[View], Sizes]:
    """Return the matrices and the right sides, which have one column if they are vectors."""
    (a, b), _ = _matrices(node, graph, square=True, wide=wide)
    if op.b_ndim == 1:
        b = View(b.value, b.offset, (*b.shape, 1), (*b.strides, 0))
    if a.shape[-1] != b.shape[-2] or len(a.shape) != len(b.shape):
        raise Uncovered("shapes that do not fit each other")
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    # Only an axis that is known to have size 1 broadcasts.
    for part, variable in zip((a, b), node.inputs, strict=True):
        for size, known, whole in zip(part.shape, variable.type.shape, batch, strict=False):
            if size != whole and known != 1:
                raise Uncovered("shapes that do not fit each other")
    return [part.broadcast_to((*batch, *part.shape[-2:])) for part in (a, b)], batch


def _size(matrices: View) -> int:
    return matrices.shape[-2] * matrices.shape[-1]


def _solution(op: Any, value: Value, right: View) -> View:
    rows, columns = right.shape[-2:]
    return _part(value, 0, (rows,) if op.b_ndim == 1 else (rows, columns), (1, rows)[: op.b_ndim])


def _computed(
    graph: Lowering, name: str, parts: Sequence[View], batch: Sizes, length: int, **options: bool
) -> Value:
    """Return the value of a routine, whose results for one matrix have this length."""
    shape, dtype, given = (*batch, length), parts[0].dtype, tuple(options.items())
    alone = LinearAlgebra(name, given, scratch=0)
    scratch = scratch_of(Value(alone, parts, shape, dtype, 0), alone)
    value = graph.shop.value(LinearAlgebra(name, given, scratch), parts, shape, dtype)
    graph.checks.append(value)  # an error is one even if only the shape of the result is used
    return value


def _part(value: Value, start: int, shape: Sizes, strides: Sizes) -> View:
    """Return the view of one result for all matrices."""
    batch = value.shape[:-1]
    return View(value, start, (*batch, *shape), (*contiguous(value.shape)[:-1], *strides))
