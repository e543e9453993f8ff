"""Values through which no gradient passes. Training through them raises an error instead of going wrong."""

from typing import Any

from keras_theano.symbolic.limits import refusal
from keras_theano.tracing.computed import computed, same


def without_gradient(node: Any, op: str) -> Any:
    """Return the same real numbers. A gradient with respect to what they were computed from is refused.

    op: the name in limits.LIMITS under which the reason stands.
    """
    return computed(same, [node], [(node.type.dtype, node.type.shape)], gradient=refused, op=op)[0]


def refused(*_: Any, op: str) -> Any:
    raise refusal(op)
