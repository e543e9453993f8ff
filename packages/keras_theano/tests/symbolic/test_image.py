"""Traced image ops agree with their eager twins, and their gradients with differences and with JAX's."""

from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from keras import ops

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.ops import image
from keras_theano.tracing import trace
from keras_theano.tracing.tensor import Tensor, as_node
from oracles.cases import agrees, gradients, in_64_bits
from oracles.tracing import INTERPRETED, gradient_of, traced

eager = numpy_ops("image")
of_jax = import_module("keras.src.backend.jax.image")
Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)


def floats(*shape: int) -> Array:
    return RNG.random(shape, dtype="float32")


FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")
INTERPOLATIONS = ("nearest", "bilinear")
IMAGES = floats(3, 6, 7, 2)
COLORS = floats(2, 4, 5, 3)
VOLUMES = floats(2, 4, 5, 6, 2)
FIRST = {"data_format": "channels_first"}
# They move some of the pixels far out of the images.
TRANSFORMS = np.array([1.1, 0.2, -3.3, -0.3, 0.8, 2.6, 0, 0], "float32") + np.pad(
    RNG.normal(0, [0.2, 0.2, 5, 0.2, 0.2, 5], (3, 6)), [(0, 0), (0, 2)]
).astype("float32")
PLACES = RNG.normal(3, 8, (2, 4, 5)).astype("float32")
CORNERS = np.array([[0, 0], [6, 0], [0, 5], [6, 5]], "float32")
CORNERS = np.stack([CORNERS] * 3)
MOVED = (CORNERS + RNG.normal(0, 0.7, CORNERS.shape)).astype("float32")
NUMBERS = np.array([1.4, 0.63], "float32"), np.array([0.3, -0.37], "float32")


def channels_first(x: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(x, -1, -3))


