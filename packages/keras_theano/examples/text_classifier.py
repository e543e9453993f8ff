"""A small transformer that reads text: vectorization, positions, attention, and padding that it ignores.

The reviews are made up. In half of them the word "not" turns the meaning around, so no word alone says
whether a review is good: the words have to look at each other, which is what attention is for.
TextVectorization learns the vocabulary and turns sentences into numbers. A block of a transformer is
attention, then two dense layers, each added to its input and normalized.

Keras needs TensorFlow for TextVectorization, whatever the backend is.
"""

import keras
import numpy as np
from keras import layers, ops
from same_start import draw_weights

REVIEWS, LENGTH, WIDTH = 400, 12, 16

rng = np.random.default_rng(0)
GOOD, BAD = ["great", "lovely", "superb"], ["awful", "dull", "broken"]
FILLERS = ["the", "film", "really", "quite", "it", "was", "so"]


def review():
    """Return a sentence, and whether it is a good review."""
    says_good, turned = rng.integers(0, 2, size=2)
    before, after = (list(rng.choice(FILLERS, rng.integers(0, 4))) for _ in range(2))
    word = rng.choice(GOOD if says_good else BAD)
    words = [*before, *(["not"] if turned else []), word, *after]
    return " ".join(words).capitalize() + ".", int(says_good != turned)


class WithPositions(layers.Layer):
    """Embeds words, and adds a vector for the place of each."""

    def __init__(self, words):
        super().__init__()
        self.words = layers.Embedding(words, WIDTH, mask_zero=True)
        self.places = layers.Embedding(LENGTH, WIDTH)

    def build(self, input_shape):
        self.words.build(input_shape)
        self.places.build((LENGTH,))

    def compute_mask(self, numbers, mask=None):
        return self.words.compute_mask(numbers)

    def call(self, numbers):
        return self.words(numbers) + self.places(ops.arange(LENGTH))


def transformer_block(x):
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, key_dim=8)(x, x))
    inner = layers.Dense(2 * WIDTH, activation="gelu")(x)
    return layers.LayerNormalization()(x + layers.Dense(WIDTH)(inner))


texts, good = (np.array(column) for column in zip(*[review() for _ in range(REVIEWS)], strict=True))
vectorize = layers.TextVectorization(output_sequence_length=LENGTH)
vectorize.adapt(texts)
numbers = np.asarray(vectorize(texts))

inputs = keras.Input((LENGTH,), dtype="int32")
x = transformer_block(WithPositions(vectorize.vocabulary_size())(inputs))
outputs = layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling1D()(x))
model = keras.Model(inputs, outputs)
draw_weights(model)
model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
losses = model.fit(numbers[:320], good[:320], epochs=10, batch_size=20, shuffle=False, verbose=0)

print("for example:", texts[0])
print("its numbers:", *numbers[0])
print("words:", vectorize.vocabulary_size())
print("losses:", *[f"{loss:.4f}" for loss in losses.history["loss"]])
loss, accuracy = model.evaluate(numbers[320:], good[320:], verbose=0)
print(f"loss and accuracy on new reviews: {loss:.4f} {accuracy:.4f}")
asked = ["It was great.", "It was not great.", "It was awful.", "It was not awful."]
answers = model.predict(np.asarray(vectorize(np.array(asked))), verbose=0)[:, 0]
for text, answer in zip(asked, answers, strict=True):
    print(f"{text} {answer:.4f}")
