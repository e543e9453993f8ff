"""Saves a model for each layer of Keras 2.3.1 into a folder, by the backend that KERAS_BACKEND names.

It runs on Python 3.7 in the keras2 runtime: python porting_models.py FOLDER [NAME ...]. `porting.py` calls
it. With TF_KERAS=1 in the environment, tf.keras saves them instead of Keras.
"""

import os
import sys

import numpy as np

TF_KERAS = os.environ.get("TF_KERAS") == "1"
if TF_KERAS:
    from tensorflow.keras import backend as K
    from tensorflow.keras import layers as L
    from tensorflow.keras.models import Model, Sequential
else:
    from keras import backend as K
    from keras import layers as L
    from keras.models import Model, Sequential

THEANO = K.backend() == "theano"
CASES = {}


def case(name, theano=True):
    """Register a function that makes a model. theano: whether Theano 1.0.4 can run it."""

    def register(make):
        if theano or not THEANO:
            CASES[name] = make
        return make

    return register


def one(name, shape, kind, *arguments, **keywords):
    """Register a model of a single layer."""
    options = {key: keywords.pop(key) for key in ("theano",) if key in keywords}

    @case(name, **options)
    def make():
        model = Sequential()
        model.add(kind(*arguments, input_shape=shape, **keywords))
        return model


# Core
one("Dense", (6,), L.Dense, 5, activation="tanh")
one("Dense, three axes", (4, 6), L.Dense, 5, use_bias=False)
for activation in (
    *(
        "softmax",
        "elu",
        "selu",
        "softplus",
        "softsign",
        "relu",
        "tanh",
        "sigmoid",
        "hard_sigmoid",
        "exponential",
    ),
    "linear",
):
    one("Activation " + activation, (6,), L.Activation, activation)
one("Dense with hard_sigmoid", (6,), L.Dense, 5, activation="hard_sigmoid")
one("Dropout", (6,), L.Dropout, 0.5)
one("SpatialDropout1D", (5, 4), L.SpatialDropout1D, 0.5)
one("SpatialDropout2D", (5, 5, 3), L.SpatialDropout2D, 0.5)
one("SpatialDropout3D", (4, 4, 4, 2), L.SpatialDropout3D, 0.5)
one("Flatten", (3, 4), L.Flatten)
one("Flatten, channels_first", (3, 4, 5), L.Flatten, data_format="channels_first")
one("Reshape", (12,), L.Reshape, (3, 4))
one("Reshape, one size free", (12,), L.Reshape, (-1, 4))
one("Permute", (3, 4), L.Permute, (2, 1))
one("RepeatVector", (6,), L.RepeatVector, 3)
one("ActivityRegularization", (6,), L.ActivityRegularization, l1=0.01, l2=0.01)


@case("Masking and LSTM")
def _masking():
    return Sequential([L.Masking(0.0, input_shape=(7, 4)), L.LSTM(5, return_sequences=True), L.LSTM(3)])


