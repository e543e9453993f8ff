"""Callbacks: stop early, lower the learning rate, keep the best weights, and watch the training.

Callbacks run at certain moments of `fit`, such as the end of an epoch. The data are few and noisy, so that
the model soon overfits: its loss on new data rises while its loss on the training data falls. Then two
callbacks of Keras react.
"""

import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import layers
from same_start import draw_weights


class WeightGrowth(keras.callbacks.Callback):
    """Records the norm of the first kernel at the end of each epoch, and counts the batches."""

    def on_train_begin(self, logs=None):
        self.norms, self.batches = [], 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1

    def on_epoch_end(self, epoch, logs=None):
        self.norms.append(np.linalg.norm(self.model.layers[0].get_weights()[0]))


rng = np.random.default_rng(0)
x = rng.normal(size=(160, 10)).astype("float32")
y = (x[:, :1] * x[:, 1:2] + 0.5 * rng.normal(size=(160, 1))).astype("float32")
training, validation = (x[:100], y[:100]), (x[100:], y[100:])

model = keras.Sequential([keras.Input((10,)), layers.Dense(48, activation="relu"), layers.Dense(1)])
draw_weights(model)
model.compile(keras.optimizers.Adam(0.02), "mse")

watch = WeightGrowth()
with tempfile.TemporaryDirectory() as folder:
    best = Path(folder, "best.weights.h5")
    history = model.fit(
        *training,
        validation_data=validation,
        epochs=60,
        batch_size=20,
        shuffle=False,
        verbose=0,
        callbacks=[
            keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=2),
            keras.callbacks.EarlyStopping(patience=6),
            keras.callbacks.ModelCheckpoint(best, save_best_only=True, save_weights_only=True),
            watch,
        ],
    ).history
    last = model.evaluate(*validation, verbose=0)
    model.load_weights(best)
    kept = model.evaluate(*validation, verbose=0)

print(f"epochs and batches: {len(history['loss'])} {watch.batches}")
print(f"best epoch: {1 + int(np.argmin(history['val_loss']))}")
print("learning rates:", *[f"{rate:.5f}" for rate in sorted({float(r) for r in history["learning_rate"]})])
print(f"loss on new data, at the end and at its best: {last:.4f} {kept:.4f}")
print(f"norm of the first kernel, first and last epoch: {watch.norms[0]:.4f} {watch.norms[-1]:.4f}")