Case = tuple[tuple[Array, ...], dict[str, Any]]
# For each op some tensors and named arguments.
CASES: dict[str, list[Case]] = {
    "affine_transform": [
        *[
            ((IMAGES, TRANSFORMS), {"interpolation": way, "fill_mode": mode, "fill_value": 0.3})
            for way in INTERPOLATIONS
            for mode in FILL_MODES
        ],
        ((channels_first(IMAGES), TRANSFORMS), {"fill_mode": "wrap", **FIRST}),
        ((IMAGES[0], TRANSFORMS[0]), {}),
        ((IMAGES[0], TRANSFORMS[:1]), {}),
        ((channels_first(IMAGES[0]), TRANSFORMS[0]), FIRST),
        ((IMAGES, TRANSFORMS[0]), {"fill_mode": "mirror"}),
        ((IMAGES, TRANSFORMS[1:2]), {"fill_mode": "reflect"}),
        ((IMAGES, TRANSFORMS + np.float32([0] * 6 + [0.03, -0.02])), {}),
    ],
    "map_coordinates": [
        *[
            ((IMAGES[0, :, :, 0], PLACES), {"order": order, "fill_mode": mode, "fill_value": 0.3})
            for order in (0, 1)
            for mode in FILL_MODES
        ],
        ((IMAGES[0], RNG.uniform(-1, 7, (3, 8)).astype("float32")), {"order": 1}),
        ((IMAGES[0, 0, :, 0], PLACES[:1]), {"order": 1, "fill_mode": "mirror"}),
        ((floats(1, 4), PLACES), {"order": 1, "fill_mode": "mirror"}),
    ],
    "perspective_transform": [
        *[((IMAGES, CORNERS, MOVED), {"interpolation": way, "fill_value": 0.3}) for way in INTERPOLATIONS],
        ((channels_first(IMAGES), CORNERS, MOVED), FIRST),
        ((IMAGES[0], CORNERS[0], MOVED[0]), {}),
        ((IMAGES, CORNERS[:1], MOVED[:1]), {}),
    ],
    "elastic_transform": [
        *[
            ((IMAGES,), {"interpolation": way, "fill_mode": mode, "sigma": 1.2, "alpha": 2.0, "seed": 7})
            for way in INTERPOLATIONS
            for mode in ("reflect", "constant")
        ],
        ((channels_first(IMAGES),), {"sigma": 0.4, "seed": 7, **FIRST}),
        ((IMAGES[0],), {"seed": 7}),
        ((IMAGES,), {"sigma": 0.0, "seed": 7}),
    ],
    "gaussian_blur": [
        ((IMAGES,), {}),
        ((IMAGES,), {"kernel_size": (4, 5), "sigma": (0.5, 2.0)}),
        ((IMAGES,), {"kernel_size": (9, 15), "sigma": (3.0, 2.0)}),
        ((channels_first(IMAGES),), {"kernel_size": (3, 2), **FIRST}),
        ((IMAGES[0],), {}),
    ],
    "sobel_edges": [((IMAGES,), {}), ((channels_first(IMAGES),), FIRST)],
    "scale_and_translate": [
        *[
            (
                (IMAGES, *NUMBERS),
                {
                    "output_shape": (3, 9, 4, 2),
                    "spatial_dims": (1, -2),
                    "method": method,
                    "antialias": antialias,
                },
            )
            for method in ("linear", "cubic", "lanczos3", "lanczos5")
            for antialias in (False, True)
        ],
        (
            (IMAGES, np.float32([2]), np.float32([0])),
            {"output_shape": (6, 6, 7, 2), "spatial_dims": (0,), "method": "trilinear"},
        ),
        (
            (IMAGES, np.float32([]), np.float32([])),
            {"output_shape": IMAGES.shape, "spatial_dims": (), "method": "linear"},
        ),
    ],
    "rgb_to_grayscale": [((COLORS,), {}), ((channels_first(COLORS[0]),), FIRST), ((COLORS[..., :1],), {})],
    "rgb_to_hsv": [((COLORS,), {}), ((channels_first(COLORS),), FIRST), ((COLORS[0],), {})],
    "hsv_to_rgb": [((COLORS,), {}), ((channels_first(COLORS),), FIRST), ((COLORS[0],), {})],
    "crop_images": [
        ((IMAGES,), {"top_cropping": 1, "left_cropping": 2, "target_height": 3, "target_width": 4}),
        (
            (channels_first(IMAGES),),
            {"top_cropping": 1, "bottom_cropping": 2, "left_cropping": 0, "right_cropping": 3, **FIRST},
        ),
    ],
    "pad_images": [
        ((IMAGES,), {"top_padding": 1, "left_padding": 2, "target_height": 9, "target_width": 10}),
        (
            (channels_first(IMAGES),),
            {"top_padding": 1, "bottom_padding": 2, "left_padding": 0, "right_padding": 3, **FIRST},
        ),
    ],
    "extract_patches": [
        ((IMAGES,), {"size": 2}),
        ((IMAGES,), {"size": (3, 2), "strides": (1, 2), "padding": "same"}),
        ((IMAGES[0],), {"size": 2, "strides": 1, "dilation_rate": 2}),
        ((channels_first(IMAGES),), {"size": 2, **FIRST}),
        ((VOLUMES,), {"size": (2, 3, 2)}),
    ],
    "extract_patches_3d": [
        ((VOLUMES,), {"size": 2, "padding": "same"}),
        ((VOLUMES[0],), {"size": (2, 1, 3)}),
    ],
    "resize": [((IMAGES,), {"size": (3, 9)}), ((channels_first(IMAGES),), {"size": (9, 9), **FIRST})],
    "ssim": [
        ((IMAGES, IMAGES[::-1].copy()), {"filter_size": 3}),
        ((IMAGES, IMAGES), {"filter_size": 5, "filter_sigma": 0.7}),
    ],
}
PARAMETERS = [
    pytest.param(name, *case, id=f"{name} {n}")
    for name, cases in CASES.items()
    for n, case in enumerate(cases)
]


def function_of(name: str, module: Any = ops.image) -> Any:
    """Return the op. It takes all tensors by their positions."""
    op = getattr(module, name)
    if name != "scale_and_translate":
        return op
    return lambda x, scale, shift, **named: op(x, scale=scale, translation=shift, **named)


def test_every_image_op_of_keras_has_a_case() -> None:
    assert {name for name in dir(ops.image) if not name.startswith("_")} == set(CASES)


# Eager `convert_to_tensor`, which Keras composes these ops of, narrows to 32 bits.
KEEPS_64_BITS = {"resize", "crop_images", "pad_images", "ssim"}


