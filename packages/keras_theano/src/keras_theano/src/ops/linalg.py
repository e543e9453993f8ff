"""keras.ops.linalg: decompositions and solvers."""

from collections.abc import Callable, Sequence
from typing import Any

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.derivatives import at_once
from keras_theano.src.dispatch import namespace
from keras_theano.tracing import trace

eager = numpy_ops("linalg")


def _jvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> tuple[Any, ...]:
    """Record `fun` and run its derivative at once, because eager code has no derivatives."""
    from keras_theano.symbolic.linalg import jvp

    if trace.current() is not None:
        return jvp(fun, primals, tangents, has_aux)
    arrays = [list(primals), list(tangents)]
    return at_once(lambda first, second: jvp(fun, first, second, has_aux), arrays)  # type: ignore[no-any-return]


globals().update(namespace(eager, jvp=_jvp))
