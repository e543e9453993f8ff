"""Functions of two numbers that PyTensor does not have, but NumPy and Numba have."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.gradient import disconnected_type
from pytensor.scalar.basic import BinaryScalarOp, ScalarType, upcast_out
from pytensor.tensor.elemwise import Elemwise


class _Ufunc(BinaryScalarOp):
    """A ufunc of NumPy, of two numbers of one dtype. Its result has the same dtype, and no gradient.

    ufunc: its name in NumPy.
    """

    __props__ = ("ufunc",)

    def __init__(self, ufunc: str) -> None:
        super().__init__(upcast_out, name=ufunc)
        self.ufunc = ufunc
        # The tiers find the function by this attribute.
        self.nfunc_spec = (ufunc, 2, 1)

    def impl(self, x: Any, y: Any) -> Any:
        return getattr(np, self.ufunc)(x, y)

    def output_types(self, types: Sequence[ScalarType]) -> list[ScalarType]:
        return [types[0]]

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        return [[False], [False]]

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        return [disconnected_type(), disconnected_type()]


gcd = Elemwise(_Ufunc("gcd"))
lcm = Elemwise(_Ufunc("lcm"))
nextafter = Elemwise(_Ufunc("nextafter"))
