"""A convolutional classifier: convolutions, pooling, batch normalization, dropout and augmentation.

The images show a bar that is upright, level or diagonal, somewhere in noise. Batch normalization and dropout
behave differently in training and afterwards. Random numbers differ between the backends, so dropout is only
shown on one layer here, and the augmentation turns every second image instead of random ones.
"""

import keras
import numpy as np
from keras import layers, ops
from same_start import draw_weights

IMAGES, SIZE, LENGTH = 480, 16, 7


def bars(rng):
    """Return images, shape (IMAGES, SIZE, SIZE, 1), and the kinds of the bars: 0, 1 or 2."""
    kinds = rng.integers(0, 3, IMAGES)
    images = 0.6 * rng.normal(size=(IMAGES, SIZE, SIZE, 1))
    along = np.arange(LENGTH)
    for image, kind in zip(images, kinds, strict=True):
        row, column = rng.integers(0, SIZE - LENGTH, 2)
        image[row + along * (kind != 1), column + along * (kind != 0), 0] += 2.0
    return images.astype("float32"), kinds


class TurnEverySecond(layers.Layer):
    """Turns every second image of a batch by half a turn, in training only."""

    def call(self, images, training=False):
        if not training:
            return images
        second = ops.arange(ops.shape(images)[0]) % 2 == 1
        return ops.where(second[:, None, None, None], ops.flip(images, axis=(1, 2)), images)


x, y = bars(np.random.default_rng(0))
model = keras.Sequential(
    [
        keras.Input((SIZE, SIZE, 1)),
        TurnEverySecond(),
        layers.Conv2D(8, 3, padding="same", use_bias=False),
        layers.BatchNormalization(momentum=0.8),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.SeparableConv2D(16, 3, activation="relu"),
        layers.GlobalMaxPooling2D(),
        layers.Dense(3, activation="softmax"),
    ]
)
draw_weights(model)
model.compile(
    keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"]
)
history = model.fit(x[:384], y[:384], epochs=4, batch_size=32, shuffle=False, verbose=0).history
loss, accuracy = model.evaluate(x[384:], y[384:], verbose=0)

print(f"loss of the first and the last epoch: {history['loss'][0]:.4f} {history['loss'][-1]:.4f}")
print(f"loss and accuracy on new images: {loss:.4f} {accuracy:.4f}")
predicted = model.predict(x[384:], verbose=0).argmax(axis=1)
confusion = np.histogram2d(y[384:], predicted, bins=3)[0].astype(int)
print("predictions for each kind:", *confusion.ravel())
norm = model.layers[2]
print(f"moving mean, summed: {ops.convert_to_numpy(norm.moving_mean).sum():.4f}")
print(f"moving variance, summed: {ops.convert_to_numpy(norm.moving_variance).sum():.4f}")

dropout, ones = layers.Dropout(0.25, seed=0), np.ones((200, 200), "float32")
kept = ops.convert_to_numpy(dropout(ones, training=True))
print("dropout changes nothing after training:", np.array_equal(dropout(ones, training=False), ones))
print(f"what dropout keeps is scaled to: {kept.max():.4f}")
print("it drops a quarter:", abs((kept == 0).mean() - 0.25) < 0.01)
