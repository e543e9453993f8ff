"""What a segment computes: values, views of them, and the kinds of work that compute them.

All sizes are numbers. A transposition, a slice or a broadcast is only another view and costs nothing.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from keras_theano.execution.native.conversions import convertible

DTYPES = frozenset(
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"],
)

# Each place in memory begins at a multiple of this number of bytes, which is the size of a line of the cache.
ALIGNMENT = 64

Sizes = tuple[int, ...]


class Uncovered(Exception):
    """The native tier has no rule for something. It is left to the interpreter."""


@dataclass(frozen=True)
class Given:
    """An array that exists before the segment runs. It is C contiguous.

    number: its place among the arrays that are given.
    """

    number: int


@dataclass(frozen=True, eq=False)
class Fixed:
    """A constant.

    array: it is C contiguous.
    """

    array: np.ndarray[Any, Any]


@dataclass(frozen=True)
class Elementwise:
    """One operation on each element of the parts, which all have the shape of the value.

    name: a name in scalar_code.OPERATIONS.
    """

    name: str


@dataclass(frozen=True)
class Counting:
    """The numbers start, start + step, and so on, in the order of the elements. It has no parts."""

    start: int
    step: int


@dataclass(frozen=True)
class Reduction:
    """Combines the elements of one part along axes, which the value does not have.

    name: add, multiply, maximum, minimum, bitwise_and, bitwise_or or bitwise_xor.
    axes: axes of the part, in ascending order.
    accumulator: the dtype in which the elements are combined.
    """

    name: str
    axes: tuple[int, ...]
    accumulator: str


@dataclass(frozen=True)
class Product:
    """The matrix products of two parts along their last two axes. The axes before them broadcast."""


@dataclass(frozen=True)
class WholeProduct:
    """The matrix products of two parts of whole numbers or bools. Otherwise it is a Product."""


@dataclass(frozen=True)
class Accumulation:
    """The running sums or products of the elements of one part along an axis.

    name: add or multiply.
    axis: of the part, which has the shape of the value.
    """

    name: str
    axis: int


@dataclass(frozen=True)
class Sort:
    """The elements of one part in ascending order along its last axis. Equal ones keep their order. NaN comes
    last.

    places: whether the value holds the former places of the elements, as int64, and not the elements.
    scratch: as in Value.
    """

    places: bool
    scratch: int


@dataclass(frozen=True)
class LastPlaces:
    """The former places of the last elements of a Sort of one part, as int64.

    scratch: as in Value.
    """

    scratch: int


@dataclass(frozen=True)
class Assembly:
    """Copies its first part, and then writes each further part to a place in the copy.

    places: for each further part the offset of its place and the strides, in elements.
    add: whether a part is added to what is there, or replaces it.
    complete: whether the further parts fill everything. Then there is no first part to copy.
    """

    places: tuple[tuple[int, tuple[int, ...]], ...]
    add: bool
    complete: bool = False


@dataclass(frozen=True)
class Gather:
    """Picks elements of the first part by indices.

    The first part has shape (outer, *sizes, inner), and each further part is an index into one of the sizes.
    The indices have the same shape. The value has shape (outer, *that shape, inner).
    """

    outer: int
    sizes: tuple[int, ...]
    inner: int


@dataclass(frozen=True)
class Scatter:
    """Copies its first part, and adds the elements of the second to it, or replaces its elements by them.

    The sizes are those of a Gather from the first part, and the second part has the shape of its value.
    The further parts are the indices.
    """

    outer: int
    sizes: tuple[int, ...]
    inner: int
    add: bool


@dataclass(frozen=True)
class Greatest:
    """The place of the first greatest element, or of the first NaN, along the last axis of one part."""


@dataclass(frozen=True)
class LinearAlgebra:
    """What routines of LAPACK compute from each matrix in the last two axes of the parts, which have the same
    other axes as the value. The value's last axis holds all results for one matrix.

    name: a name in lapack.ROUTINES.
    options: names and values of options of the routine.
    scratch: as in Value.
    """

    name: str
    options: tuple[tuple[str, bool], ...]
    scratch: int


@dataclass(frozen=True)
class Check:
    """Stops the step unless all elements of the part are true. Its value is not used."""


Work = (
    Given
    | Fixed
    | Elementwise
    | Counting
    | Reduction
    | Product
    | WholeProduct
    | Accumulation
    | Sort
    | LastPlaces
    | Assembly
    | Gather
    | Scatter
    | Greatest
    | LinearAlgebra
    | Check
)
# They are computed by loops over the elements of one shape, so several of them can share a loop.
LOOPS = (Elementwise, Counting, Reduction)
# They exist before the segment runs.
LEAVES = (Given, Fixed)
# They may find that the step must be stopped.
CHECKS = (Gather, Scatter, LinearAlgebra, Check)


class Value:
    """An array that a segment computes or reads. In memory it is C contiguous.

    work: how it is computed.
    parts: what it is computed from.
    shape: sizes.
    dtype: the name of a NumPy dtype.
    number: values are numbered in the order in which they were made.
    """

    __slots__ = ("dtype", "number", "parts", "shape", "work")

    def __init__(
        self, work: Work, parts: Sequence["View"], shape: Sequence[int], dtype: str, number: int
    ) -> None:
        self.number = number
        self.work = work
        self.parts = tuple(parts)
        self.shape = tuple(shape)
        self.dtype = dtype

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def space(self) -> Sizes:
        """The shape over which the loop of this value runs."""
        return self.parts[0].shape if isinstance(self.work, Reduction) else self.shape

    @property
    def bytes(self) -> int:
        return self.size * np.dtype(self.dtype).itemsize

    @property
    def scratch(self) -> int:
        """How many bytes its work uses besides the value while it is computed."""
        return getattr(self.work, "scratch", 0)

    @property
    def scratch_start(self) -> int:
        """The distance of these bytes from the beginning of the value."""
        return -(-self.bytes // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class View:
    """Elements of a value.

    offset: where the first element lies in the value, in elements.
    shape: sizes.
    strides: the distances between neighbours along each axis, in elements.
    """

    value: Value
    offset: int
    shape: Sizes
    strides: tuple[int, ...]

    @property
    def dtype(self) -> str:
        return self.value.dtype

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def squeezed(self) -> "View":
        """The view without its axes of size 1."""
        kept = [pair for pair in zip(self.shape, self.strides, strict=True) if pair[0] != 1]
        return View(self.value, self.offset, tuple([d for d, _ in kept]), tuple([s for _, s in kept]))

    @property
    def whole(self) -> bool:
        """Whether these are all elements of the value, in their order in memory."""
        return not self.offset and self.size == self.value.size and self.in_order

    @property
    def in_order(self) -> bool:
        """Whether the elements follow each other in memory."""
        squeezed = self.squeezed
        return squeezed.strides == contiguous(squeezed.shape)

    def broadcast_to(self, shape: Sizes) -> "View":
        """Return a view of `shape`, with more axes in front, or longer ones in place of those of size 1."""
        added = len(shape) - len(self.shape)
        pairs = zip(self.shape, self.strides, strict=True)
        strides = (*[0] * added, *[0 if size == 1 else stride for size, stride in pairs])
        return View(self.value, self.offset, shape, strides)

    def fitted_to(self, shape: Sizes) -> "View":
        """Return what `broadcast_to` does. Raises Uncovered or ValueError if the view has another shape."""
        if np.broadcast_shapes(self.shape, shape) != shape:
            raise Uncovered("shapes that do not fit each other")
        return self.broadcast_to(shape)


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of an array whose elements lie in their order in memory."""
    strides, stride = [], 1
    for size in reversed(shape):
        strides.append(stride)
        stride *= size
    return tuple(reversed(strides))