# Convolutions
one("Conv1D", (9, 4), L.Conv1D, 5, 3, activation="relu")
one("Conv1D, same", (9, 4), L.Conv1D, 5, 3, padding="same")
one("Conv1D, same, even kernel", (9, 4), L.Conv1D, 5, 4, padding="same")
one("Conv1D, same, strides", (10, 4), L.Conv1D, 5, 3, padding="same", strides=2)
one("Conv1D, causal, dilated", (9, 4), L.Conv1D, 5, 3, padding="causal", dilation_rate=2)
one("Conv1D, channels_first", (4, 9), L.Conv1D, 5, 3, data_format="channels_first")
one("Conv2D", (8, 9, 3), L.Conv2D, 5, (3, 2), activation="relu")
one("Conv2D, same, strides", (8, 9, 3), L.Conv2D, 5, 3, padding="same", strides=2)
one("Conv2D, same, even kernel", (8, 9, 3), L.Conv2D, 5, (2, 4), padding="same")
one("Conv2D, dilated", (9, 9, 3), L.Conv2D, 5, 3, dilation_rate=2)
one("Conv2D, channels_first", (3, 8, 9), L.Conv2D, 5, 3, data_format="channels_first")
one(
    "Conv2D, channels_first, same",
    (3, 8, 9),
    L.Conv2D,
    5,
    3,
    padding="same",
    strides=2,
    data_format="channels_first",
)
one("Conv3D", (5, 6, 7, 2), L.Conv3D, 3, (2, 3, 3), activation="relu")
one("Conv3D, channels_first", (2, 5, 6, 7), L.Conv3D, 3, 2, data_format="channels_first")
one("Conv3D, same, strides", (5, 6, 7, 2), L.Conv3D, 3, 3, padding="same", strides=2)
one("SeparableConv1D", (9, 4), L.SeparableConv1D, 5, 3, depth_multiplier=2)
one("SeparableConv2D", (8, 9, 3), L.SeparableConv2D, 5, 3, depth_multiplier=2, activation="relu")
one("SeparableConv2D, same", (8, 8, 3), L.SeparableConv2D, 5, 3, padding="same")
one("DepthwiseConv2D", (8, 9, 3), L.DepthwiseConv2D, 3, depth_multiplier=2)
one("DepthwiseConv2D, same, strides", (8, 8, 3), L.DepthwiseConv2D, 3, padding="same", strides=2)
one("Conv2DTranspose", (5, 6, 3), L.Conv2DTranspose, 4, 3, strides=2)
one("Conv2DTranspose, same", (5, 6, 3), L.Conv2DTranspose, 4, 3, strides=2, padding="same")
one(
    "Conv2DTranspose, output_padding",
    (5, 6, 3),
    L.Conv2DTranspose,
    4,
    3,
    strides=2,
    padding="same",
    output_padding=1,
)
one(
    "Conv2DTranspose, channels_first",
    (3, 5, 6),
    L.Conv2DTranspose,
    4,
    3,
    strides=2,
    data_format="channels_first",
)
one("Conv3DTranspose", (3, 4, 4, 2), L.Conv3DTranspose, 3, 3, strides=2)
one("Cropping1D", (9, 4), L.Cropping1D, (1, 2))
one("Cropping2D", (8, 9, 3), L.Cropping2D, ((1, 2), (2, 1)))
one("Cropping2D, channels_first", (3, 8, 9), L.Cropping2D, 1, data_format="channels_first")
one("Cropping3D", (5, 6, 7, 2), L.Cropping3D, ((1, 1), (2, 1), (1, 2)))
one("UpSampling1D", (5, 4), L.UpSampling1D, 3)
one("UpSampling2D", (4, 5, 3), L.UpSampling2D, (2, 3))
one("UpSampling2D, channels_first", (3, 4, 5), L.UpSampling2D, 2, data_format="channels_first")
one("UpSampling2D, bilinear", (4, 5, 3), L.UpSampling2D, 2, interpolation="bilinear")
one("UpSampling3D", (3, 4, 4, 2), L.UpSampling3D, 2)
one("ZeroPadding1D", (5, 4), L.ZeroPadding1D, (1, 2))
one("ZeroPadding2D", (4, 5, 3), L.ZeroPadding2D, ((1, 2), (0, 1)))
one("ZeroPadding2D, channels_first", (3, 4, 5), L.ZeroPadding2D, 1, data_format="channels_first")
one("ZeroPadding3D", (3, 4, 4, 2), L.ZeroPadding3D, 1)
one("LocallyConnected1D", (9, 4), L.LocallyConnected1D, 5, 3, activation="relu")
one("LocallyConnected2D", (6, 7, 3), L.LocallyConnected2D, 4, (3, 2))

