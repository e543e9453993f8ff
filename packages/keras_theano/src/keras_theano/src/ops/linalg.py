"""keras.ops.linalg: decompositions and solvers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras.src import tree

from keras_theano.hook.keras_versions import numpy_ops
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
    import pytensor
    import pytensor.tensor as pt

    from keras_theano.execution.interpreter import INTERPRETED
    from keras_theano.tracing.tensor import Tensor

    arrays = tree.map_structure(np.asarray, [list(primals), list(tangents)])
    with trace.opened(trace.Trace()):
        symbols = tree.map_structure(lambda x: Tensor(pt.tensor(dtype=x.dtype.name, shape=x.shape)), arrays)
        found = jvp(fun, symbols[0], symbols[1], has_aux)
    leaves = [leaf for leaf in tree.flatten(found) if isinstance(leaf, Tensor)]
    run = pytensor.function(
        [leaf.node for leaf in tree.flatten(symbols)],
        [leaf.node for leaf in leaves],
        mode=INTERPRETED,
        on_unused_input="ignore",
    )
    values = iter(run(*tree.flatten(arrays)))
    return tree.map_structure(  # type: ignore[no-any-return]
        lambda leaf: next(values) if isinstance(leaf, Tensor) else leaf, found
    )


globals().update(namespace(eager, jvp=_jvp))
