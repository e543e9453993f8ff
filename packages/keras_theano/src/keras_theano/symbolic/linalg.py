"""Decompositions, solvers and norms. They work on the last two axes.

A matrix may have no result because it is singular, not positive definite, NaN or infinite. A recorded step
then returns NaN or raises numpy.linalg.LinAlgError or ValueError, depending on the routine that the tier
uses.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from keras.src import tree
from keras.src.backend.common.dtypes import result_type
from pytensor.graph.basic import Apply
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.linalg.solvers.general import Solve
from pytensor.tensor.variable import TensorVariable

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.symbolic.bounds import checked
from keras_theano.symbolic.math import root
from keras_theano.symbolic.refused_gradient import refused, without_gradient
from keras_theano.tracing.computed import computed
from keras_theano.tracing.custom_gradient import with_gradient
from keras_theano.tracing.loop import gradients_from
from keras_theano.tracing.tensor import Tensor, as_node, cast, common_dtype, traceable

eager = numpy_ops("linalg")


def cholesky(a: Any, upper: bool = False) -> Tensor:
    """The result is NaN where the matrix is not positive definite."""
    return Tensor(pt.linalg.cholesky(_floats(a), lower=not upper))


def cholesky_inverse(a: Any, upper: bool = False) -> Tensor:
    """Return the inverse of the matrix whose Cholesky factor is `a`."""
    node = _floats(a)
    identity = pt.eye(node.shape[-1], dtype=node.type.dtype)
    factor = pt.linalg.solve_triangular(node, identity, lower=not upper)
    return Tensor(pt.matmul(factor, factor.T) if upper else pt.matmul(factor.T, factor))


def det(a: Any) -> Tensor:
    return Tensor(pt.linalg.det(_floats(a)))


def eigh(a: Any) -> tuple[Tensor, Tensor]:
    values, vectors = pt.linalg.eigh(_floats(a), driver="evd")  # the driver that NumPy uses
    return Tensor(values), Tensor(vectors)


def eig(a: Any) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues and the eigenvectors, which are always complex. In eager code they are real if
    all eigenvalues are.

    They have no gradient, because PyTensor has no gradients of complex numbers.
    """
    node = _floats(a)
    dtype = np.result_type(node.type.dtype, "complex64").name
    outputs = [(dtype, node.type.shape[:-1]), (dtype, node.type.shape)]
    values, vectors = computed(_eig, [node], outputs, gradient=refused, op="real")
    return Tensor(values), Tensor(vectors)


def _eig(x: Any, *, op: str) -> Any:
    return tuple(np.linalg.eig(x))


def inv(a: Any) -> Tensor:
    return Tensor(pt.linalg.inv(_floats(a)))


def matrix_power(a: Any, n: int) -> Tensor:
    """Multiply `n` copies of a matrix in log2(n) products. A negative power is one of the inverse."""
    node = as_node(a)
    if n < 0:
        node, n = pt.linalg.inv(_floats(Tensor(node))), -n
    found = None
    while n:
        if n % 2:
            found = node if found is None else pt.matmul(found, node)
        n //= 2
        if n:
            node = pt.matmul(node, node)
    if found is None:
        found = pt.zeros_like(node) + pt.eye(node.shape[-1], dtype=node.type.dtype)
    return Tensor(pt.specify_shape(found, node.type.shape))


def jvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> tuple[Any, ...]:
    """Return what `fun` returns for `primals`, and how it changes if these change in the direction of
    `tangents`.

    fun: takes the tensors in `primals`. With `has_aux`, it returns a pair, whose second part is returned as
        it is.
    primals, tangents: sequences of nested tensors with equal shapes.

    The derivative is the gradient of a gradient, because this one is linear in what it starts from
    (https://j-towns.github.io/2017/06/12/A-new-trick.html).
    """
    given = tree.map_structure(lambda part: Tensor(as_node(part)), list(primals))
    inputs = [part.node for part in tree.flatten(given)]
    directions = [as_node(part) for part in tree.flatten(list(tangents))]
    if [part.type.ndim for part in inputs] != [part.type.ndim for part in directions]:
        raise ValueError("jvp needs primals and tangents of the same structure and the same shapes")
    result = fun(*given)
    outputs, aux = result if has_aux else (result, None)
    nodes = [as_node(part) for part in tree.flatten(outputs)]
    real = [node for node in nodes if node.type.dtype.startswith("float")]
    starts = {node: pt.zeros_like(node) for node in real}
    slopes = gradients_from(list(starts.items()), inputs)
    known = [
        (slope, cast(direction, slope.type.dtype))
        for slope, direction in zip(slopes, directions, strict=True)
        if slope is not None
    ]
    changes = dict(zip(starts, gradients_from(known, list(starts.values())), strict=True))
    moved = [changes.get(node) for node in nodes]
    tangent = tree.pack_sequence_as(
        outputs,
        [
            Tensor(pt.zeros_like(node) if change is None else change)
            for node, change in zip(nodes, moved, strict=True)
        ],
    )
    values = tree.pack_sequence_as(outputs, [Tensor(node) for node in nodes])
    return (values, tangent, aux) if has_aux else (values, tangent)


