"""Sequence to sequence: an encoder and a decoder with attention learn to reverse digits.

The encoder reads the digits. The decoder writes the answer one digit at a time: at each step it sees the
digit before, and attends to all that the encoder read. In training it is given the right digit before
("teacher forcing"). Afterwards it has to go on from what it wrote itself.
"""

import keras
import numpy as np
from keras import layers
from same_start import draw_weights

DIGITS, LENGTH, START = 6, 5, 6

rng = np.random.default_rng(0)
given = rng.integers(0, DIGITS, size=(1200, LENGTH))
wanted = given[:, ::-1]


def shifted(digits):
    """Return what the decoder sees: the sign for the start, and then each digit but the last."""
    return np.concatenate([np.full((len(digits), 1), START), digits[:, :-1]], axis=1)


numbers = keras.Input((LENGTH,), dtype="int32", name="numbers")
before = keras.Input((LENGTH,), dtype="int32", name="before")
read, *state = layers.GRU(32, return_sequences=True, return_state=True)(layers.Embedding(DIGITS, 8)(numbers))
written = layers.GRU(32, return_sequences=True)(layers.Embedding(DIGITS + 1, 8)(before), initial_state=state)
found = layers.Attention()([written, read])
answer = layers.Dense(DIGITS, activation="softmax")(layers.Concatenate()([written, found]))
model = keras.Model([numbers, before], answer)
draw_weights(model)

model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
training, new = slice(0, 1000), slice(1000, None)
history = model.fit(
    [given[training], shifted(wanted)[training]],
    wanted[training],
    epochs=15,
    batch_size=100,
    shuffle=False,
    verbose=0,
).history


def reversed_by_model(digits):
    """Write one digit after the other, always the most probable one."""
    answers = np.zeros_like(digits)
    for place in range(LENGTH):
        probabilities = model.predict([digits, shifted(answers)], verbose=0)
        answers[:, place] = probabilities[:, place].argmax(axis=-1)
    return answers


answers = reversed_by_model(given[new])
print(f"loss of the first and the last epoch: {history['loss'][0]:.4f} {history['loss'][-1]:.4f}")
print(f"share of right digits in training: {history['accuracy'][-1]:.4f}")
without_mistake = (answers == wanted[new]).all(axis=1).mean()
print(f"share of new numbers that are reversed without a mistake: {without_mistake:.3f}")
print("for example:", *given[-1], "becomes", *answers[-1])