# Pooling
for kind in ("Max", "Average"):
    one(kind + "Pooling1D", (9, 4), getattr(L, kind + "Pooling1D"), 2)
    one(kind + "Pooling1D, same", (9, 4), getattr(L, kind + "Pooling1D"), 2, padding="same")
    one(
        kind + "Pooling1D, channels_first",
        (4, 9),
        getattr(L, kind + "Pooling1D"),
        3,
        data_format="channels_first",
    )
    one(kind + "Pooling2D", (8, 9, 3), getattr(L, kind + "Pooling2D"), (2, 3))
    one(kind + "Pooling2D, strides", (8, 9, 3), getattr(L, kind + "Pooling2D"), 3, strides=2)
    one(kind + "Pooling2D, same", (8, 9, 3), getattr(L, kind + "Pooling2D"), 2, padding="same")
    one(
        kind + "Pooling2D, same, strides",
        (9, 9, 3),
        getattr(L, kind + "Pooling2D"),
        3,
        strides=2,
        padding="same",
    )
    one(
        kind + "Pooling2D, channels_first",
        (3, 8, 9),
        getattr(L, kind + "Pooling2D"),
        2,
        data_format="channels_first",
    )
    one(kind + "Pooling3D", (4, 6, 6, 2), getattr(L, kind + "Pooling3D"), 2)
    for rank in (1, 2, 3):
        one(
            "Global%sPooling%dD" % (kind, rank),
            (5,) * rank + (3,),
            getattr(L, "Global%sPooling%dD" % (kind, rank)),
        )
    one(
        "Global%sPooling2D, channels_first" % kind,
        (3, 5, 6),
        getattr(L, "Global%sPooling2D" % kind),
        data_format="channels_first",
    )

# Recurrent
for kind in ("SimpleRNN", "GRU", "LSTM"):
    one(kind, (7, 4), getattr(L, kind), 5)
    one(kind + ", sequences", (7, 4), getattr(L, kind), 5, return_sequences=True, activation="relu")
    one(kind + ", backwards", (7, 4), getattr(L, kind), 5, go_backwards=True, use_bias=False)
    one(kind + ", dropout", (7, 4), getattr(L, kind), 5, dropout=0.2, recurrent_dropout=0.2)
    one(kind + ", unrolled", (4, 4), getattr(L, kind), 5, unroll=True)

    @case("Bidirectional " + kind)
    def _both(kind=kind):
        return Sequential([L.Bidirectional(getattr(L, kind)(4, return_sequences=True), input_shape=(6, 3))])

    @case(kind + ", stateful")
    def _stateful(kind=kind):
        return Sequential([getattr(L, kind)(4, stateful=True, batch_input_shape=(3, 5, 2))])

    @case(kind + ", states")
    def _states(kind=kind):
        start = L.Input((5, 2))
        found = getattr(L, kind)(4, return_state=True)(start)
        again = getattr(L, kind)(4, return_sequences=True)(start, initial_state=found[1:])
        return Model(start, [found[0], again])

    @case("RNN of cells " + kind)
    def _cells(kind=kind):
        cell = getattr(L, kind + "Cell")
        start = L.Input((5, 2))
        return Model(start, L.RNN([cell(3), cell(4)])(start))


one("GRU, reset_after", (7, 4), L.GRU, 5, reset_after=True)
one("GRU, reset_after, sigmoid", (7, 4), L.GRU, 5, reset_after=True, recurrent_activation="sigmoid")
one("LSTM, sigmoid", (7, 4), L.LSTM, 5, recurrent_activation="sigmoid")
one("LSTM with hard_sigmoid", (7, 4), L.LSTM, 5, recurrent_activation="hard_sigmoid")
one("GRU with hard_sigmoid gates", (7, 4), L.GRU, 5, recurrent_activation="hard_sigmoid")
one("GRU, reset_after, hard_sigmoid", (7, 4), L.GRU, 5, reset_after=True, recurrent_activation="hard_sigmoid")
one("SimpleRNN with hard_sigmoid", (7, 4), L.SimpleRNN, 5, activation="hard_sigmoid")
one("GRU with hard_sigmoid", (7, 4), L.GRU, 5, activation="hard_sigmoid")
one("ConvLSTM2D", (4, 6, 6, 2), L.ConvLSTM2D, 3, 3)
one("ConvLSTM2D, same", (4, 6, 6, 2), L.ConvLSTM2D, 3, 3, padding="same", return_sequences=True)
for merge_mode in ("sum", "mul", "ave"):

    @case("Bidirectional, " + merge_mode)
    def _merged(merge_mode=merge_mode):
        return Sequential([L.Bidirectional(L.GRU(4), merge_mode=merge_mode, input_shape=(6, 3))])