def all_of(value: Value, shape: Sequence[int] | None = None) -> View:
    """Return the view of all elements of a value, in another shape if one is given."""
    shape = value.shape if shape is None else tuple(shape)
    return View(value, 0, shape, contiguous(shape))


class Workshop:
    """Makes values. What was made before from the same parts by the same work is not made again."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Value] = {}

    def value(self, work: Work, parts: Sequence[View], shape: Sequence[int], dtype: str) -> Value:
        if dtype not in DTYPES:
            raise Uncovered(f"arrays of dtype {dtype}")
        key = (work, tuple(parts), tuple(shape), dtype)
        if key not in self._made:
            self._made[key] = Value(work, parts, shape, dtype, len(self._made))
        return self._made[key]

    def constant(self, data: Any) -> View:
        array = np.array(data, order="C")
        if array.dtype.name not in DTYPES:
            raise Uncovered(f"arrays of dtype {array.dtype}")
        if array.size > 1 and array.tobytes() == array.flat[0].tobytes() * array.size:
            return self.constant(array.flat[0]).broadcast_to(array.shape)  # a number in the code
        key = ("constant", array.dtype.name, array.shape, array.tobytes())
        if key not in self._made:
            self._made[key] = Value(Fixed(array), (), array.shape, array.dtype.name, len(self._made))
        return all_of(self._made[key])

    def filled(self, number: Any, shape: Sizes, dtype: str) -> View:
        return self.constant(np.array(number, dtype)).broadcast_to(shape)

    def elementwise(self, name: str, parts: Sequence[View], dtype: str) -> View:
        """Return the result of one operation on parts that broadcast to each other."""
        shape = np.broadcast_shapes(*[part.shape for part in parts])
        if 0 in shape:
            return self.filled(0, shape, dtype)
        given = [part.broadcast_to(shape).squeezed for part in parts]
        value = self.value(Elementwise(name), given, [size for size in shape if size != 1], dtype)
        return all_of(value, shape)

    def cast(self, view: View, dtype: str) -> View:
        if view.dtype == dtype:
            return view
        if dtype not in DTYPES or not convertible(view.dtype, dtype):
            raise Uncovered(f"a conversion from {view.dtype} to {dtype}")
        if isinstance(view.value.work, Fixed) and view.value.size == 1:
            with np.errstate(all="ignore"):
                number = view.value.work.array.astype(dtype)
            return View(self.constant(number).value, 0, view.shape, view.strides)
        return self.elementwise("cast", [view], dtype)

    def dense(self, view: View) -> View:
        """Return the elements of a view in their order in memory. They are copied if they are not."""
        if view.whole:
            return all_of(view.value, view.shape)
        return self.elementwise("copy", [view], view.dtype)

    def reshaped(self, view: View, shape: Sizes) -> View:
        dense = self.dense(view)
        return View(dense.value, 0, shape, contiguous(shape))

    def reduced(self, name: str, view: View, axes: Sequence[int], accumulator: str, dtype: str) -> View:
        """Return the result of combining elements along axes, which disappear."""
        kept = [size for axis, size in enumerate(view.shape) if axis not in axes]
        squeezed = view.squeezed
        long = [axis for axis, size in enumerate(view.shape) if size != 1]
        along = tuple([n for n, axis in enumerate(long) if axis in axes])
        shape = [size for n, size in enumerate(squeezed.shape) if n not in along]
        value = self.value(Reduction(name, along, accumulator), [squeezed], shape, dtype)
        return all_of(value, kept)
