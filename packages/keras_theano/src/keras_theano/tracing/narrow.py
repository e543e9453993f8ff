"""Rounds float32 to the numbers of a dtype of 16 or 8 bits, in which PyTensor computes nothing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.graph.replace import _vectorize_node
from pytensor.graph.rewriting.basic import node_rewriter
from pytensor.tensor.rewriting.basic import register_canonicalize
from pytensor.tensor.variable import TensorVariable

HALF = ("float16", "bfloat16")
FLOAT8 = ("float8_e4m3fn", "float8_e5m2")
# For each dtype: binary digits after the point, least exponent, greatest number, and what numbers beyond it
# become (https://arxiv.org/abs/2209.05433 for float8).
_FORMS = {
    "float16": (10, -14, 65504.0, np.inf),
    "bfloat16": (7, -126, (2 - 2.0**-7) * 2.0**127, np.inf),
    "float8_e4m3fn": (3, -6, 448.0, np.nan),
    "float8_e5m2": (2, -14, 57344.0, np.inf),
}


def narrowed(x: TensorVariable, dtype: str) -> TensorVariable:
    """Round to the nearest number that a dtype has, and to the even one if two are equally near. The result
    is float32. So is its gradient, which is rounded too: on other backends it has the dtype of the value.

    x: float32. Traces that infer shapes may have float16, which is returned unchanged.
    """
    return Narrow(dtype)(x) if x.type.dtype == "float32" else x  # type: ignore[return-value]


class Narrow(Op):
    """Rounds in NumPy. For PyTensor's compilers, a rewrite replaces it by arithmetic."""

    __props__ = ("dtype",)

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def make_node(self, x: Variable) -> Apply:  # type: ignore[override,type-arg]
        return Apply(self, [x], [x.type()])

    def perform(self, node: Apply, inputs: Sequence[Any], outputs: list[list[Any]]) -> None:  # type: ignore[type-arg]
        with np.errstate(all="ignore"):
            outputs[0][0] = np.asarray(inputs[0]).astype(self.dtype).astype("float32")

    # PyTensor 3.3 does not pass the first of the three arguments.
    def infer_shape(self, *arguments: Any) -> list[Any]:
        return [arguments[-1][0]]

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        return [narrowed(cotangents[0], self.dtype)]


@_vectorize_node.register(Narrow)
def _(op: Narrow, node: Apply, x: Variable) -> Apply:  # type: ignore[type-arg]
    return op.make_node(x)


@register_canonicalize("fast_compile")
@node_rewriter([Narrow])
def _as_arithmetic(fgraph: Any, node: Apply) -> list[Variable]:  # type: ignore[type-arg]
    digits, least, greatest, beyond = _FORMS[node.op.dtype]
    (x,) = node.inputs
    size = pt.clip(abs(x), np.float32(2.0**least), np.float32(greatest))
    step = pt.power(np.float32(2.0), pt.floor(pt.log2(size)) - np.float32(digits))
    rounded = pt.round(x / step, mode="half_to_even") * step
    outside = pt.sign(x) * np.float32(beyond)
    return [pt.cast(pt.switch(pt.gt(abs(rounded), np.float32(greatest)), outside, rounded), "float32")]