@pytest.mark.parametrize(("name", "tensors", "named"), PARAMETERS)
def test_traced_op_equals_eager_op(name: str, tensors: tuple[Array, ...], named: dict[str, Any]) -> None:
    # With a size of the first axis that is unknown, a batch and one transform for it could not be told apart.
    single = tensors[0].ndim == (4 if name == "extract_patches_3d" else 3)
    known_only = len({len(x) for x in tensors}) > 1 or single
    agrees(function_of(name), tensors, named, 4e-6, batches=(False,) if known_only else (False, True))
    if name not in KEEPS_64_BITS:
        agrees(function_of(name), in_64_bits(tensors), named, 4e-6, batches=(False,))


NEITHER = {"rgb_to_hsv", "hsv_to_rgb", "ssim"}  # images of whole numbers are refused or are almost all 0


@pytest.mark.parametrize(
    ("name", "tensors", "named"), [case for case in PARAMETERS if case.values[0] not in NEITHER]
)
def test_images_of_whole_numbers_are_traced_as_eagerly(
    name: str, tensors: tuple[Array, ...], named: dict[str, Any]
) -> None:
    images = (tensors[0] * 255).astype("uint8")
    agrees(function_of(name), (images, *tensors[1:]), named, batches=(False,))


@pytest.mark.parametrize(("name", "tensors", "named"), PARAMETERS)
def test_gradient_equals_central_differences(
    name: str, tensors: tuple[Array, ...], named: dict[str, Any]
) -> None:
    gradient_of(lambda *xs: function_of(name)(*xs, **named), *tensors, unknown_batch=False)


def test_gradient_of_a_blur_reaches_the_deviations() -> None:
    gradient_of(lambda x, s: image.gaussian_blur(x, (3, 4), s), IMAGES, NUMBERS[0], unknown_batch=False)


# The cases that JAX's ops do not compute, or compute differently.
NOT_OF_JAX = {
    **dict.fromkeys(("affine_transform 14", "affine_transform 15", "perspective_transform 4"), "one for all"),
    "affine_transform 16": "a perspective",
    "sobel_edges 0": "zeros around the images",
    "sobel_edges 1": "zeros around the images",
    "scale_and_translate 9": "nothing to differentiate by",
}
COMPOSED = ("ssim", "extract_patches", "extract_patches_3d", "crop_images", "pad_images")
RANDOM = ("elastic_transform",)


# JAX compiles each of them, so CI has the last case of each op. The rest is in the extended tests.
AS_IN_JAX = [
    case for case in PARAMETERS if case.values[0] not in COMPOSED + RANDOM and case.id not in NOT_OF_JAX
]
IN_CI = {case.values[0]: case.id for case in AS_IN_JAX}.values()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tensors", "named"),
    [
        pytest.param(*case.values, id=case.id, marks=[] if case.id in IN_CI else pytest.mark.extended)
        for case in AS_IN_JAX
    ],
)
def test_gradients_are_those_of_jax(name: str, tensors: tuple[Array, ...], named: dict[str, Any]) -> None:
    named = {"data_format": "channels_last", **named} if name == "gaussian_blur" else named

    def weighted(*xs: Any) -> Any:
        flat = function_of(name, of_jax)(*xs, **named).ravel()
        return jnp.sum(flat * jnp.cos(jnp.arange(flat.size)))

    theirs = jax.grad(weighted, tuple(range(len(tensors))))(*tensors)
    found = gradients(lambda *xs: function_of(name)(*xs, **named), *tensors)
    for ours, other in zip(found, theirs, strict=True):
        if name == "affine_transform" and ours.shape[-1] == 8:
            ours, other = ours[..., :6], other[..., :6]
        np.testing.assert_allclose(ours, other, rtol=1e-4, atol=2e-4 * max(1.0, float(np.abs(other).max())))


# Ops that Keras's NumPy backend has too, but that are our own.
OWN = ("affine_transform", "map_coordinates", "perspective_transform", "gaussian_blur")
ONE_FOR_ALL = {"affine_transform 14", "affine_transform 15", "affine_transform 16"}