def lu_factor(a: Any) -> tuple[Tensor, Tensor]:
    """Return the triangular factors in one matrix, and the pivots."""
    node = _floats(a)
    *batch, rows, columns = node.type.shape
    if None in (rows, columns) or rows == columns:
        factors, pivots = pt.linalg.lu_factor(node)
        return Tensor(factors), Tensor(pivots)
    # PyTensor takes the number of pivots for that of the rows.
    outputs = [(node.type.dtype, node.type.shape), ("int32", (*batch, min(rows, columns)))]
    factors, pivots = computed(_lu_factor, [node], outputs, gradient=refused, op="lu_factor")
    return Tensor(factors), Tensor(pivots)


def _lu_factor(x: Any, *, op: str) -> Any:
    return tuple(eager.lu_factor(x))


def qr(x: Any, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    if mode not in ("reduced", "complete"):
        raise ValueError(f"Expected one of {{'reduced', 'complete'}}. Received: mode={mode}")
    q, r = pt.linalg.qr(_floats(x), mode="economic" if mode == "reduced" else "full")
    return Tensor(q), Tensor(r)


class _Solve(Solve):
    """PyTensor's op, but NumPy computes it where it is not compiled.

    PyTensor's own function returns `b` itself when a coefficient is infinite. For a singular matrix it
    returns NaN in the shape of `a` instead of that of `b`. Both were seen in PyTensor 3.0.7 with SciPy 1.17.
    """

    def perform(self, node: Apply, inputs: Sequence[Any], outputs: list[list[Any]]) -> None:  # type: ignore[type-arg]
        a, b = inputs
        try:
            found = np.linalg.solve(a, b)
        except np.linalg.LinAlgError:
            found = np.full(b.shape, np.nan)
        outputs[0][0] = found.astype(node.outputs[0].type.dtype, copy=False)


def solve(a: Any, b: Any) -> Tensor:
    """b: a vector, or matrices.
    The result is NaN where the matrix is singular.
    """
    left, right = _pair(a, b)
    return Tensor(Blockwise(_Solve(b_ndim=1 if right.type.ndim == 1 else 2))(left, right))


def solve_triangular(a: Any, b: Any, lower: bool = False) -> Tensor:
    """b: vectors if `b` has one axis fewer than `a`, otherwise matrices."""
    left, right = _pair(a, b)
    b_ndim = 1 if right.type.ndim == left.type.ndim - 1 else 2
    return Tensor(pt.linalg.solve_triangular(left, right, lower=lower, b_ndim=b_ndim))


def svd(x: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """The gradient is available only with full_matrices=False or compute_uv=False."""
    found = pt.linalg.svd(_floats(x), full_matrices=full_matrices, compute_uv=compute_uv)
    if not compute_uv:
        return Tensor(found)
    return tuple(Tensor(without_gradient(part, "svd") if full_matrices else part) for part in found)


def lstsq(a: Any, b: Any, rcond: float | None = None) -> Tensor:
    """rcond: singular values below this share of the greatest count as 0."""
    left, right = _pair(_narrow(a), _narrow(b))
    return Tensor(pt.matmul(_pinv(left, rcond), right))


def pinv(x: Any, rcond: float | None = None) -> Tensor:
    """rcond: singular values up to this share of the greatest count as 0."""
    return Tensor(_pinv(_floats(_narrow(x)), rcond))


def _pinv(x: TensorVariable, rcond: float | None = None) -> TensorVariable:
    """The pseudoinverse, computed from those singular values that are not 0 apart from rounding.

    Without `rcond`, the limit is the one that NumPy uses for the rank. PyTensor's own op has a limit for 64
    bits, so with 32 bits Numba gave a matrix without full rank a pseudoinverse with entries of ten million.
    """
    left, values, right = pt.linalg.svd(x, full_matrices=False)
    limit = _rounding(x, values)
    if rcond is not None:
        limit = pt.max(values, axis=-1, keepdims=True) * as_node(rcond, values.type.dtype)
    real = values > limit
    one, zero = as_node(1, values.type.dtype), as_node(0, values.type.dtype)
    inverse = pt.switch(real, one / pt.switch(real, values, one), zero)
    # NaN is not greater than the limit either, but it must stay NaN.
    inverse = pt.switch(pt.isnan(values), values, inverse)
    found = pt.matmul(_adjoint(right) * inverse[..., None, :], _adjoint(left))
    if rcond is not None:
        # What is left out is not 0, and the formula below would ignore how it turns what is left.
        return found

    def gradient(upstream: list[Tensor], results: list[Tensor]) -> list[Tensor]:
        # Golub and Pereyra, https://doi.org/10.1137/0710036, equation 4.12. The gradient does not go through
        # the singular vectors, because those of equal singular values have no derivatives. The pseudoinverse
        # has.
        (g,) = [_adjoint(part.node) for part in upstream]
        (result,) = results
        p = _adjoint(result.node)
        rows, columns = pt.eye(x.shape[-2], dtype=p.type.dtype), pt.eye(x.shape[-1], dtype=p.type.dtype)
        inner = -pt.matmul(pt.matmul(p, _adjoint(g)), p)
        left_part = pt.matmul(pt.matmul(rows - pt.matmul(x, result.node), g), pt.matmul(result.node, p))
        right_part = pt.matmul(pt.matmul(p, result.node), pt.matmul(g, columns - pt.matmul(result.node, x)))
        return [Tensor(inner + left_part + right_part)]

    (result,) = with_gradient([Tensor(found)], [Tensor(x)], gradient, of_results=True)
    return as_node(result)


def _adjoint(x: TensorVariable) -> TensorVariable:
    return pt.conj(pt.swapaxes(x, -1, -2))


def _rounding(x: TensorVariable, values: TensorVariable) -> TensorVariable:
    """Singular values up to this one may be 0 apart from rounding. The result has a last axis of size 1."""
    size = cast(pt.maximum(x.shape[-2], x.shape[-1]), values.type.dtype)
    return pt.max(values, axis=-1, keepdims=True) * size * np.finfo(values.type.dtype).eps


def matrix_rank(x: Any, tol: Any = None) -> Tensor:
    node = _floats(_narrow(x))
    if node.type.ndim < 2:
        raise ValueError(f"Expected input to have rank >= 2. Received input with shape {node.type.shape}.")
    values = pt.linalg.svd(node, compute_uv=False)
    # Numba returns NaN for the singular values of NaN. They would count as a rank of 0.
    message = "a matrix that contains NaN or infinity has no rank"
    values = checked(values, ValueError, message, pt.invert(pt.isnan(values)))
    limit = _rounding(node, values) if tol is None else as_node(tol, node.type.dtype)[..., None]
    return Tensor(cast(pt.sum(values > limit, axis=-1), "int32"))


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Compute numpy.linalg.norm. The Euclidean norm has a gradient of 0 at 0."""
    node = _narrow(x).node
    if not node.type.dtype.startswith(("float", "complex")):
        node = cast(node, traceable(result_type(node.type.dtype, "float32")))
    dtype = node.type.dtype
    axes = tuple(range(node.type.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    axes = tuple(n % node.type.ndim for n in axes)
    if ord is None and (axis is None or len(axes) <= 2):
        result = root(pt.sum(pt.sqr(pt.abs(node)), axis=axes, keepdims=True))
    elif len(axes) == 1:
        result = _vector_norm(node, ord, axes[0])
    elif len(axes) == 2 and axes[0] != axes[1]:
        result = _matrix_norm(node, ord, *axes)
    else:
        raise ValueError(f"norm(ord={ord!r}) is defined for vectors and matrices only. Received: axis={axes}")
    return Tensor(cast(result if keepdims else pt.squeeze(result, axis=axes), dtype))


def _vector_norm(x: TensorVariable, ord: Any, axis: int) -> TensorVariable:
    size = pt.abs(x)
    if isinstance(ord, str):
        raise ValueError(f"Invalid norm order {ord!r} for vectors")
    if ord == np.inf:
        return pt.max(size, axis=axis, keepdims=True)
    if ord == -np.inf:
        return pt.min(size, axis=axis, keepdims=True)
    if ord == 0:
        return pt.sum(pt.neq(x, 0), axis=axis, keepdims=True)
    if ord == 1:
        return pt.sum(size, axis=axis, keepdims=True)
    if ord == 2:
        return root(pt.sum(pt.sqr(size), axis=axis, keepdims=True))
    power = as_node(float(ord), x.type.dtype)
    return pt.sum(size**power, axis=axis, keepdims=True) ** (1 / power)


def _matrix_norm(x: TensorVariable, ord: Any, rows: int, columns: int) -> TensorVariable:
    if ord == "fro":
        return root(pt.sum(pt.sqr(pt.abs(x)), axis=(rows, columns), keepdims=True))
    if ord in ("nuc", 2, -2):
        values = pt.linalg.svd(pt.moveaxis(x, (rows, columns), (-2, -1)), compute_uv=False)
        reduce = {"nuc": pt.sum, 2: pt.max, -2: pt.min}[ord]
        return pt.expand_dims(reduce(values, axis=-1), sorted((rows, columns)))
    if ord not in (1, -1, np.inf, -np.inf):
        raise ValueError(f"Invalid norm order {ord!r} for matrices")
    along, across = (rows, columns) if ord in (1, -1) else (columns, rows)
    sums = pt.sum(pt.abs(x), axis=along, keepdims=True)
    return (pt.max if ord > 0 else pt.min)(sums, axis=across, keepdims=True)


def _narrow(x: Any) -> Tensor:
    """Convert `x` as Keras does: 64 bits become 32."""
    return Tensor(as_node(x, common_dtype(x)))


def _floats(x: Any) -> TensorVariable:
    node = as_node(x)
    return node if node.type.dtype.startswith(("float", "complex")) else cast(node, "float64")


def _pair(a: Any, b: Any) -> tuple[TensorVariable, TensorVariable]:
    left, right = _floats(a), _floats(b)
    dtype = str(np.result_type(left.type.dtype, right.type.dtype))
    return cast(left, dtype), cast(right, dtype)
