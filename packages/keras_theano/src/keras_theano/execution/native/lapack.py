"""The code of decompositions and solvers: calls of LAPACK for one matrix after the other.

LAPACK counts in columns. So each matrix is copied in this order, to the value or to the scratch memory behind
it, where LAPACK works on it. A routine writes all its results into one value, one after the other.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from scipy.linalg import lapack

from keras_theano.execution.native.code import FAILURE, SUCCESS, Code, Loop, Nest, literal, llvm_type, offset
from keras_theano.execution.native.fortran import LETTERS, call, constant, layout
from keras_theano.execution.native.work import ALIGNMENT, LinearAlgebra, Value, View, contiguous


def emit(code: Code, value: Value, work: LinearAlgebra, pointers: Sequence[str]) -> None:
    """Add the body of the function that computes a value. It returns whether it has succeeded."""
    _Matrices(code, value, pointers).run(work)


def scratch_of(value: Value, work: LinearAlgebra) -> int:
    """Return how many bytes of scratch memory the code needs."""
    matrices = _Matrices(Code(), value, [f"%p{n}" for n in range(len(value.parts) + 1)])
    matrices.run(work)
    return matrices.used


class _Matrices:
    """Loops over matrices, and what a routine needs in them.

    results: the address of the results for the present matrix.
    used: the number of bytes of scratch memory that have been given out.
    """

    def __init__(self, code: Code, value: Value, pointers: Sequence[str]) -> None:
        self.code = code
        self.dtype = value.dtype
        self.kind = llvm_type(value.dtype)
        self.letter = LETTERS[value.dtype]
        self.parts = value.parts
        self.used = 0
        self._value = value
        *self._sources, self._target = pointers

    def run(self, work: LinearAlgebra) -> None:
        code, batch = self.code, self._value.shape[:-1]
        self._scratch = code.new(f"getelementptr i8, ptr {self._target}, i64 {self._value.scratch_start}")
        self.info = self.whole_numbers(1)
        nest = Nest(code, batch)
        place = nest.offset(0, contiguous(self._value.shape)[:-1])
        self.results = code.place(self._target, place, self.dtype)
        self.addresses = [
            code.place(source, nest.offset(0, part.strides[: len(batch)]), part.dtype)
            for source, part in zip(self._sources, self.parts, strict=True)
        ]
        ROUTINES[work.name](self, **dict(work.options))
        nest.end()
        code.line(SUCCESS)

    # Memory

    def _room(self, count: int) -> str:
        start = self.used
        self.used += -(-count // ALIGNMENT) * ALIGNMENT
        return self.code.new(f"getelementptr i8, ptr {self._scratch}, i64 {start}")

    def numbers(self, count: int) -> str:
        """Return the address of scratch memory for numbers of the value's dtype."""
        return self._room(count * np.dtype(self.dtype).itemsize)

    def whole_numbers(self, count: int) -> str:
        return self._room(count * 4)

    # Arguments of LAPACK

    def letter_of(self, text: str) -> str:
        return constant(self.code, "i8", ord(text))

    def size(self, number: int) -> str:
        return constant(self.code, "i32", number)

    def call(self, name: str, *arguments: str) -> str:
        """Call a routine, whose last argument is the report, and return whether it has failed."""
        call(self.code, f"{self.letter}{name}", [*arguments, self.info])
        found = self.code.new(f"load i32, ptr {self.info}")
        return self.code.new(f"icmp ne i32 {found}, 0")

    # Loops

    def copy(self, number: int, target: str) -> None:
        """Copy the present matrix of a part, in columns. A vector is a column."""
        (down, right), (rows, columns) = _steps(self.parts[number]), _sides(self.parts[number])
        self.each(
            columns,
            rows,
            lambda column, row: self.code.load(
                self.addresses[number], offset(self.code, 0, (row, column), (down, right)), self.dtype
            ),
            target,
            (rows, 1),
        )

    def each(
        self,
        outer: int,
        inner: int,
        number: Callable[[str, str], str],
        target: str,
        strides: tuple[int, int],
    ) -> None:
        """Write a number for each pair of indices."""
        if not outer or not inner:
            return
        nest = Nest(self.code, (outer, inner))
        found = number(*nest.indices)
        self.code.store(found, target, nest.offset(0, strides), self.dtype)
        nest.end()

    def nan_if(self, failed: str, array: str, count: int) -> None:
        """Let all numbers of an array be NaN if a routine has failed."""
        nan = literal(np.nan, self.dtype)

        def number(_: str, place: str) -> str:
            found = self.code.load(array, place, self.dtype)
            return self.code.new(f"select i1 {failed}, {self.kind} {nan}, {self.kind} {found}")

        self.each(1, count, number, array, (0, 1))

    def stop_if(self, failed: str) -> None:
        """End the function. The interpreter raises the error."""
        number = self.code.number()
        self.code.branch(failed, f"failed{number}", f"passed{number}")
        self.code.block(f"failed{number}")
        self.code.line(FAILURE)
        self.code.block(f"passed{number}")

    def triangle(self, source: str, step: int, shape: tuple[int, int], target: str, lower: bool) -> None:
        """Copy a triangle of a matrix in columns to one of this shape in rows, with 0 in the other half.

        step: the distance between the columns of the source.
        """
        word = "ule" if lower else "uge"

        def number(row: str, column: str) -> str:
            found = self.code.load(source, offset(self.code, 0, (row, column), (1, step)), self.dtype)
            inside = self.code.new(f"icmp {word} i64 {column}, {row}")
            zero = literal(0, self.dtype)
            return self.code.new(f"select i1 {inside}, {self.kind} {found}, {self.kind} {zero}")

        self.each(*shape, number, target, (shape[1], 1))

    def behind(self, count: int) -> str:
        """Return the address of the results after the first `count` numbers."""
        return self.code.place(self.results, str(count), self.dtype)