@pytest.mark.parametrize(
    ("name", "tensors", "named", "dtype"),
    [
        pytest.param(*case.values, dtype, id=f"{case.id} {dtype}")
        for case in PARAMETERS
        for dtype in ("float32", "float16", "uint8", "int32")
        if case.values[0] in OWN
        and case.id not in ONE_FOR_ALL
        # The kernel of Keras's own blur is 0 for whole numbers.
        and (case.values[0] != "gaussian_blur" or "float" in dtype)
    ],
)
def test_eager_op_gives_the_images_of_keras_numpy_backend(
    name: str, tensors: tuple[Array, ...], named: dict[str, Any], dtype: str
) -> None:
    whole = "int" in dtype
    images = (tensors[0] * (255 if whole else 1)).astype(dtype)
    named = {**named, "fill_value": 3} if "fill_value" in named and whole else named
    ours = getattr(image, name)(images, *tensors[1:], **named)
    theirs = getattr(eager, name)(images.copy(), *[x.copy() for x in tensors[1:]], **named)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    # SciPy adds up in float64. Half a pixel between two whole numbers may be rounded to either.
    tolerance = 1 if whole else 2e-3 if dtype == "float16" else 2e-5
    wrong = np.abs(ours.astype("float64") - theirs.astype("float64"))
    assert wrong.max() <= tolerance
    assert (wrong > 2e-5).mean() <= (0.02 if whole else 1)


def test_transform_divides_by_its_perspective() -> None:
    """A pixel comes from the place that the documentation of Keras's op gives."""
    line = np.arange(5, dtype="float32")[None, :, None]
    halved = image.affine_transform(line, np.float32([2, 0, 0, 0, 1, 0, 0.5, 0]))
    x = np.arange(5)
    np.testing.assert_allclose(halved[0, :, 0], 2 * x / (0.5 * x + 1), rtol=1e-6)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_coordinates_may_be_anywhere(fill_mode: str) -> None:
    """Keras's own op makes an image that reaches as far as the coordinates."""
    line = np.arange(4, dtype="float32")
    far = np.array([[1e15, -1e15, np.inf, -np.inf, np.nan, 1.5]])
    for order in (0, 1):
        agrees(image.map_coordinates, (line, far), {"order": order, "fill_mode": fill_mode}, batches=(False,))
    found = image.map_coordinates(line, far, 1, fill_mode, 7.0)
    assert np.isnan(found[2:5]).all()
    assert np.isfinite(found[:2]).all()
    assert found[5] == 1.5
    if fill_mode == "constant":
        assert found[:2].tolist() == [7, 7]


def test_image_of_one_value_keeps_it_when_it_turns() -> None:
    """A sum of shares that is a little less than 1 must not become the whole number before."""
    flat = np.full((40, 40, 1), 200, "uint8")
    turned = np.float32([0.8, 0.6, 3.3, -0.6, 0.8, 1.7, 0, 0])
    for images in (flat, flat[None]):
        assert (image.affine_transform(images, turned, fill_mode="reflect") == 200).all()
        assert (traced(lambda x: image.affine_transform(x, turned, fill_mode="reflect"), images) == 200).all()


def test_images_of_whole_numbers_are_blurred() -> None:
    flat = np.full((1, 5, 5, 1), 200, "uint8")
    assert image.gaussian_blur(flat)[0, 2, 2, 0] == 200
    assert traced(image.gaussian_blur, flat)[0, 2, 2, 0] == 200


