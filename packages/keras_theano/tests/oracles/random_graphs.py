"""Random graphs over the ops that the native tier knows, with random shapes, dtypes and values.

Floats hold small whole numbers, halves, and sometimes NaN and infinities. So sums are exact in any
order, and two tiers must agree to the last bit.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.basic import alloc_diag

from keras_theano.execution.graph import Graph
from keras_theano.execution.interpreter import interpreted
from keras_theano.symbolic import linalg
from keras_theano.tracing.tensor import Tensor

SIZES = (0, 1, 1, 2, 3, 4, 5, 7, 9, 17)
DTYPES = ("float32", "float64", "int32", "int64", "int8", "uint8", "int16", "uint16", "uint32", "bool")
_FLOATS = ("float32", "float64")
_BINARY = (
    pt.add,
    pt.sub,
    pt.mul,
    pt.maximum,
    pt.minimum,
    pt.eq,
    pt.neq,
    pt.lt,
    pt.le,
    pt.gt,
    pt.ge,
    pt.int_div,
    pt.mod,
    pt.true_div,
)
_UNARY = (pt.neg, pt.abs, pt.sqr, pt.sign, pt.floor, pt.ceil, pt.round_half_to_even, pt.trunc)
_REDUCTIONS = (pt.sum, pt.max, pt.min, pt.prod, pt.any, pt.all, pt.argmax)


@dataclass
class Made:
    """A graph and the arrays for one call.

    graph: inputs, outputs and updates.
    arrays: one for each input.
    """

    graph: Graph
    arrays: list[Any]


@dataclass
class _Maker:
    rng: np.random.Generator
    variables: list[Any] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    arrays: list[Any] = field(default_factory=list)

    def pick(self, choices: Any) -> Any:
        return choices[self.rng.integers(len(choices))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def shape(self) -> tuple[int, ...]:
        return tuple([int(self.pick(SIZES)) for _ in range(self.rng.integers(0, 4))])

    def array(self, shape: tuple[int, ...], dtype: str) -> Any:
        return np.asarray(self._numbers(shape, dtype))

    def _numbers(self, shape: tuple[int, ...], dtype: str) -> Any:
        numbers = self.rng.integers(-8, 9, shape)
        if dtype == "bool":
            return numbers > 0
        if dtype not in _FLOATS:
            limits = np.iinfo(dtype)
            extreme = self.rng.choice([limits.min, limits.max, 0], shape)
            many = self.rng.random(shape) < (0.1 if self.chance(0.3) else 0)
            return np.where(many, extreme, numbers).astype(dtype)
        floats = (numbers / 2).astype(dtype)
        if self.chance(0.2):
            unusual = self.rng.choice([np.nan, np.inf, -np.inf, 0.0, 1e9], shape)
            floats = np.where(self.rng.random(shape) < 0.2, unusual, floats).astype(dtype)
        return floats

    def input(self, shape: tuple[int, ...], dtype: str) -> Any:
        static = tuple([size if size == 1 or self.chance(0.5) else None for size in shape])
        variable = pt.tensor(dtype=dtype, shape=static)
        self.inputs.append(variable)
        self.arrays.append(self._laid_out(self.array(shape, dtype)))
        self.variables.append(variable)
        self.shapes[variable] = shape
        return variable

    def _laid_out(self, array: Any) -> Any:
        """Return the array in one of the layouts that users pass in."""
        kind = self.rng.integers(5)
        if kind == 0 and array.ndim:
            return np.repeat(array, 2, axis=0)[::2]
        if kind == 1 and array.ndim:
            return np.asfortranarray(array)
        if kind == 2:
            array.flags.writeable = False
        if kind == 3 and array.ndim:
            return array[::-1].copy()[::-1]
        return array

    shapes: dict[Any, tuple[int, ...]] = field(default_factory=dict)

    def operand(self, shape: tuple[int, ...] | None = None) -> Any:
        """Return a variable, of this shape or one that broadcasts to it."""
        if shape is None:
            return self.pick(self.variables)
        same = [variable for variable in self.variables if self.shapes[variable] == shape]
        if same and self.chance(0.7):
            return self.pick(same)
        own = tuple([1 if self.chance(0.3) else size for size in shape])
        return self.input(own[self.rng.integers(0, len(own) + 1) :] if own else own, self.pick(DTYPES))

    def add(self) -> None:
        """Add one op, or none if it does not take what was picked."""
        make = self.pick(_MAKERS)
        try:
            made = make(self)
        except (TypeError, ValueError, NotImplementedError, IndexError):
            return
        for variable in made if isinstance(made, list) else [made]:
            if variable.type.dtype not in (*DTYPES, "uint64") or variable.type.ndim > 5:
                return
            try:
                shape = self.known_shape(variable)
            except (TypeError, ValueError, IndexError):
                if not self.chance(0.02):
                    return
                shape = (1,) * variable.type.ndim
            if int(np.prod(shape)) > 20_000:
                return
            self.variables.append(variable)
            self.shapes[variable] = shape

    def value(self, variable: Any) -> Any:
        """Return the value that a variable has for these arrays. Raises what the ops raise."""
        return np.asarray(interpreted(Graph(self.inputs, [variable], []))(*self.arrays)[0])

    def known_shape(self, variable: Any) -> tuple[int, ...]:
        """Return the shape that a variable has for these arrays. Raises what the ops raise."""
        if variable not in self.shapes:
            self.shapes[variable] = self.value(variable).shape
        return self.shapes[variable]


def _binary(maker: _Maker) -> Any:
    x = maker.operand()
    op = maker.pick(_BINARY)
    return op(x, maker.operand(maker.shapes[x]))


def _several(maker: _Maker) -> Any:
    x = maker.operand()
    return pt.add(x, maker.operand(maker.shapes[x]), maker.operand(maker.shapes[x]))


def _unary(maker: _Maker) -> Any:
    return maker.pick(_UNARY)(maker.operand())


def _logical(maker: _Maker) -> Any:
    x = maker.operand()
    if x.type.dtype in _FLOATS:
        return maker.pick((pt.isnan, pt.isinf))(x)
    op = maker.pick((pt.and_, pt.or_, pt.xor))
    return pt.invert(x) if maker.chance(0.3) else op(x, maker.operand(maker.shapes[x]))


def _cast(maker: _Maker) -> Any:
    return _as(maker.operand(), maker.pick(DTYPES))


def _as(x: Any, dtype: str) -> Any:
    """Cast, but by way of int64 where NumPy's result depends on how the array lies in memory."""
    by_way = x.type.dtype in _FLOATS and dtype in ("uint32", "uint64")
    return pt.cast(pt.cast(x, "int64") if by_way else x, dtype)