def _sides(part: View) -> tuple[int, int]:
    """Return the numbers of rows and columns."""
    rows, columns = part.shape[-2:]
    return rows, columns


def _steps(part: View) -> tuple[int, int]:
    down, right = part.strides[-2:]
    return down, right


# The routines. Each takes matrices of shape (rows, columns) in the last two axes of the parts.


def _cholesky(m: _Matrices, lower: bool) -> None:
    """The results are the factor, in rows."""
    n, _ = _sides(m.parts[0])
    factor = m.numbers(n * n)
    m.copy(0, factor)
    failed = m.call("potrf", m.letter_of("L" if lower else "U"), m.size(n), factor, m.size(n))
    m.triangle(factor, n, (n, n), m.results, lower)
    m.nan_if(failed, m.results, n * n)


def _solve_triangular(m: _Matrices, lower: bool, unit: bool) -> None:
    """The results are the solutions, in columns. BLAS must be able to find the elements of the first part."""
    n, columns = _sides(m.parts[1])
    turned, step = layout(m.parts[0]) or (False, 0)
    m.copy(1, m.results)
    # The rows of a matrix are the columns of its transposition.
    side = "L" if lower == turned else "U"
    letters = [m.letter_of(letter) for letter in (side, "N" if turned else "T", "U" if unit else "N")]
    sizes = [m.size(n), m.size(columns)]
    failed = m.call("trtrs", *letters, *sizes, m.addresses[0], m.size(step), m.results, m.size(n))
    m.nan_if(failed, m.results, n * columns)


def _solve(m: _Matrices) -> None:
    """The results are the solutions, in columns."""
    n, columns = _sides(m.parts[1])
    factors, pivots = m.numbers(n * n), m.whole_numbers(n)
    m.copy(0, factors)
    m.copy(1, m.results)
    failed = m.call("gesv", m.size(n), m.size(columns), factors, m.size(n), pivots, m.results, m.size(n))
    m.nan_if(failed, m.results, n * columns)


def _inverse(m: _Matrices) -> None:
    """The results are the inverse, in columns."""
    n, _ = _sides(m.parts[0])
    factors, pivots = m.numbers(n * n), m.whole_numbers(n)
    m.copy(0, factors)
    one, zero = literal(1, m.dtype), literal(0, m.dtype)

    def identity(column: str, row: str) -> str:
        same = m.code.new(f"icmp eq i64 {column}, {row}")
        return m.code.new(f"select i1 {same}, {m.kind} {one}, {m.kind} {zero}")

    m.each(n, n, identity, m.results, (n, 1))
    m.stop_if(m.call("gesv", m.size(n), m.size(n), factors, m.size(n), pivots, m.results, m.size(n)))


def _determinant(m: _Matrices) -> None:
    """The result is computed as in NumPy: exp of the sum of the logarithms of the factors, with the sign."""
    n, _ = _sides(m.parts[0])
    factors, pivots = m.numbers(n * n), m.whole_numbers(n)
    m.copy(0, factors)
    code, kind = m.code, m.kind
    failed = m.call("getrf", m.size(n), m.size(n), factors, m.size(n), pivots)
    loop = Loop(code, n, [("i1", "false"), (kind, literal(0, m.dtype))])
    negative, total = loop.values
    number = code.load(factors, code.new(f"mul nsw i64 {loop.index}, {n + 1}"), m.dtype)
    below = code.new(f"fcmp olt {kind} {number}, {literal(0, m.dtype)}")
    pivot = code.new(f"sext i32 {code.load(pivots, loop.index, 'int32')} to i64")
    moved = code.new(f"icmp ne i64 {pivot}, {code.new(f'add i64 {loop.index}, 1')}")
    negative = code.new(f"xor i1 {negative}, {code.new(f'xor i1 {below}, {moved}')}")
    size = code.intrinsic("fabs", [number], m.dtype)
    total = code.new(f"fadd {kind} {total}, {code.library('log', [size], m.dtype)}")
    loop.end(negative, total)
    size = code.library("exp", [loop.last[1]], m.dtype)
    signed = code.new(f"select i1 {loop.last[0]}, {kind} {code.new(f'fneg {kind} {size}')}, {kind} {size}")
    found = code.new(f"select i1 {failed}, {kind} {literal(0, m.dtype)}, {kind} {signed}")
    code.store(found, m.results, "0", m.dtype)


