"""Transfer learning: train a network on one task, freeze it, and use it for another with few data.

First a network learns to tell six shapes of curves apart. Then its layers are frozen and a new last layer
learns another question from 40 curves only. At last the frozen layers are freed and everything is trained a
little more, with a small learning rate ("fine-tuning"). BatchNormalization stays in inference mode all the
while, because it is called with training=False.
"""

import keras
import numpy as np
from keras import layers
from same_start import draw_weights

STEPS = 32

rng = np.random.default_rng(0)


def curves(number):
    """Return curves, shape (number, STEPS, 1), and their shapes: 0 to 5, by frequency and by sharpness."""
    shape = rng.integers(0, 6, number)
    angle = np.arange(STEPS) * (0.3 + 0.25 * (shape % 3))[:, None] + rng.uniform(0, 6, (number, 1))
    smooth = np.sin(angle)
    curve = np.where(shape[:, None] < 3, smooth, np.sign(smooth)) + 0.3 * rng.normal(size=(number, STEPS))
    return curve[..., None].astype("float32"), shape


# -- the first task --------------------------------------------------------------------------------------
base = keras.Sequential(
    [
        keras.Input((STEPS, 1)),
        layers.Conv1D(12, 5, activation="relu"),
        layers.MaxPooling1D(),
        layers.BatchNormalization(momentum=0.9),
        layers.Conv1D(16, 5, activation="relu"),
        layers.GlobalAveragePooling1D(),
    ],
    name="base",
)
first = keras.Sequential([base, layers.Dense(6, activation="softmax")])
draw_weights(first)
first.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
x, shape = curves(600)
history = first.fit(x, shape, epochs=8, batch_size=40, shuffle=False, verbose=0).history
print(f"first task, loss and accuracy: {history['loss'][-1]:.4f} {history['accuracy'][-1]:.4f}")

# -- the second task, with the base frozen ---------------------------------------------------------------
few, is_sharp = curves(40)
many, many_sharp = curves(300)
is_sharp, many_sharp = is_sharp >= 3, many_sharp >= 3

inputs = keras.Input((STEPS, 1))
outputs = layers.Dense(1, activation="sigmoid")(base(inputs, training=False))
second = keras.Model(inputs, outputs)
base.trainable = False
draw_weights(second, seed=1)  # of the new layer only, because the others cannot be trained
print("weights that train:", len(second.trainable_weights), "of", len(second.weights))

before = base.get_weights()
second.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
second.fit(few, is_sharp, epochs=20, batch_size=20, shuffle=False, verbose=0)
loss, accuracy = second.evaluate(many, many_sharp, verbose=0)
print(f"frozen, loss and accuracy on new curves: {loss:.4f} {accuracy:.4f}")
unchanged = all(np.array_equal(a, b) for a, b in zip(before, base.get_weights(), strict=True))
print("the frozen base is unchanged:", unchanged)

# -- fine-tuning: `trainable` counts from the next `compile` on ------------------------------------------
base.trainable = True
second.compile(keras.optimizers.Adam(0.001), "binary_crossentropy", metrics=["accuracy"])
print("weights that train:", len(second.trainable_weights), "of", len(second.weights))
second.fit(few, is_sharp, epochs=10, batch_size=20, shuffle=False, verbose=0)
loss, accuracy = second.evaluate(many, many_sharp, verbose=0)
print(f"fine-tuned, loss and accuracy on new curves: {loss:.4f} {accuracy:.4f}")
moved = np.abs(base.get_weights()[0] - before[0]).mean()
print(f"mean change of the first kernel: {moved:.5f}")