def _switch(maker: _Maker) -> Any:
    x = maker.operand()
    shape = maker.shapes[x]
    return pt.switch(maker.operand(shape), x, maker.operand(shape))


def _clip(maker: _Maker) -> Any:
    x = maker.operand()
    return pt.clip(x, maker.operand(()), maker.operand(()))


def _dimshuffle(maker: _Maker) -> Any:
    x = maker.operand()
    order: list[Any] = list(maker.rng.permutation(x.type.ndim))
    if maker.chance(0.4):
        order.insert(int(maker.rng.integers(len(order) + 1)), "x")
    kept = [axis for axis in order if axis == "x" or x.type.shape[axis] != 1 or maker.chance(0.7)]
    return x.dimshuffle(*[axis if axis == "x" else int(axis) for axis in kept])


def _reshape(maker: _Maker) -> Any:
    x = maker.operand()
    shape = maker.shapes[x]
    size = int(np.prod(shape))
    choices: list[tuple[int, ...]] = [(size,), (1, size), tuple(reversed(shape)), (*shape, 1)]
    if size:
        choices += [(-1,), (shape[0], -1)] if shape else [(-1,)]
    return x.reshape(maker.pick(choices))


def _slice(maker: _Maker, size: int) -> slice:
    first, last = (int(n) for n in maker.rng.integers(-size - 1, size + 2, 2))
    return slice(
        None if maker.chance(0.3) else first,
        None if maker.chance(0.3) else last,
        maker.pick((None, 1, 2, 3, -1, -2)),
    )


