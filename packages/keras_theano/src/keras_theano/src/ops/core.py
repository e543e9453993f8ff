"""Tensors, variables, shapes and control flow: keras.src.backend.core of the Theano backend."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras.src import tree
from keras.src.backend.common import KerasVariable, standardize_dtype
from keras.src.backend.common.keras_tensor import KerasTensor
from keras.src.backend.common.stateless_scope import StatelessScope
from keras.src.backend.common.symbolic_scope import SymbolicScope

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.derivatives import gradient_function
from keras_theano.src.dispatch import namespace, plain_signature
from keras_theano.tracing import conversion, trace
from keras_theano.tracing.array import Array, as_arrays, is_array
from keras_theano.tracing.values import EXAMPLE_SIZES
from keras_theano.tracing.variable import Variable as Variable

eager = numpy_ops("core")

SUPPORTS_SPARSE_TENSORS = False
SUPPORTS_RAGGED_TENSORS = False
SUPPORTS_COMPLEX_DTYPES = True
# The tests of layers in Keras 3.16 read this to find out whether layers can be trained.
SUPPORTS_GRADIENT = True
# If this were True, Keras would call callbacks at the end of a batch from a thread, which helps backends
# whose results arrive later. Here the results are already there, and the thread takes a quarter of the time
# that a small model trains.
IS_THREAD_SAFE = False


def _vectorized_map(function: Callable[..., Any], elements: Any) -> Any:
    """Apply `function` to the slices of all arrays in `elements` along their first axes, and stack the
    results. Both may be nested. Keras's own function does not support this.
    """
    arrays = [np.asarray(part) for part in tree.flatten(elements)]
    results = [
        function(tree.pack_sequence_as(elements, [as_arrays(array[n]) for array in arrays]))
        for n in range(len(arrays[0]))
    ]
    return tree.map_structure(lambda *parts: np.stack(parts), *results)


def _slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    """Return a copy of `inputs` with the updates. Keras's own function writes into its argument."""
    return eager.slice_update(_copy(inputs), start_indices, np.asarray(updates))


def _scatter_update(inputs: Any, indices: Any, updates: Any, reduction: str | None = None) -> Any:
    """Return a copy of `inputs` with the updates. Keras's own function writes into its argument."""
    return eager.scatter_update(_copy(inputs), indices, updates, reduction)


def _copy(x: Any) -> Any:
    return x.copy() if eager.is_tensor(x) else eager.convert_to_tensor(x)


globals().update(
    namespace(
        eager,
        slice_update=_slice_update,
        scatter_update=_scatter_update,
        vectorized_map=_vectorized_map,
    )
)

convert_to_tensor = conversion.convert_to_tensor

device_scope = eager.device_scope


