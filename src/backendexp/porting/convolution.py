"""Convolutions and pooling: the mirrored kernels and the other padding of Theano, and layers that Keras 3
lacks.

Theano 1.0.4 computes a true convolution, which mirrors the kernel. All backends of Keras 3, and TensorFlow
1.14, compute a correlation. With padding="same", Theano pads half of the kernel on each side, whatever the
stride, and TensorFlow pads as little as the stride needs, more of it at the end.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy

from backendexp.porting.architecture import Layer
from backendexp.porting.pieces import Context, Piece, rearranged

_RANKS = {"1D": 1, "2D": 2, "3D": 3}
_OTHER_PADDING = 'with padding="same", Theano pads both sides alike, and Keras 3 pads more at the end'


def mirrored(kernel: Any) -> Any:
    """Reverse the axes of a kernel that the window moves along, all but its last two."""
    return numpy.ascontiguousarray(kernel[(slice(None, None, -1),) * (kernel.ndim - 2)])


def _rank(kind: str) -> int:
    return next(rank for end, rank in _RANKS.items() if end in kind)


def _each(value: Any, rank: int) -> list[int]:
    return [int(one) for one in value] if isinstance(value, list | tuple) else [int(value)] * rank


def with_old_padding(piece: Piece, layer: Layer, context: Context) -> list[Piece]:
    """The convolution with its kernel as a correlation needs it, after a layer that pads as Theano does."""
    if not context.mirrored:
        return [piece]
    # Keras 2 mirrors the kernels of depthwise convolutions itself before Theano does.
    if piece.arrays is not None and not piece.kind.startswith(("Separable", "Depthwise")):
        kernel = context.changed(mirrored(piece.arrays[0]), piece.arrays[0], rearranged(mirrored))
        piece = replace(piece, arrays=(kernel, *piece.arrays[1:]))
    if "Transpose" in piece.kind:
        return _cropped(piece, context)
    if piece.config.get("padding") != "same":
        return [piece]
    rank = _rank(piece.kind)
    dilation = _each(piece.config.get("dilation_rate", 1), rank)
    reach = [
        (size - 1) * rate + 1
        for size, rate in zip(_each(piece.config["kernel_size"], rank), dilation, strict=True)
    ]
    strides = _each(piece.config.get("strides", 1), rank)
    if all(size % 2 for size in reach) and all(step == 1 for step in strides):
        return [piece]
    padding = [[size // 2, (size - 1) // 2] for size in reach]
    context.note(layer.name, f"it is padded by a layer of its own, because {_OTHER_PADDING}")
    form = {} if piece.config.get("data_format") is None else {"data_format": piece.config["data_format"]}
    before = Piece(
        f"ZeroPadding{rank}D",
        f"{layer.name}_padding",
        {"padding": padding if rank > 1 else padding[0], **form},
    )
    return [before, replace(piece, config={**piece.config, "padding": "valid"})]


def _cropped(piece: Piece, context: Context) -> list[Piece]:
    """A transposed convolution whose output is cropped as Theano crops it: half of the kernel at the start.

    Without padding, n places become (n - 1) * stride + reach. Theano keeps n * stride of them, or, with an
    output_padding, (n - 1) * stride + reach - 2 * (reach // 2) + output_padding.
    """
    if piece.config.get("padding") != "same":
        return [piece]
    rank = _rank(piece.kind)
    dilation = _each(piece.config.get("dilation_rate", 1), rank)
    sizes = _each(piece.config["kernel_size"], rank)
    reach = [(size - 1) * rate + 1 for size, rate in zip(sizes, dilation, strict=True)]
    strides = _each(piece.config.get("strides", 1), rank)
    further = piece.config.get("output_padding")
    ends = (
        [size - step - size // 2 for size, step in zip(reach, strides, strict=True)]
        if further is None
        else [size // 2 - more for size, more in zip(reach, _each(further, rank), strict=True)]
    )
    if any(end < 0 for end in ends) or any(size < step for size, step in zip(reach, strides, strict=True)):
        context.may_differ(piece.name, _OTHER_PADDING)
        return [piece]
    context.note(piece.name, f"it is cropped by a layer of its own, because {_OTHER_PADDING}")
    crop = [[size // 2, end] for size, end in zip(reach, ends, strict=True)]
    form = {} if piece.config.get("data_format") is None else {"data_format": piece.config["data_format"]}
    config = {key: value for key, value in piece.config.items() if key != "output_padding"}
    return [
        replace(piece, config={**config, "padding": "valid"}),
        Piece(f"Cropping{rank}D", f"{piece.name}_cropping", {"cropping": crop, **form}),
    ]


def warn_of_padding(layer: Layer, context: Context, shown: str) -> None:
    if layer.config.get("padding") == "same":
        context.may_differ(shown, _OTHER_PADDING)


def warn_of_pooling(piece: Piece, context: Context, shown: str) -> None:
    if context.mirrored and piece.config.get("padding") == "same":
        context.may_differ(shown, _OTHER_PADDING)


def locally_connected(layer: Layer, arrays: Sequence[Any], context: Context, shown: str) -> list[Piece]:
    """LocallyConnected1D and 2D, which Keras 3 lacks: the windows are gathered, and each has a kernel of its
    own.

    A convolution with a fixed kernel of zeros and ones gathers the windows, and EinsumDense multiplies them.
    kernel: shape (places, window * inputs, filters).
    """
    rank = _rank(layer.kind)
    kernel = arrays[0]
    places, reach, filters = kernel.shape
    size, strides = _each(layer.config["kernel_size"], rank), _each(layer.config["strides"], rank)
    inputs = reach // int(numpy.prod(size))
    if layer.config.get("data_format") == "channels_first":
        context.may_differ(shown, "a locally connected layer with channels_first is not carried over")
    bias = bool(layer.config.get("use_bias", True))
    # Keras 2 lays the window of a place out as (inputs, window) in 1D and as (window, inputs) in 2D.
    gather = numpy.eye(reach, dtype=kernel.dtype).reshape(*size, inputs, reach)
    name = layer.name
    first = Piece(
        f"Conv{rank}D",
        f"{name}_windows",
        {"filters": reach, "kernel_size": size, "strides": strides, "use_bias": False},
        (gather,),
        trainable=False,
    )
    values = [kernel]
    out: list[Piece] = [first]
    if rank == 2:
        out.append(Piece("Reshape", f"{name}_places", {"target_shape": [places, reach]}))
    if bias:
        laid_out = rearranged(lambda state: state.reshape(places, filters))
        values.append(context.changed(laid_out(arrays[1], 1), arrays[1], laid_out))
    dense = Piece(
        "EinsumDense",
        name if rank == 1 else f"{name}_kernels",
        {
            "equation": "bpw,pwf->bpf",
            "output_shape": [places, filters],
            "bias_axes": "pf" if bias else None,
            "activation": layer.config.get("activation"),
        },
        tuple(values),
        trainable=layer.trainable,
    )
    out.append(dense)
    if rank == 2:
        rows, columns = arrays[1].shape[:2] if bias else _square(places)
        out.append(Piece("Reshape", name, {"target_shape": [rows, columns, filters]}))
    return out


def _square(places: int) -> tuple[int, int]:
    side = round(places**0.5)
    return side, places // side