def test_seed_gives_the_same_elastic_images_each_time() -> None:
    one, again, other = (image.elastic_transform(IMAGES, sigma=1.0, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.1


def test_size_of_an_elastic_kernel_may_be_unknown() -> None:
    def op(x: Any, sigma: Any) -> Any:
        return image.elastic_transform(x, sigma=sigma, seed=7)

    # The kernels have 1, 3, 5 and 13 pixels.
    for sigma in (0.1, 0.4, 0.7, 2.0):
        agrees(op, (IMAGES, np.float32(sigma)), {}, 2e-5)


def unknown_sizes(function: Any, images: Array, gradient: bool = False) -> Any:
    """Return what the traced function computes if no size but that of the channels is known before."""
    channels = images.shape[-1] if images.shape[-1] in (1, 2, 3) else None
    x = pt.tensor(dtype=str(images.dtype), shape=(*[None] * (images.ndim - 1), channels))
    with trace.opened(trace.Trace()):
        found = as_node(function(Tensor(x)))
    if gradient:
        found = pytensor.grad(pt.sum(found * pt.cos(pt.arange(found.size)).reshape(found.shape)), x)
    with np.errstate(all="ignore"):
        return pytensor.function([x], found, mode=INTERPRETED)(images)


RESIZINGS = [
    {"interpolation": way, "antialias": antialias, **fit}
    for way in ("nearest", "bilinear", "bicubic", "lanczos3")
    for antialias in (False, True)
    for fit in ({}, {"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True, "fill_value": 3.0})
]


@pytest.mark.parametrize("named", RESIZINGS, ids=lambda named: " ".join(map(str, named.values())))
@pytest.mark.parametrize("size", [(3, 9), (12, 4), (6, 7)])
def test_traced_resizing_equals_eager_resizing(size: tuple[int, int], named: dict[str, Any]) -> None:
    pixels = IMAGES * 200

    def resized(x: Any) -> Any:
        return image.resize(x, size, **named)

    expected = resized(pixels)
    for found in (traced(resized, pixels), unknown_sizes(resized, pixels)):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-3)
    whole = pixels.astype("uint8")
    for found in (traced(resized, whole), unknown_sizes(resized, whole)):
        np.testing.assert_array_equal(found, resized(whole))


@pytest.mark.parametrize("named", RESIZINGS[::2], ids=lambda named: " ".join(map(str, named.values())))
def test_gradient_of_resizing_is_the_same_for_unknown_sizes(named: dict[str, Any]) -> None:
    (expected,) = gradients(lambda x: image.resize(x, (4, 5), **named), IMAGES)
    found = unknown_sizes(lambda x: image.resize(x, (4, 5), **named), IMAGES, gradient=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_axis_that_keeps_its_unknown_size_keeps_its_infinities() -> None:
    x = IMAGES.copy()
    x[0, 2, 3] = np.inf
    found = unknown_sizes(lambda x: image.resize(x, (6, 3)), x)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(image.resize(x, (6, 3))))


def test_images_of_unknown_sizes_are_transformed() -> None:
    kinds: dict[str, Any] = {
        "affine": lambda x: image.affine_transform(x, TRANSFORMS, fill_mode="wrap"),
        "perspective": lambda x: image.perspective_transform(x, CORNERS, MOVED),
        "elastic": lambda x: image.elastic_transform(x, sigma=1.0, seed=3),
        "blur": lambda x: image.gaussian_blur(x, (3, 5)),
        "edges": image.sobel_edges,
        "gray": image.rgb_to_grayscale,
        "hue": image.rgb_to_hsv,
    }
    for name, function in kinds.items():
        x = floats(3, 5, 6, 3)
        np.testing.assert_allclose(unknown_sizes(function, x), function(x), atol=1e-5, err_msg=name)


REFUSED: dict[str, tuple[Any, str]] = {
    "rank": (lambda x: image.affine_transform(x[0, 0], TRANSFORMS), "Invalid images rank"),
    "rank of a transform": (lambda x: image.affine_transform(x, TRANSFORMS[None]), "Invalid transform rank"),
    "too few transforms": (lambda x: image.affine_transform(x, TRANSFORMS[:2]), "for each image or for all"),
    "interpolation": (lambda x: image.affine_transform(x, TRANSFORMS, "cubic"), "argument `interpolation`"),
    "fill mode": (lambda x: image.affine_transform(x, TRANSFORMS, fill_mode="x"), "argument `fill_mode`"),
    "points": (lambda x: image.perspective_transform(x, CORNERS[:, :3], MOVED), "Invalid start_points shape"),
    "pairs": (lambda x: image.perspective_transform(x, CORNERS, MOVED[:1]), "must have the same shape"),
    "order": (lambda x: image.map_coordinates(x[0, 0, :, 0], PLACES[:1], 2), "argument `order`"),
    "coordinates": (lambda x: image.map_coordinates(x, PLACES, 1), "First dim of `coordinates`"),
    "places": (lambda x: image.map_coordinates(x[0, 0, 0], PLACES[:1, 0, 0], 1), "expected at least rank 2"),
    "method": (lambda x: image.scale_and_translate(x, x.shape, [1.0], [0.0], (1,), "x"), "`method`"),
    "channels": (image.rgb_to_grayscale, "Invalid channel size"),
    "rank of a blur": (lambda x: image.gaussian_blur(x[0, 0]), "Invalid images rank"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_arguments_are_refused_in_eager_and_in_traced_code(name: str) -> None:
    function, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        function(IMAGES)
    with pytest.raises(ValueError, match=message):
        traced(function, IMAGES, unknown_batch=False)


def test_coordinates_of_another_number_of_axes_raise_when_the_step_runs() -> None:
    with pytest.raises(ValueError, match="must have 2 rows"):
        traced(lambda at: image.map_coordinates(IMAGES[0, :, :, 0], at, 1), PLACES[[0, 1, 1]])
