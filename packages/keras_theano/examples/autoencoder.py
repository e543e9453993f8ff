"""A convolutional autoencoder that removes noise.

The encoder makes an image of 16 x 16 pixels into 4 x 4 features by convolutions with strides. The decoder
makes it large again by transposed convolutions. In training, the inputs are noisy and the targets are clean,
so the network learns what the images have in common: each shows a disc.
"""

import keras
import numpy as np
from keras import layers
from same_start import draw_weights

IMAGES, SIZE = 320, 16

rng = np.random.default_rng(0)
rows, columns = np.mgrid[:SIZE, :SIZE]
centre = rng.uniform(4, SIZE - 4, size=(2, IMAGES, 1, 1))
radius = rng.uniform(2, 5, size=(IMAGES, 1, 1))
clean = ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2)[..., None].astype("float32")
noisy = (clean + 0.5 * rng.normal(size=clean.shape)).astype("float32")

image = keras.Input((SIZE, SIZE, 1))
small = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
code = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="code")(small)
large = layers.Conv2DTranspose(16, 3, strides=2, padding="same", activation="relu")(code)
large = layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(large)
restored = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(large)
autoencoder = keras.Model(image, restored)
draw_weights(autoencoder)

autoencoder.compile(keras.optimizers.Adam(0.005), "binary_crossentropy")
training, new = slice(0, 256), slice(256, None)
history = autoencoder.fit(
    noisy[training],
    clean[training],
    epochs=6,
    batch_size=32,
    shuffle=False,
    verbose=0,
    validation_data=(noisy[new], clean[new]),
).history

print("losses:", *[f"{loss:.4f}" for loss in history["loss"]])
print("losses on new images:", *[f"{loss:.4f}" for loss in history["val_loss"]])
result = autoencoder.predict(noisy[new], verbose=0)
print(f"mean error of a pixel before and after: {np.abs(noisy[new] - clean[new]).mean():.4f}", end=" ")
print(f"{np.abs(result - clean[new]).mean():.4f}")

# The encoder alone is a model that uses the same weights.
encoder = keras.Model(image, code)
codes = encoder.predict(clean[new], verbose=0)
print("shape of a code:", *codes.shape[1:])
area_and_code = np.corrcoef(clean[new].sum(axis=(1, 2, 3)), codes.sum(axis=(1, 2, 3)))[0, 1]
print(f"correlation of a disc's area with the sum of its code: {area_and_code:.4f}")