@case("Bidirectional, masked")
def _masked_both():
    layers = [
        L.Embedding(9, 4, mask_zero=True, input_length=6),
        L.Bidirectional(L.LSTM(3, return_sequences=True)),
    ]
    return Sequential(layers + [L.Bidirectional(L.GRU(3))])


@case("CuDNNLSTM", theano=False)
def _cudnn_lstm():
    return Sequential(
        [L.CuDNNLSTM(4, return_sequences=True, input_shape=(6, 3)), L.Bidirectional(L.CuDNNLSTM(3))]
    )


@case("CuDNNGRU", theano=False)
def _cudnn_gru():
    return Sequential(
        [L.CuDNNGRU(4, return_sequences=True, input_shape=(6, 3)), L.Bidirectional(L.CuDNNGRU(3))]
    )


@case("TimeDistributed")
def _distributed():
    inner = [L.TimeDistributed(L.Dense(4, activation="hard_sigmoid"), input_shape=(5, 3))]
    return Sequential(inner + [L.TimeDistributed(L.BatchNormalization())])


@case("TimeDistributed convolution")
def _distributed_convolution():
    inner = L.TimeDistributed(L.Conv2D(4, 3, padding="same", strides=2), input_shape=(3, 6, 6, 2))
    return Sequential([inner, L.TimeDistributed(L.Flatten()), L.LSTM(3)])


@case("TimeDistributed model")
def _distributed_model():
    inner = Sequential([L.Dense(4, input_shape=(3,)), L.BatchNormalization()])
    return Sequential([L.TimeDistributed(inner, input_shape=(5, 3))])


# Embedding
one("Embedding", (6,), L.Embedding, 9, 4)


@case("Embedding with mask")
def _embedded():
    return Sequential([L.Embedding(9, 4, mask_zero=True, input_length=6), L.LSTM(3), L.Dense(2)])


@case("Embedding with mask, averaged")
def _averaged():
    return Sequential([L.Embedding(9, 4, mask_zero=True, input_length=6), L.GlobalAveragePooling1D()])


# Merge
for kind in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"):

    @case(kind)
    def _merge(kind=kind):
        a, b = L.Input((4,)), L.Input((4,))
        return Model([a, b], getattr(L, kind)()([L.Dense(3)(a), L.Dense(3)(b)]))


@case("Dot")
def _dot():
    a, b = L.Input((4,)), L.Input((4,))
    return Model([a, b], [L.Dot(1)([a, b]), L.Dot(1, normalize=True)([a, b])])


@case("Dot, three axes")
def _dot_of_sequences():
    a, b = L.Input((5, 4)), L.Input((6, 4))
    return Model([a, b], L.Dot((2, 2))([a, b]))


@case("Concatenate, other axis")
def _concatenate():
    a, b = L.Input((5, 4)), L.Input((6, 4))
    return Model([a, b], L.Concatenate(axis=1)([a, b]))


@case("Concatenate, masked")
def _concatenate_masked():
    a, b = L.Input((6,)), L.Input((6,))
    words = L.Embedding(9, 4, mask_zero=True)
    return Model([a, b], L.LSTM(3)(L.Concatenate()([words(a), words(b)])))


@case("Add, masked alike")
def _add_masked():
    a = L.Input((6,))
    words = L.Embedding(9, 4, mask_zero=True)(a)
    return Model(a, L.LSTM(3)(L.Add()([words, L.LSTM(4, return_sequences=True)(words)])))


# Normalization, noise
one("BatchNormalization", (6,), L.BatchNormalization)
one("BatchNormalization, epsilon", (6,), L.BatchNormalization, epsilon=1e-4, momentum=0.9, scale=False)
one("BatchNormalization, no centre", (4, 5, 3), L.BatchNormalization, center=False)
one("BatchNormalization, axis 1", (3, 4, 5), L.BatchNormalization, axis=1)
one("GaussianNoise", (6,), L.GaussianNoise, 0.5)
one("GaussianDropout", (6,), L.GaussianDropout, 0.5)
one("AlphaDropout", (6,), L.AlphaDropout, 0.5)