def compute_output_spec(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return the KerasTensors that `fn` returns for KerasTensors.

    If sizes are unknown, `fn` is recorded, and nothing is computed. If all sizes are known, it runs on zeros.
    If it cannot be recorded, it runs twice on zeros, with different numbers in place of the unknown sizes.
    """
    args, kwargs = tree.map_structure(_described, (args, kwargs))
    known = all(None not in leaf.shape for leaf in tree.flatten((args, kwargs)) if _is_keras(leaf))
    if known:
        return _spec_of_zeros(fn, args, kwargs, EXAMPLE_SIZES[:1])
    try:
        return _spec_of_recorded(fn, args, kwargs)
    except Exception as failure:
        # Whatever went wrong, it may go well with arrays: Python code may need numbers, or call other
        # libraries. If it does not, that error is easier to understand.
        reason = failure
    try:
        return _spec_of_zeros(fn, args, kwargs, EXAMPLE_SIZES)
    except Exception as failure:
        raise failure from reason


def _described(leaf: Any) -> Any:
    """Return a KerasTensor in place of a symbolic tensor: a layer may be built while a step is recorded."""
    return KerasTensor(leaf.shape, leaf.dtype) if _is_symbolic(leaf) else leaf


def _spec_of_recorded(fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    from keras_theano.execution.sizes import known_sizes
    from keras_theano.tracing.tensor import Tensor

    recorded = trace.ShapeTrace()
    with StatelessScope(), SymbolicScope(), trace.opened(recorded), np.errstate(all="ignore"):
        positional, named = tree.map_structure(_symbol, (args, kwargs))
        results = fn(*positional, **named)
    leaves = [leaf for leaf in tree.flatten(results) if isinstance(leaf, Tensor)]
    shapes = iter(known_sizes([leaf.node for leaf in leaves]))

    def spec(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return _spec(leaf)
        return KerasTensor(next(shapes), recorded.half if leaf.dtype == "float16" else leaf.dtype)

    return tree.map_structure(spec, results)


def _symbol(leaf: Any) -> Any:
    if not _is_keras(leaf):
        return leaf
    import pytensor.tensor as pt

    from keras_theano.tracing.tensor import Tensor, traceable

    return Tensor(pt.tensor(dtype=traceable(leaf.dtype), shape=leaf.shape))


def _spec_of_zeros(fn: Callable[..., Any], args: Any, kwargs: Any, unknown_sizes: tuple[int, ...]) -> Any:
    """Run `fn` once for each of `unknown_sizes`. A size that differs between the results is unknown."""
    runs = []
    with trace.opened(None), StatelessScope(), SymbolicScope(), np.errstate(all="ignore"):
        for size in unknown_sizes:
            positional, named = tree.map_structure(lambda leaf, n=size: _zeros(leaf, n), (args, kwargs))
            runs.append(fn(*positional, **named))
    return tree.map_structure(_spec, *runs)


def _is_keras(leaf: Any) -> bool:
    return isinstance(leaf, KerasTensor)


def _zeros(leaf: Any, size: int) -> Any:
    if not _is_keras(leaf):
        return leaf
    shape = [size if axis is None else axis for axis in leaf.shape]
    return np.zeros(shape, leaf.dtype).view(Array)


def _spec(*results: Any) -> Any:
    first, last = results[0], results[-1]
    if not eager.is_tensor(first):
        return first
    sizes = [a if a == b else None for a, b in zip(first.shape, last.shape, strict=True)]
    return KerasTensor(sizes, standardize_dtype(first.dtype))


def cast(x: Any, dtype: Any) -> Any:
    """Convert `x` to a dtype. In a trace, a cast to float16 or bfloat16 rounds, and its result is float32.
    Where mixed precision would compute in the dtype, nothing is rounded.
    """
    found = convert_to_tensor(x, dtype)
    if trace.current() is None or standardize_dtype(dtype) not in trace.WIDENED:
        return found
    from keras_theano.tracing.narrow import narrowed
    from keras_theano.tracing.tensor import Tensor

    name = standardize_dtype(dtype)
    if isinstance(found, Tensor) and not _computes_in(name):
        return Tensor(narrowed(found.node, name))
    return found


def cast_inside_keras(x: Any, dtype: Any) -> Any:
    """Convert `x` to a dtype for Keras itself, which casts the inputs of layers. In a trace, nothing is
    rounded to float16 or bfloat16, because what mixed precision computes in them is computed in float32.
    """
    return convert_to_tensor(x, dtype)


def _computes_in(dtype: str) -> bool:
    """Return whether the layer that is called, or the global policy, would compute in this dtype."""
    from keras.src.backend.common.variables import get_autocast_scope
    from keras.src.dtype_policies import dtype_policy

    scope = get_autocast_scope()
    return dtype in (dtype_policy.dtype_policy().compute_dtype, scope and scope.dtype)


def is_tensor(x: Any) -> bool:
    return is_array(x) or _is_symbolic(x)


def _is_symbolic(x: Any) -> bool:
    """Whether this is a Tensor, without importing PyTensor."""
    return type(x).__module__ == "keras_theano.tracing.tensor"


def shape(x: Any) -> tuple[Any, ...]:
    """Return the shape of `x`. A size is an int if it is known, otherwise a symbolic scalar of int32."""
    if trace.current() is not None and not isinstance(x, KerasVariable):
        from keras_theano.tracing.tensor import Tensor, shape_of

        if isinstance(x, Tensor):
            return shape_of(x)
    return tuple(x.shape)


def grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Return the function that computes the gradients of `f`. Keras has this op since 3.16."""
    return gradient_function(f, argnums)


for _function in (convert_to_tensor, cast, cast_inside_keras, is_tensor, shape, grad):
    _function.__signature__ = plain_signature(_function)  # type: ignore[union-attr]


def random_seed_dtype() -> str:
    return "uint32"


def remat(f: Callable[..., Any]) -> Callable[..., Any]:
    warnings.warn("the Theano backend keeps all activations: remat changes nothing", stacklevel=2)
    return f


class custom_gradient:  # the name is given by Keras
    """Wraps a function that comes with its own gradient.

    fun: a function that returns its outputs and a second function. The latter takes the gradients of the
        outputs (`upstream`) and returns those of the arguments of `fun`. Outside of a trace there are no
        gradients, so only the outputs are used.
    """

    def __init__(self, fun: Callable[..., Any]) -> None:
        self.fun = fun

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # Variables are passed as their values. JAX's backend does this too, and functions in Keras rely on
        # it.
        args = tuple(arg.value if isinstance(arg, KerasVariable) else arg for arg in args)
        outputs, gradient = self.fun(*args, **kwargs)
        if trace.current() is None:
            return outputs
        from keras_theano.tracing.custom_gradient import with_gradient
        from keras_theano.tracing.tensor import Tensor

        flat = tree.flatten(outputs)
        if not any(isinstance(output, Tensor) for output in flat):
            return outputs

        def of_each(upstream: list[Any]) -> Any:
            found = gradient(*upstream)
            found = found if isinstance(found, (list, tuple)) else [found]
            parts: list[Any] = []
            for arg, of_arg in zip(args, found, strict=True):
                leaves = tree.flatten(arg)
                parts += [None] * len(leaves) if of_arg is None else tree.flatten(of_arg)
            return parts

        return tree.pack_sequence_as(outputs, with_gradient(flat, tree.flatten(args), of_each))
