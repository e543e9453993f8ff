"""Each layer of Keras 2.3.1 becomes stock layers of Keras 3 that keep its meaning."""

from typing import Any

import numpy as np
import pytest

from backendexp.errors import UserError
from backendexp.porting import layers
from backendexp.porting.architecture import Layer
from backendexp.porting.pieces import Context, Piece
from support.old_files import drawn

# Everything that the user can import from keras.layers of Keras 2.3.1 and that a file can have.
NAMES = (
    "Activation ActivityRegularization Add AlphaDropout Average AveragePooling1D AveragePooling2D "
    "AveragePooling3D BatchNormalization Concatenate Conv1D Conv2D Conv2DTranspose Conv3D "
    "Conv3DTranspose ConvLSTM2D Cropping1D Cropping2D Cropping3D CuDNNGRU CuDNNLSTM Dense "
    "DepthwiseConv2D Dot Dropout ELU Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise "
    "GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D "
    "GlobalMaxPooling2D GlobalMaxPooling3D LSTM LSTMCell Lambda LeakyReLU LocallyConnected1D "
    "LocallyConnected2D Masking MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum Multiply PReLU "
    "Permute ReLU RepeatVector Reshape SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax "
    "SpatialDropout1D SpatialDropout2D SpatialDropout3D Subtract ThresholdedReLU UpSampling1D "
    "UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D "
)


def chain(kind: str, *arrays: Any, backend: str = "tensorflow", **config: Any) -> tuple[list[Piece], Context]:
    context = Context(backend, 2)
    return layers.chain_of(Layer(kind, "x", config), arrays, context), context


@pytest.mark.parametrize("kind", NAMES.split())
def test_every_layer_of_keras_2_is_known(kind: str) -> None:
    assert layers.is_known(kind)


def test_unknown_layer_asks_for_the_file_that_defines_it() -> None:
    with pytest.raises(
        UserError, match=r"'Odd', which is not a layer of Keras 2\.3\.1.*--custom my_layers\.py"
    ):
        chain("Odd")


def test_old_hard_sigmoid_is_the_new_one_of_a_scaled_input() -> None:
    pieces, _ = chain("Dense", drawn(3, 2), units=2, use_bias=False, activation="hard_sigmoid")
    assert [piece.kind for piece in pieces] == ["Dense", "Rescaling", "Activation"]
    assert pieces[0].config["activation"] == "linear"
    x = np.linspace(-4, 4, 101)
    new = np.clip(pieces[1].config["scale"] * x / 6 + 0.5, 0, 1)
    np.testing.assert_allclose(new, np.clip(0.2 * x + 0.5, 0, 1), atol=1e-12)


def test_gates_are_scaled_and_the_state_is_not() -> None:
    kernel = drawn(3, 8)
    pieces, context = chain(
        "LSTM", kernel, drawn(2, 8), drawn(8), units=2, recurrent_activation="hard_sigmoid", activation="tanh"
    )
    assert pieces[0].arrays is not None
    factors = pieces[0].arrays[0] / kernel
    np.testing.assert_allclose(factors[0], [1.2] * 4 + [1.0] * 2 + [1.2] * 2, rtol=1e-6)
    assert "multiplied by 1.2" in context.notes[0][1]


def test_gru_keeps_the_default_of_keras_2() -> None:
    pieces, _ = chain("GRU", units=2, recurrent_activation="sigmoid", activation="tanh")
    assert pieces[0].config["reset_after"] is False


def test_weights_of_cudnn_are_put_in_order() -> None:
    # For one gate, CuDNN keeps the kernel in the order of Fortran, and the transposed recurrent kernel.
    plain = [drawn(3, 8), drawn(2, 8, seed=1), drawn(8, seed=2)]
    kernels = [part.T.reshape(part.shape) for part in np.split(plain[0], 4, axis=1)]
    recurrents = [part.T for part in np.split(plain[1], 4, axis=1)]
    kept = [np.hstack(kernels), np.hstack(recurrents), np.concatenate([plain[2] / 4, 3 * plain[2] / 4])]
    pieces, _ = chain("CuDNNLSTM", *kept, units=2)
    assert pieces[0].kind == "LSTM"
    assert pieces[0].arrays is not None
    for new, old in zip(pieces[0].arrays, plain, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-6)


def test_kernel_of_theano_is_mirrored_and_its_padding_is_explicit() -> None:
    kernel = drawn(3, 2, 1, 4)
    settings: dict[str, Any] = {"filters": 4, "kernel_size": [3, 2], "strides": [2, 1], "padding": "same"}
    pieces, _ = chain("Conv2D", kernel, backend="theano", use_bias=False, **settings)
    assert [piece.kind for piece in pieces] == ["ZeroPadding2D", "Conv2D"]
    assert pieces[0].config["padding"] == [[1, 1], [1, 0]]
    assert pieces[1].config["padding"] == "valid"
    assert pieces[1].arrays is not None
    np.testing.assert_array_equal(pieces[1].arrays[0], kernel[::-1, ::-1])
    assert [piece.kind for piece in chain("Conv2D", kernel, use_bias=False, **settings)[0]] == ["Conv2D"]


def test_doubling_bilinearly_is_the_mean_of_two_neighbours() -> None:
    pieces, _ = chain("UpSampling2D", size=[2, 2], interpolation="bilinear")
    assert [piece.kind for piece in pieces] == ["UpSampling2D", "AveragePooling2D"]
    assert pieces[0].config["interpolation"] == "nearest"
    _, context = chain("UpSampling2D", size=[3, 3], interpolation="bilinear")
    assert "corners" in context.reasons["x"]


def test_code_of_a_lambda_is_not_run_but_asked_for() -> None:
    lamb = Layer("Lambda", "lambda_1", {"function": ["4wEAAA==", None, None], "function_type": "lambda"})
    said = layers.missing_function(lamb)
    assert "bytecode" in said
    assert "def lambda_1(x)" in said
    assert "--trust" in said