# Advanced activations
one("LeakyReLU", (6,), L.LeakyReLU, 0.2)
one("PReLU", (4, 5, 3), L.PReLU, shared_axes=[1, 2])
one("ELU", (6,), L.ELU, 0.7)
one("ThresholdedReLU", (6,), L.ThresholdedReLU, 0.4)
one("Softmax", (6,), L.Softmax)
one("Softmax, axis 1", (4, 5), L.Softmax, axis=1)
one("ReLU", (6,), L.ReLU, max_value=1.5, negative_slope=0.1, threshold=0.3)


@case("Softmax, masked")
def _softmax_masked():
    return Sequential([L.Embedding(9, 4, mask_zero=True, input_length=6), L.Softmax()])


# Functional models
@case("Shared layers")
def _shared():
    a, b = L.Input((4,), name="left"), L.Input((4,), name="right")
    dense = L.Dense(5, activation="relu")
    first, second = dense(a), dense(b)
    out = L.Dense(3, name="one")(L.Concatenate()([first, second]))
    return Model([a, b], [out, L.Dense(2, activation="softmax", name="two")(dense(L.Dense(4)(second)))])


@case("Nested models")
def _nested():
    inner = Sequential([L.Dense(5, input_shape=(4,)), L.BatchNormalization(), L.Dense(3, activation="tanh")])
    x, y = L.Input((4,)), L.Input((3,))
    branch = Model([x, y], [L.Concatenate()([inner(x), y]), L.BatchNormalization()(y)])
    a, b = L.Input((4,)), L.Input((3,))
    first, second = branch([a, b])
    again, _ = branch([L.Dense(4)(a), second])
    return Model([a, b], [first, L.Dense(2)(again)])


@case("Nested, frozen in part")
def _frozen():
    inner = Sequential([L.Dense(5, input_shape=(4,)), L.BatchNormalization(), L.Dense(3)])
    inner.layers[0].trainable = False
    return Sequential([inner, L.Dense(2)])


@case("Network with branches")
def _branches():
    start = L.Input((8, 8, 3))
    value = L.Conv2D(4, 3, padding="same", use_bias=False)(start)
    value = L.Activation("relu")(L.BatchNormalization(epsilon=1e-4)(value))
    other = L.Conv2D(4, 1, use_bias=False)(start)
    value = L.MaxPooling2D()(L.Add()([value, other]))
    return Model(start, L.Dense(5, activation="softmax")(L.GlobalAveragePooling2D()(value)))


def randomise(model):
    """Give the model weights that are not 0. What starts at 1, as a variance does, stays above 0."""
    stream = np.random.RandomState(3)
    weights = []
    for value in model.get_weights():
        drawn = stream.normal(scale=0.5, size=value.shape)
        weights.append(np.abs(drawn) + 0.1 if np.all(value == 1) else drawn)
    model.set_weights(weights)


def _forget():
    """Let the names of layers start at 1 again, and let CuDNN's layers be saved where there is no GPU."""
    K.reset_uids()
    if not THEANO:
        import tensorflow

        K.clear_session()
        options = tensorflow.compat.v1.GraphOptions(place_pruned_graph=True)
        K.set_session(
            tensorflow.compat.v1.Session(config=tensorflow.compat.v1.ConfigProto(graph_options=options))
        )


def main(folder, names):
    for name, make in CASES.items():
        # tf.keras does not save the layers of CuDNN without a GPU.
        if (names and name not in names) or (TF_KERAS and name.startswith("CuDNN")):
            continue
        _forget()
        model = make()
        if not name.startswith("CuDNN"):
            randomise(model)
        else:
            K.batch_set_value(
                [
                    (weight, np.random.RandomState(3).normal(scale=0.5, size=K.int_shape(weight)))
                    for weight in model.weights
                ]
            )
        model.save(os.path.join(folder, name.replace(" ", "_").replace(",", "") + ".h5"))
        print(name)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