def _place(maker: _Maker, shape: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(
        [
            int(maker.rng.integers(-size, size)) if size and maker.chance(0.3) else _slice(maker, size)
            for size in shape[: maker.rng.integers(0, len(shape) + 1)]
        ]
    )


def _subtensor(maker: _Maker) -> Any:
    x = maker.operand()
    return x[_place(maker, maker.shapes[x])]


def _inc_subtensor(maker: _Maker) -> Any:
    x = maker.operand()
    part = x[_place(maker, maker.shapes[x])]
    shape = maker.known_shape(part)
    value = _as(maker.operand(shape), x.type.dtype)
    return pt.set_subtensor(part, value) if maker.chance(0.5) else pt.inc_subtensor(part, value)


def _indices(maker: _Maker, size: int, shape: tuple[int, ...]) -> Any:
    variable = maker.input(shape, maker.pick(("int32", "int64", "int8")))
    low = -size if maker.chance(0.5) else 0
    beyond = 1 if maker.chance(0.05) else 0
    maker.arrays[-1] = maker.rng.integers(low, max(size + beyond, low + 1), shape).astype(variable.type.dtype)
    return variable


def _gather(maker: _Maker) -> Any:
    return _picked(maker)[1]


def _picked(maker: _Maker) -> tuple[Any, Any]:
    x = maker.operand()
    shape = maker.shapes[x]
    axis = int(maker.rng.integers(len(shape)))
    count = int(maker.rng.integers(1, min(2, len(shape) - axis) + 1))
    of = maker.pick(((), (3,), (2, 2), (1,), (0,)))
    places = [_indices(maker, shape[axis + n], of) for n in range(count)]
    return x, x[(*[slice(None)] * axis, *places)]


def _scatter(maker: _Maker) -> Any:
    x, part = _picked(maker)
    shape = maker.known_shape(part)
    # It has the whole shape, because np.add.at reads beyond the end of values that broadcast to several axes
    # of indices.
    value = pt.alloc(_as(maker.operand(shape), x.type.dtype), *shape)
    return pt.set_subtensor(part, value) if maker.chance(0.5) else pt.inc_subtensor(part, value)


def _reduce(maker: _Maker) -> Any:
    x = maker.operand()
    axes = [axis for axis in range(x.type.ndim) if maker.chance(0.5)]
    op = maker.pick(_REDUCTIONS)
    if x.type.dtype in _FLOATS and not _is_exact_in_any_order(op, maker.value(x)):
        raise ValueError("tiers may add and multiply in different orders")
    return op(x, axis=None if maker.chance(0.2) else axes)


def _is_exact_in_any_order(op: Any, values: Any) -> bool:
    """Whether the sum or the product of numbers, or of some of them, needs no rounding in their dtype."""
    if op not in (pt.sum, pt.prod):
        return True
    most = 2.0 ** (np.finfo(values.dtype).nmant - 1)
    # They must be whole numbers, or fractions with this denominator, of which there may be many in a sum.
    whole = values[np.isfinite(values)].astype("float64") * (1024 if op is pt.sum else 2)
    bound = np.abs(whole).sum() if op is pt.sum else np.maximum(np.abs(whole), 1).prod()
    return bool(np.all(whole == np.floor(whole)) and bound < most)


def _accumulate(maker: _Maker) -> Any:
    x = maker.operand()
    return maker.pick((pt.cumsum, pt.cumprod))(x, axis=int(maker.rng.integers(x.type.ndim)))


def _sort(maker: _Maker) -> Any:
    x = maker.operand()
    axis = int(maker.rng.integers(-x.type.ndim, x.type.ndim))
    return maker.pick((pt.sort, pt.argsort))(x, axis=axis, kind=maker.pick((None, "stable")))


def _sort_many(maker: _Maker) -> Any:
    """Sort more elements than the other makers have, so that there are runs to merge."""
    shape = (int(maker.rng.integers(20, 300)), int(maker.pick((1, 2, 3))))
    x = maker.input(shape, maker.pick(DTYPES))
    return [maker.pick((pt.sort, pt.argsort))(x, axis=0)[:3], pt.argsort(x[::-1].T, axis=-1)[:, -2:]]


def _join(maker: _Maker) -> Any:
    x = maker.operand()
    axis = int(maker.rng.integers(x.type.ndim))
    parts = [y for y in maker.variables if y.type.ndim == x.type.ndim][-3:]
    return pt.concatenate([x, *parts], axis=axis)


def _split(maker: _Maker) -> Any:
    x = maker.operand()
    axis = int(maker.rng.integers(x.type.ndim))
    size = maker.shapes[x][axis]
    first = int(maker.rng.integers(size + 1))
    return list(pt.split(x, [first, size - first], 2, axis=axis))


def _dot(maker: _Maker) -> Any:
    dtype = maker.pick(DTYPES if maker.chance(0.5) else _FLOATS)
    rows, inner, columns = (int(maker.pick(SIZES)) for _ in range(3))
    other = _other_factor(maker, dtype)
    a = maker.input((rows, inner), dtype) if maker.chance(0.5) else maker.input((inner, rows), dtype).T
    b = maker.input((inner, columns), other) if maker.chance(0.5) else maker.input((columns, inner), other).T
    _make_exact(maker)
    return pt.dot(a, b)


def _other_factor(maker: _Maker, dtype: str) -> str:
    """Return the dtype of the other factor of a product, which is mostly the same."""
    return dtype if maker.chance(0.8) else maker.pick(DTYPES)


def _make_exact(maker: _Maker) -> None:
    """Make the last two inputs such that their product is exact, if one of them holds floats. Infinities
    times 0, and the order of sums, would differ between libraries. Whole numbers wrap around.
    """
    if not any(variable.type.dtype in _FLOATS for variable in maker.inputs[-2:]):
        return
    for position in (-1, -2):
        array = maker.arrays[position]
        if array.dtype != "bool":
            maker.arrays[position] = np.nan_to_num(array, posinf=1, neginf=1) % array.dtype.type(8)


def _matmul(maker: _Maker) -> Any:
    dtype = maker.pick(DTYPES if maker.chance(0.5) else _FLOATS)
    batch, rows, inner, columns = (int(maker.pick(SIZES)) for _ in range(4))
    a = maker.input((batch, rows, inner), dtype)
    b = maker.input((batch, inner, columns), _other_factor(maker, dtype))
    _make_exact(maker)
    if maker.chance(0.5):
        return pt.matmul(b.transpose(0, 2, 1), a.transpose(0, 2, 1))
    return pt.matmul(a, b)


def _matrices(maker: _Maker, kind: str) -> Any:
    """Return new square matrices for which routines of linear algebra need no rounding.

    kind: triangular: whole numbers, with powers of two in the diagonal. Some are singular.
        positive: triangular matrices times their transpositions. Some are not positive definite.
        permuted: powers of two, one in each row and column. Some are singular.
        symmetric: small whole numbers.
    """
    rng, size = maker.rng, int(maker.pick((1, 2, 3, 5, 8)))
    shape = (*maker.pick(((), (), (1,), (3,))), size, size)
    numbers = rng.integers(-2, 3, shape).astype("float64")
    powers = 2.0 ** rng.integers(-1, 3, shape[:-1])
    if maker.chance(0.1):
        powers.flat[rng.integers(powers.size)] *= 0
    diagonals = powers[..., None] * np.eye(size)
    triangles = np.tril(numbers, -1) + diagonals
    made = {
        "triangular": triangles,
        "positive": triangles @ np.swapaxes(triangles, -1, -2),
        "permuted": diagonals[..., rng.permutation(size), :],
        "symmetric": numbers + np.swapaxes(numbers, -1, -2),
    }[kind]
    if maker.chance(0.1) and kind != "permuted":
        made[..., -1, -1] *= -1
    variable = maker.input(shape, maker.pick(_FLOATS))
    maker.arrays[-1] = maker._laid_out(made.astype(variable.type.dtype))
    return variable


def _decomposition(maker: _Maker) -> Any:
    if maker.chance(0.4):
        return pt.linalg.cholesky(_matrices(maker, "positive"), lower=maker.chance(0.5))
    if maker.chance(0.5):
        return list(pt.linalg.eigh(_matrices(maker, "symmetric"), driver="evd"))
    x = _matrices(maker, "permuted")
    kind = maker.pick(("inv", "det", "qr", "full qr"))
    if kind in ("inv", "det"):
        return getattr(pt.linalg, kind)(x)
    return list(
        pt.linalg.qr(x[..., : int(maker.pick((1, 9))), :], mode="full" if "full" in kind else "economic")
    )


def _solve(maker: _Maker) -> Any:
    a = _matrices(maker, maker.pick(("triangular", "permuted")))
    shape = (*maker.shapes[a][:-1], int(maker.pick(SIZES)))
    b = maker.input(shape, a.type.dtype)
    maker.arrays[-1] = maker._laid_out(maker.rng.integers(-3, 4, shape).astype(a.type.dtype))
    if maker.chance(0.3):
        return linalg.solve(Tensor(a), Tensor(b)).node
    lower = maker.chance(0.5)
    a, b = (a if lower else pt.swapaxes(a, -1, -2)), (b if maker.chance(0.5) else b[..., ::-1])
    return pt.linalg.solve_triangular(a, b, lower=lower, unit_diagonal=maker.chance(0.2), b_ndim=2)


def _diagonal(maker: _Maker) -> Any:
    x, offset = maker.operand(), int(maker.rng.integers(-3, 4))
    axes = maker.rng.permutation(x.type.ndim)[:2].tolist()
    if maker.chance(0.5):
        return pt.diagonal(x, offset, *axes)
    return alloc_diag(x, offset, *[axis if axis else -1 for axis in axes])


def _arange(maker: _Maker) -> Any:
    return pt.arange(int(maker.rng.integers(0, 9)), dtype=maker.pick(("int32", "int64", "float32")))


def _alloc(maker: _Maker) -> Any:
    x = maker.operand()
    return pt.alloc(x, int(maker.pick(SIZES)), *maker.shapes[x])


def _from_shape(maker: _Maker) -> Any:
    x = maker.operand()
    return pt.cast(x.shape[int(maker.rng.integers(x.type.ndim))], "float32") * maker.operand(())


_MAKERS: tuple[Callable[[_Maker], Any], ...] = (
    *[_binary] * 6,
    *[_unary] * 2,
    *[_reduce] * 4,
    *[_dimshuffle] * 2,
    *[_subtensor] * 2,
    *[_cast] * 2,
    _several,
    _logical,
    _switch,
    _clip,
    _reshape,
    _inc_subtensor,
    _gather,
    _scatter,
    _accumulate,
    _sort,
    _sort_many,
    _join,
    _split,
    _dot,
    _matmul,
    _decomposition,
    _solve,
    _diagonal,
    _arange,
    _alloc,
    _from_shape,
)


def random_graph(seed: int, most_ops: int = 12) -> Made:
    """Return a graph with up to `most_ops` ops, and an update of a shared variable now and then."""
    maker = _Maker(np.random.default_rng(seed))
    for _ in range(3):
        maker.input(maker.shape(), maker.pick(DTYPES))
    for _ in range(maker.rng.integers(1, most_ops + 1)):
        maker.add()
    made = [variable for variable in maker.variables if variable.owner is not None]
    outputs = [variable for variable in made if maker.chance(0.4)] or made[-1:] or maker.variables[:1]
    updates = []
    for value in made[-3:]:
        shape = maker.shapes[value]
        fits = all(known in (None, size) for known, size in zip(value.type.shape, shape, strict=True))
        if fits and maker.chance(0.4):
            array = maker.array(shape, value.type.dtype)
            shared = pytensor.shared(array, shape=value.type.shape)
            new = value if maker.chance(0.3) else pt.switch(pt.eq(shared, shared), value, shared)
            updates.append((shared, new.astype(value.type.dtype)))
            if maker.chance(0.5):
                outputs.append(shared.sum() if value.type.ndim else shared)
    return Made(Graph(maker.inputs, outputs, updates), maker.arrays)
