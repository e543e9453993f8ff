"""keras.ops.image. All of it can be traced."""

from typing import Any

from keras.src.backend import standardize_data_format

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src import eager_image
from keras_theano.src.dispatch import namespace, plain_signature
from keras_theano.symbolic import sampling
from keras_theano.tracing import trace
from keras_theano.tracing.array import as_arrays
from keras_theano.tracing.conversion import convert_to_tensor

eager = numpy_ops("image")

globals().update(
    namespace(
        eager,
        affine_transform=eager_image.affine_transform,
        compute_homography_matrix=eager_image.compute_homography_matrix,
        gaussian_blur=eager_image.gaussian_blur,
        map_coordinates=eager_image.map_coordinates,
        perspective_transform=eager_image.perspective_transform,
        resize=eager_image.resize,
        sobel_edges=eager_image.sobel_edges,
    )
)


def elastic_transform(
    images: Any,
    alpha: Any = 20.0,
    sigma: Any = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: Any = None,
    data_format: str | None = None,
) -> Any:
    """Move each pixel by a random distance that is similar for pixels nearby.

    Keras's own NumPy function draws from NumPy's generator, which a recorded step cannot do. This one draws
    as `keras.random.normal`, so a seed gives the same images in eager and in recorded code.
    """
    from keras.src import random

    from keras_theano.src.ops import core

    x = convert_to_tensor(images)
    sampling.require_images(x, interpolation, fill_mode)
    sizes = core.shape(x) if x.ndim == 4 else (1, *core.shape(x))
    first = 1 if standardize_data_format(data_format) == "channels_last" else 2
    noise = random.normal((2, sizes[0], *sizes[first : first + 2]), dtype="float32", seed=seed)
    arguments = (x, noise, alpha, sigma, interpolation, fill_mode, fill_value, data_format)
    if trace.current() is not None:
        from keras_theano.symbolic import image
        from keras_theano.tracing.tensor import is_traced

        if is_traced(arguments):
            return image.displaced(*arguments)
    return as_arrays(eager_image.displaced(*arguments))


elastic_transform.__signature__ = plain_signature(elastic_transform)  # type: ignore[attr-defined]
