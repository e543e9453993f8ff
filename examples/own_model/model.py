"""A small convolutional network, written in Keras alone, so that every backend can train it."""

from keras import Sequential, layers


def build(width=16, dropout=0.0, input_shape=(8, 8, 1), output_units=10):
    """Return a model that is not compiled. backendexp compiles it as `training` says.

    input_shape and output_units come from the data, because the function asks for them by these names.
    """
    return Sequential(
        [
            layers.Input(input_shape),
            layers.Conv2D(width, 3, padding="same", activation="relu"),
            layers.Conv2D(width, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dropout(dropout),
            layers.Dense(output_units, activation="softmax"),
        ]
    )