def _lu(m: _Matrices) -> None:
    """The results are the triangular factors in one matrix, in columns, and the pivots, counted from 0."""
    n, _ = _sides(m.parts[0])
    pivots = m.whole_numbers(n)
    m.copy(0, m.results)
    failed = m.call("getrf", m.size(n), m.size(n), m.results, m.size(n), pivots)
    m.nan_if(failed, m.results, n * n)

    def pivot(_: str, place: str) -> str:
        counted = m.code.new(f"sub i32 {m.code.load(pivots, place, 'int32')}, 1")
        return m.code.new(f"sitofp i32 {counted} to {m.kind}")

    m.each(1, n, pivot, m.behind(n * n), (0, 1))


def _qr(m: _Matrices, full: bool) -> None:
    """The results are Q, in columns, and R, in rows."""
    rows, columns = _sides(m.parts[0])
    short = min(rows, columns)
    own_columns = rows if full else short
    a = m.numbers(rows * max(columns, own_columns))
    factors = m.numbers(short)
    m.copy(0, a)
    works = [_work("geqrf", m.dtype, rows, columns), _work("orgqr", m.dtype, rows, own_columns, short)]
    work = m.numbers(max(works))
    sizes = [m.size(rows), m.size(columns)]
    m.call("geqrf", *sizes, a, m.size(rows), factors, work, m.size(works[0]))
    m.triangle(a, rows, (own_columns, columns), m.behind(rows * own_columns), lower=False)
    sizes = [m.size(rows), m.size(own_columns), m.size(short)]
    m.call("orgqr", *sizes, a, m.size(rows), factors, work, m.size(works[1]))
    m.each(1, rows * own_columns, lambda _, place: m.code.load(a, place, m.dtype), m.results, (0, 1))


def _eigh(m: _Matrices, lower: bool) -> None:
    """The results are the vectors, in columns, and the values."""
    n, _ = _sides(m.parts[0])
    m.copy(0, m.results)
    code = m.code
    finite = Loop(code, n * n)
    size = code.intrinsic("fabs", [code.load(m.results, finite.index, m.dtype)], m.dtype)
    m.stop_if(code.new(f"fcmp une {m.kind} {code.new(f'fsub {m.kind} {size}, {size}')}, 0.0"))
    finite.end()
    count, whole = _work("syevd", m.dtype, n, 1, int(lower))
    letters = [m.letter_of("V"), m.letter_of("L" if lower else "U")]
    work = [m.numbers(count), m.size(count), m.whole_numbers(whole), m.size(whole)]
    m.stop_if(m.call("syevd", *letters, m.size(n), m.results, m.size(n), m.behind(n * n), *work))


def _svd(m: _Matrices, full: bool, vectors: bool) -> None:
    """The results are the singular values, and with `vectors` U and the adjoint of V, in columns."""
    rows, columns = _sides(m.parts[0])
    short = min(rows, columns)
    a = m.numbers(rows * columns)
    m.copy(0, a)
    left, right = (rows, columns) if full else (short, short)
    u, v = (m.behind(short), m.behind(short + rows * left)) if vectors else (a, a)
    count = _work("gesdd", m.dtype, rows, columns, int(vectors), int(full))
    given = [m.letter_of("N" if not vectors else "A" if full else "S"), m.size(rows), m.size(columns)]
    given += [a, m.size(rows), m.results, u, m.size(rows), v, m.size(right if vectors else columns)]
    given += [m.numbers(count), m.size(count), m.whole_numbers(8 * short)]
    m.stop_if(m.call("gesdd", *given))


ROUTINES: dict[str, Callable[..., None]] = {
    "cholesky": _cholesky,
    "solve_triangular": _solve_triangular,
    "solve": _solve,
    "inverse": _inverse,
    "determinant": _determinant,
    "lu": _lu,
    "qr": _qr,
    "eigh": _eigh,
    "svd": _svd,
}


@cache
def _work(name: str, dtype: str, *sizes: int) -> Any:
    """Return the sizes of the arrays that a routine asks for as scratch memory."""
    letter = LETTERS[dtype]
    if name == "orgqr":  # SciPy has no function that asks
        rows, columns, short = sizes
        q, factors = np.zeros((rows, columns), dtype, order="F"), np.zeros(short, dtype)
        asked = getattr(lapack, f"{letter}orgqr")(q, factors, lwork=-1)[1:-1]
    else:
        asked = getattr(lapack, f"{letter}{name}_lwork")(*sizes)[:-1]
    # LAPACK returns the size as a float, which may have been rounded down.
    found = [int(np.nextafter(number, np.inf, dtype=dtype)) + 1 for number in np.ravel(asked[0])[:1]]
    found += [int(number) for number in asked[1:]]
    return found if len(found) > 1 else found[0]
