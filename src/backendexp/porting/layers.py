"""How each layer of Keras 2 is made of the layers of Keras 3. One row, or one function, for each class.

A row lists the arguments that both generations have. What differs is in a function: another name, another
meaning, a layer that Keras 3 lacks.
"""

import keyword
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from backendexp.errors import UserError
from backendexp.porting import convolution, recurrent
from backendexp.porting.architecture import Layer
from backendexp.porting.pieces import Context, Piece, rearranged
from backendexp.porting.recurrent import OLD_SIGMOID, STEEPER

_KERNEL = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")
_BIAS = ("use_bias", "bias_initializer", "bias_regularizer", "bias_constraint", "activity_regularizer")
_RECURRENT = ("recurrent_initializer", "recurrent_regularizer", "recurrent_constraint")
_CONVOLUTION = ("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "activation")
_SEPARABLE = tuple(
    f"{part}_{what}"
    for part in ("depthwise", "pointwise")
    for what in ("initializer", "regularizer", "constraint")
)
_RNN = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll", "zero_output_for_mask")
_GATED = ("units", "activation", "recurrent_activation", *_KERNEL, *_RECURRENT, *_BIAS)
_POOLED = ("pool_size", "strides", "padding", "data_format")

# The class in both generations, and the arguments that keep their name and meaning.
_ALIKE: dict[str, tuple[str, ...]] = {
    "Dense": ("units", "activation", *_KERNEL, *_BIAS),
    "Dropout": ("rate", "noise_shape", "seed"),
    "SpatialDropout1D": ("rate",),
    "SpatialDropout2D": ("rate", "data_format"),
    "SpatialDropout3D": ("rate", "data_format"),
    "Flatten": ("data_format",),
    "Reshape": ("target_shape",),
    "Permute": ("dims",),
    "RepeatVector": ("n",),
    "ActivityRegularization": ("l1", "l2"),
    "Masking": ("mask_value",),
    "Cropping1D": ("cropping",),
    "Cropping2D": ("cropping", "data_format"),
    "Cropping3D": ("cropping", "data_format"),
    "UpSampling1D": ("size",),
    "UpSampling3D": ("size", "data_format"),
    "ZeroPadding1D": ("padding",),
    "ZeroPadding2D": ("padding", "data_format"),
    "ZeroPadding3D": ("padding", "data_format"),
    "GlobalMaxPooling1D": ("data_format", "keepdims"),
    "GlobalMaxPooling2D": ("data_format", "keepdims"),
    "GlobalMaxPooling3D": ("data_format", "keepdims"),
    "GlobalAveragePooling1D": ("data_format", "keepdims"),
    "GlobalAveragePooling2D": ("data_format", "keepdims"),
    "GlobalAveragePooling3D": ("data_format", "keepdims"),
    "Embedding": (
        "input_dim",
        "output_dim",
        "embeddings_initializer",
        "embeddings_regularizer",
        "embeddings_constraint",
        "mask_zero",
    ),
    "Add": (),
    "Subtract": (),
    "Multiply": (),
    "Average": (),
    "Maximum": (),
    "Minimum": (),
    "Concatenate": ("axis",),
    "Dot": ("axes", "normalize"),
    "ELU": ("alpha",),
    "PReLU": ("alpha_initializer", "alpha_regularizer", "alpha_constraint", "shared_axes"),
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "BatchNormalization": (
        "axis",
        "momentum",
        "epsilon",
        "center",
        "scale",
        *(f"{part}_initializer" for part in ("beta", "gamma", "moving_mean", "moving_variance")),
        *(f"{part}_{what}" for part in ("beta", "gamma") for what in ("regularizer", "constraint")),
    ),
    # Keras 2.3.1 lacks these two, and tf.keras has them.
    "LayerNormalization": (
        "axis",
        "epsilon",
        "center",
        "scale",
        *(
            f"{part}_{what}"
            for part in ("beta", "gamma")
            for what in ("initializer", "regularizer", "constraint")
        ),
    ),
    "Attention": ("use_scale", "score_mode", "dropout"),
    "GaussianNoise": ("stddev",),
    "GaussianDropout": ("rate",),
    "AlphaDropout": ("rate", "noise_shape", "seed"),
    "SimpleRNN": (
        "units",
        "activation",
        *_KERNEL,
        *_RECURRENT,
        *_BIAS,
        "dropout",
        "recurrent_dropout",
        *_RNN,
    ),
}
# Merging layers, whose masks the generations combine differently.
MERGING = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")


def chain_of(layer: Layer, arrays: Sequence[Any], context: Context, shown: str | None = None) -> list[Piece]:
    """The pieces that compute in Keras 3 what a layer computed, except for wrappers and models.

    arrays: its weights, in the order of Keras 2.
    shown: the name of the layer that the user knows, if this one is inside of it.
    Raises UserError: Keras 3 has no such layer, and nothing replaces it.
    """
    shown = shown or layer.name
    if layer.kind in context.custom:
        return [_custom(layer, arrays)]
    if layer.kind in _SPECIAL:
        return _SPECIAL[layer.kind](layer, arrays, context, shown)
    if layer.kind in _ALIKE:
        return _with_old_activation(_piece(layer, layer.kind, _ALIKE[layer.kind], arrays))
    raise UserError(unknown(layer.kind, shown))


_OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")


def unknown(kind: str, name: str) -> str:
    if kind in _OPERATIONS:
        return (
            f"layer {name!r} is an operation of TensorFlow that was used outside of a layer, as in x * 2. "
            "No other backend has it. Build the model with a Lambda layer or a class of your own, load "
            "the old weights into it, and save it again"
        )
    return (
        f"layer {name!r} is of the class {kind!r}, which is not a layer of Keras 2.3.1. If it is your own, "
        "give the "
        f"file that defines it: --custom my_layers.py, with a class {kind} that runs on Keras 2 and on Keras "
        "3"
    )


def is_known(kind: str) -> bool:
    return kind in _SPECIAL or kind in _ALIKE


def _piece(layer: Layer, kind: str, keys: Sequence[str], arrays: Sequence[Any] = (), **changes: Any) -> Piece:
    config = {key: layer.config[key] for key in keys if key in layer.config}
    config.update(changes)
    if layer.config.get("dtype") in ("float16", "float64"):
        config["dtype"] = layer.config["dtype"]
    return Piece(
        kind,
        layer.name,
        config,
        tuple(arrays) if arrays else None,
        trainable=layer.trainable,
    )


def _custom(layer: Layer, arrays: Sequence[Any]) -> Piece:
    config = {key: value for key, value in layer.config.items() if key not in ("name", "batch_input_shape")}
    config.pop("trainable", None)
    return Piece(
        layer.kind, layer.name, config, tuple(arrays) or None, custom=True, trainable=layer.trainable
    )


def _with_old_activation(piece: Piece) -> list[Piece]:
    """Follow a layer whose activation is the old hard_sigmoid by one that scales, and the new one.

    The weights of the layer stay what they were, so that it trains as before.
    """
    if piece.config.get("activation") != OLD_SIGMOID:
        return [piece]
    plain = replace(piece, config={**piece.config, "activation": "linear"})
    return [plain, *_old_sigmoid(piece.name)]


def _old_sigmoid(name: str) -> list[Piece]:
    return [
        Piece("Rescaling", f"{name}_times_1.2".replace(".", "_"), {"scale": STEEPER}),
        Piece("Activation", f"{name}_hard_sigmoid", {"activation": OLD_SIGMOID}),
    ]


def _activation(layer: Layer, arrays: Sequence[Any], context: Context, shown: str) -> list[Piece]:
    piece = _piece(layer, "Activation", ("activation",))
    if piece.config["activation"] == OLD_SIGMOID:
        return _old_sigmoid(layer.name)
    return [piece]


def _softmax(layer: Layer, arrays: Sequence[Any], context: Context, shown: str) -> list[Piece]:
    if layer.config.get("axis", -1) in (-1, [-1]):
        # The layer Softmax of Keras 3 leaves out what is masked. That of Keras 2 does not.
        return [_piece(layer, "Activation", (), activation="softmax")]
    return [_piece(layer, "Softmax", ("axis",))]


def _leaky(layer: Layer, arrays: Sequence[Any], context: Context, shown: str) -> list[Piece]:
    return [_piece(layer, "LeakyReLU", (), negative_slope=layer.config.get("alpha", 0.3))]


def _thresholded(layer: Layer, arrays: Sequence[Any], context: Context, shown: str) -> list[Piece]:
    return [_piece(layer, "ReLU", (), threshold=layer.config.get("theta", 1.0))]


def _normalization(layer: Layer, arrays: Sequence[Any], context: Context, shown: str) -> list[Piece]:
    axis = layer.config.get("axis", -1)
    if layer.config.get("mode", 0):
        raise UserError(
            f"layer {shown!r} is a BatchNormalization with mode={layer.config['mode']} of Keras 1, which "
            "neither "
            "Keras 2 nor Keras 3 has. Expected mode=0"
        )
    if not layer.trainable:
        context.note(
            shown, "it is frozen. In training, Keras 2 still uses the statistics of the batch, Keras 3 not"
        )
    # tf.keras lists the one axis that it has.
    return [
        _piece(
            layer,
            layer.kind,
            _ALIKE[layer.kind],
            arrays,
            axis=axis[0] if isinstance(axis, list | tuple) else axis,
        )
    ]


def _rnn(layer: Layer, arrays: Sequence[Any], context: Context, shown: str) -> list[Piece]:
    """LSTM, GRU, SimpleRNN, those of CuDNN, and the cells of each."""
    config = dict(layer.config)
    kind = layer.kind
    values = list(arrays)
    if kind.startswith("CuDNN"):
        values = recurrent.from_cudnn(kind, values, context) if values else values
        kind = kind.removeprefix("CuDNN")
        config.update(activation="tanh", recurrent_activation="sigmoid", use_bias=True)
        steps = " Its two biases are one now, which takes half of their steps" if kind == "LSTM" else ""
        context.note(
            shown, f"{layer.kind} runs on a GPU only. It is a {kind} now, which computes the same.{steps}"
        )
        if kind == "GRU":
            config["reset_after"] = True
    elif kind.startswith("GRU"):
        # The default of Keras 1 and 2 is False, and of Keras 3 True.
        config["reset_after"] = bool(config.get("reset_after", False))
    plain = Layer(kind, layer.name, config)
    factors = recurrent.scales(plain, context, shown)
    values = [recurrent.with_factors(value, factors, context) for value in values]
    family = recurrent.family(kind)
    keys = [*(_GATED if family != "SimpleRNN" else _ALIKE["SimpleRNN"]), "dropout", "recurrent_dropout"]
    if not kind.endswith("Cell"):
        keys += _RNN
    elif "activity_regularizer" in keys:
        keys.remove("activity_regularizer")
    if family == "GRU":
        keys.append("reset_after")
    if family == "LSTM":
        keys.append("unit_forget_bias")
    if kind.endswith("Cell"):
        keys = [key for key in keys if key not in _RNN]
    piece = _piece(Layer(kind, layer.name, config), kind, list(dict.fromkeys(keys)), values)
    if config.get("reset_after") and layer.config.get("recurrent_dropout"):
        context.note(shown, "with reset_after, the generations draw the dropout of the state differently")
    return [replace(piece, trainable=layer.trainable)]


def _lambda(layer: Layer, arrays: Sequence[Any], context: Context, shown: str) -> list[Piece]:
    """A Lambda layer calls a function of the user's file, see `function_of`."""
    name = function_of(layer)
    config = {"arguments": layer.config.get("arguments") or {}}
    shape = layer.config.get("output_shape")
    if layer.config.get("output_shape_type", "raw") == "raw" and isinstance(shape, list):
        config["output_shape"] = shape
    return [
        Piece("Lambda", layer.name, config, custom=True, inner={"function": Piece(name, name, custom=True)})
    ]


def function_of(layer: Layer) -> str:
    """The name that the function of a Lambda layer has in the user's file.

    It is that of the layer, with underscores for what no name of Python has: tf.keras names a layer "lambda".
    """
    named = layer.config.get("function")
    if layer.config.get("function_type") == "function" and isinstance(named, str):
        return named
    name = re.sub(r"\W", "_", layer.name)
    return f"{name}_" if keyword.iskeyword(name) else name


def missing_function(layer: Layer) -> str:
    name = function_of(layer)
    if layer.config.get("function_type") == "function":
        return (
            f"layer {layer.name!r} is a Lambda layer that calls your function {name!r}, of which the file "
            "has only "
            f"the name. Give the file that defines it: --custom my_layers.py, with a function {name}"
        )
    return (
        f"layer {layer.name!r} is a Lambda layer whose code the file keeps as bytecode of the Python that "
        "wrote "
        "it. No other Python can run it, and it could do anything, so it is not run. Write what it computes "
        "as a "
        f"function: def {name}(x): ..., and give the file with --custom my_layers.py. If you trust the old "
        "file, "
        "--trust runs its own code in the keras2 runtime, to prove that your function computes the same"
    )


def _upsampling(layer: Layer, arrays: Sequence[Any], context: Context, shown: str) -> list[Piece]:
    """Bilinear interpolation starts at the corners of the pixels in Keras 2, and at their centres in Keras 3.

    To double a size from the corners is to repeat each pixel, and to take the mean of each two neighbours, of
    which the last pixel has one. That is a pooling with padding at the end.
    """
    piece = _piece(layer, "UpSampling2D", ("size", "data_format", "interpolation"))
    size = piece.config.get("size", [2, 2])
    size = list(size) if isinstance(size, list | tuple) else [size, size]
    if piece.config.get("interpolation") != "bilinear":
        return [piece]
    if context.tensorflow_2:
        context.may_differ(
            shown,
            "TensorFlow 2 interpolates from the centres of the pixels, as the new model does, and TensorFlow "
            "1.14, on which the old file was run, from their corners",
        )
        return [piece]
    if context.tf_keras:
        context.note(
            shown,
            "it interpolates as TensorFlow 1 does, from the corners of the pixels. TensorFlow 2.0 and 2.1 "
            "start at the centres, and note the same version in their files",
        )
    if any(factor > 2 for factor in size):
        context.may_differ(
            shown,
            "bilinear interpolation starts at the corners of the pixels in Keras 2, and at their centres in "
            "Keras 3",
        )
        return [piece]
    form = {key: piece.config[key] for key in ("data_format",) if key in piece.config}
    mean = {"pool_size": size, "strides": [1, 1], "padding": "same", **form}
    repeated = replace(piece, config={**piece.config, "interpolation": "nearest"})
    return [repeated, Piece("AveragePooling2D", f"{layer.name}_means", mean)]


_ONEDNN = (
    "with channels_first, TensorFlow computes convolutions on some CPUs only if TF_ENABLE_ONEDNN_OPTS=1 is "
    "set in the environment"
)
_Special = Callable[[Layer, Sequence[Any], Context, str], list[Piece]]


def _convolved(kind: str, keys: Sequence[str]) -> _Special:
    def chain(layer: Layer, arrays: Sequence[Any], context: Context, shown: str) -> list[Piece]:
        piece = _piece(layer, kind, keys, arrays)
        if layer.config.get("data_format") == "channels_first":
            context.note_once(shown, _ONEDNN)
        first, *rest = _with_old_activation(piece)
        return [*convolution.with_old_padding(first, layer, context), *rest]

    return chain


def _pooled(layer: Layer, arrays: Sequence[Any], context: Context, shown: str) -> list[Piece]:
    piece = _piece(layer, layer.kind, _POOLED)
    convolution.warn_of_pooling(piece, context, shown)
    return [piece]


def _conv_lstm(layer: Layer, arrays: Sequence[Any], context: Context, shown: str) -> list[Piece]:
    factors = recurrent.scales(layer, context, shown)
    values = [recurrent.with_factors(value, factors, context) for value in arrays]
    if context.mirrored:
        values[:2] = [
            context.changed(convolution.mirrored(value), value, rearranged(convolution.mirrored))
            for value in values[:2]
        ]
        convolution.warn_of_padding(layer, context, shown)
    keys = [*_CONVOLUTION, "recurrent_activation", *_KERNEL, *_RECURRENT, *_BIAS, "unit_forget_bias"]
    keys += ["dropout", "recurrent_dropout", "return_sequences", "return_state", "go_backwards", "stateful"]
    return [_piece(layer, "ConvLSTM2D", keys, values)]


def _locally_connected(layer: Layer, arrays: Sequence[Any], context: Context, shown: str) -> list[Piece]:
    return convolution.locally_connected(layer, arrays, context, shown)


_SPECIAL: dict[str, _Special] = {
    "Activation": _activation,
    "Softmax": _softmax,
    "LeakyReLU": _leaky,
    "ThresholdedReLU": _thresholded,
    "BatchNormalization": _normalization,
    "Lambda": _lambda,
    "UpSampling2D": _upsampling,
    "ConvLSTM2D": _conv_lstm,
    **{f"{family}{end}": _rnn for family in ("LSTM", "GRU", "SimpleRNN") for end in ("", "Cell")},
    "LocallyConnected1D": _locally_connected,
    "LocallyConnected2D": _locally_connected,
    "CuDNNLSTM": _rnn,
    "CuDNNGRU": _rnn,
    **{
        f"Conv{rank}D": _convolved(f"Conv{rank}D", (*_CONVOLUTION, *_KERNEL, *_BIAS, "groups"))
        for rank in (1, 2, 3)
    },
    **{
        f"Conv{rank}DTranspose": _convolved(
            f"Conv{rank}DTranspose", (*_CONVOLUTION, *_KERNEL, *_BIAS, "output_padding")
        )
        for rank in (2, 3)
    },
    **{
        f"SeparableConv{rank}D": _convolved(
            f"SeparableConv{rank}D", (*_CONVOLUTION, *_SEPARABLE, *_BIAS, "depth_multiplier")
        )
        for rank in (1, 2)
    },
    "DepthwiseConv2D": _convolved(
        "DepthwiseConv2D",
        (
            "kernel_size",
            "strides",
            "padding",
            "depth_multiplier",
            "data_format",
            "dilation_rate",
            "activation",
            *_SEPARABLE[:3],
            *_BIAS,
        ),
    ),
    **{f"{kind}Pooling{rank}D": _pooled for kind in ("Max", "Average") for rank in (1, 2, 3)},
}
