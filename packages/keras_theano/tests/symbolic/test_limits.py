"""Every public op works in recorded steps, but for the calls on the list of limits, which says why."""

from importlib import import_module
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytensor.tensor as pt
import pytest
from keras import ops

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.ops import core, image, linalg, math, nn
from keras_theano.src.ops import numpy as numpy_functions
from keras_theano.symbolic.limits import LIMITS, table
from keras_theano.tracing import trace
from keras_theano.tracing.tensor import Tensor, as_node

DOCUMENTATION = Path(__file__).parents[4] / "docs" / "keras-theano.md"
NAMESPACES = {
    "core": core,
    "image": image,
    "linalg": linalg,
    "math": math,
    "nn": nn,
    "numpy": numpy_functions,
}


def floats(*shape: int) -> Any:
    return np.random.default_rng(0).uniform(0.5, 1.5, shape).astype("float32")


X = floats(3, 4)
PICTURES = floats(2, 8, 8, 3)
# The ops that Keras composes of others, or that this backend defines for both kinds of tensors.
COMPOSED: dict[str, Any] = {
    "abs": lambda x: ops.abs(x),
    "amax": lambda x: ops.amax(x, axis=1),
    "amin": lambda x: ops.amin(x, axis=1),
    "cast": lambda x: ops.cast(x, "int32"),
    "compute_output_spec": None,  # takes no tensors
    "convert_to_tensor": lambda x: ops.convert_to_tensor(x),
    "custom_gradient": lambda x: ops.custom_gradient(lambda y: (y, lambda g: g))(x),
    "device_scope": None,
    "dtype": None,
    "grad": lambda x: core.grad(lambda y: ops.tanh(y))(x),
    "get_item": lambda x: ops.get_item(x, 0),
    "hard_swish": lambda x: ops.hard_swish(x),
    "image.elastic_transform": lambda _: ops.image.elastic_transform(_pictures(), seed=1),
    "image.crop_images": lambda _: ops.image.crop_images(_pictures(), 1, 1, target_height=4, target_width=4),
    "image.extract_patches": lambda _: ops.image.extract_patches(_pictures(), 2),
    "image.extract_patches_3d": lambda _: ops.image.extract_patches_3d(_pictures()[None], 2),
    "image.pad_images": lambda _: ops.image.pad_images(_pictures(), 1, 1, target_height=10, target_width=10),
    "image.reconstruct_patches": lambda _: ops.image.reconstruct_patches(
        ops.image.extract_patches(_pictures(), 2), (2, 2), (8, 8)
    ),
    "image.ssim": lambda _: ops.image.ssim(_pictures(), _pictures() * 0.5, 1.0, filter_size=3),
    "is_tensor": None,
    "layer_normalization": lambda x: ops.layer_normalization(x, x[0], x[0]),
    "normalize": lambda x: ops.normalize(x),
    "polar": lambda x: ops.polar(x, x),
    "random_seed_dtype": None,
    "rearrange": lambda x: ops.rearrange(x, "a b -> b a"),
    "remat": None,
    "rms_normalization": lambda x: ops.rms_normalization(x, x[0]),
    "saturate_cast": lambda x: ops.saturate_cast(x, "int8"),
    "shape": None,
    "swish": lambda x: ops.swish(x),
    "vectorize": lambda x: ops.vectorize(lambda y: y * y)(x),
    "view_as_complex": lambda x: ops.view_as_complex(x[:, :2]),
    "view_as_real": lambda x: ops.view_as_real(ops.view_as_complex(x[:, :2])),
}


def _pictures() -> Tensor:
    return Tensor(pt.constant(PICTURES))


def traceable_names() -> set[str]:
    names = set()
    for module in NAMESPACES:
        symbolic = import_module(f"keras_theano.symbolic.{module}")
        found = {name for name in vars(numpy_ops(module)) if callable(getattr(symbolic, name, None))}
        names |= {f"image.{name}" for name in found} if module == "image" else found
    return names


def public_names() -> set[str]:
    names = {name for name in dir(ops) if not name.startswith("_") and callable(getattr(ops, name))}
    for module in ("linalg", "nn", "numpy"):
        names |= {name for name in dir(getattr(ops, module)) if not name.startswith("_")}
    return names | {f"image.{name}" for name in dir(ops.image) if not name.startswith("_")}


def test_every_public_op_is_traced() -> None:
    missing = public_names() - traceable_names() - set(COMPOSED)
    assert not missing, f"a recorded step refuses all calls of {sorted(missing)}"


def test_no_op_is_on_the_list_twice() -> None:
    assert len({limit.op for limit in LIMITS}) == len(LIMITS)


@pytest.mark.parametrize("name", [name for name in COMPOSED if COMPOSED[name] and name in public_names()])
def test_composed_op_is_traced(name: str) -> None:
    with trace.opened(trace.Trace()):
        found = COMPOSED[name](Tensor(pt.matrix(dtype="float32", shape=(3, 4))))
    assert isinstance(found, Tensor)


def unknown(ndim: int) -> Tensor:
    return Tensor(pt.tensor(dtype="float32", shape=(None,) * ndim))


def slope(function: Any, *shape: int) -> Any:
    x = pt.tensor(dtype="float32", shape=shape)
    return pt.grad(pt.sum(as_node(function(Tensor(x)))), x)


def assigning(x: Any) -> Any:
    variable = keras.Variable(0.0)

    def function(row: Any) -> Any:
        variable.assign_add(ops.sum(row))
        return row

    return core.map(function, x)


REFUSED_CALLS: dict[str, Any] = {
    "associative_scan": lambda: core.associative_scan(ops.add, unknown(2)),
    "map": lambda: assigning(unknown(2)),
    "real": lambda: slope(lambda x: ops.absolute(ops.view_as_complex(x)), 3, 2),
    "lu_factor": lambda: slope(lambda x: linalg.lu_factor(x)[0], 4, 3),
    "svd": lambda: slope(lambda x: linalg.svd(x)[1], 3, 3),
    "quantile": lambda: numpy_functions.quantile(unknown(1), 0.3, method="hazen"),
    "pad": lambda: numpy_functions.pad(unknown(1), 1, "mean"),
    "view": lambda: numpy_functions.view(unknown(1), "float16"),
    "einsum": lambda: numpy_functions.einsum("ij->ji", unknown(2), order="C"),
    "correlate": lambda: numpy_functions.correlate(unknown(1), unknown(1), mode="same"),
    "conv": lambda: nn.conv(unknown(4), np.ones((1, 1, 3, 2), "float32")),
    "unfold": lambda: nn.unfold(unknown(4), 2),
}


def test_eigenvalues_have_no_gradient() -> None:
    with trace.opened(trace.Trace()), pytest.raises(NotImplementedError, match="no gradients of complex"):
        slope(lambda x: ops.real(linalg.eig(x)[0]), 3, 3)


@pytest.mark.parametrize("name", [limit.op for limit in LIMITS])
def test_refused_call_gives_the_reason_on_the_list(name: str) -> None:
    (limit,) = [limit for limit in LIMITS if limit.op == name]
    with trace.opened(trace.Trace()), pytest.raises(NotImplementedError) as raised:
        REFUSED_CALLS[name]()
    assert f"cannot trace keras.ops.{name} {limit.case}: {limit.why}. {limit.instead}" in str(raised.value)


def test_documentation_has_the_list() -> None:
    assert table() in DOCUMENTATION.read_text(encoding="utf-8")
