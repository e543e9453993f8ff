"""Masking and padding: sequences of different lengths in one batch.

The shorter sequences are filled up with zeros. `Embedding(mask_zero=True)` makes a mask that tells the layers
behind it which time steps are padding, and the LSTM skips those. The same network without a mask has to read
up to twenty zeros before it can answer, so it learns worse. The last part shows the mask that a layer of
one's own receives.
"""

import keras
import numpy as np
from keras import layers, ops
from same_start import draw_weights

WORDS, LONGEST = 12, 24

rng = np.random.default_rng(0)
sentences = [rng.integers(1, WORDS, size=rng.integers(3, LONGEST + 1)) for _ in range(400)]
# The answer depends on the last word, so a network that reads padding has to remember it.
last_is_large = np.array([sentence[-1] > WORDS // 2 for sentence in sentences], "float32")
padded = keras.utils.pad_sequences(sentences, maxlen=LONGEST, padding="post")


class MeanOfWords(layers.Layer):
    """The mean over the time steps that are not padding.

    A layer whose `call` has the argument `mask` receives the mask. The result has no time steps any more, so
    this layer passes no mask on.
    """

    supports_masking = True

    def compute_mask(self, x, mask=None):
        return None

    def call(self, x, mask=None):
        if mask is None:
            return ops.mean(x, axis=1)
        kept = ops.cast(mask, x.dtype)[..., None]
        return ops.sum(x * kept, axis=1) / ops.sum(kept, axis=1)


def trained(mask_zero):
    model = keras.Sequential(
        [
            keras.Input((LONGEST,), dtype="int32"),
            layers.Embedding(WORDS, 8, mask_zero=mask_zero),
            layers.LSTM(12),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    draw_weights(model)
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    model.fit(padded, last_is_large, epochs=4, batch_size=50, shuffle=False, verbose=0)
    return model


models = {mask_zero: trained(mask_zero) for mask_zero in (True, False)}
for mask_zero, model in models.items():
    loss, accuracy = model.evaluate(padded, last_is_large, verbose=0)
    print(f"mask_zero={mask_zero}, loss and accuracy: {loss:.4f} {accuracy:.4f}")

# With a mask, more padding changes nothing.
wider = np.pad(padded, ((0, 0), (0, 6)))
for mask_zero, model in models.items():
    longer = keras.Sequential([keras.Input((None,), dtype="int32"), *model.layers])
    change = np.abs(model.predict(padded, verbose=0) - longer.predict(wider, verbose=0)).max()
    print(f"mask_zero={mask_zero}, more padding changes the predictions: {bool(change > 1e-6)}")

mask = models[True].layers[0].compute_mask(padded[:3])
lengths = ops.convert_to_numpy(ops.sum(ops.cast(mask, "int32"), axis=1))
print("lengths by the mask:", *lengths)
print("lengths of the sentences:", *[len(sentence) for sentence in sentences[:3]])
series = np.array([[[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]]], "float32")
mean = keras.Sequential([layers.Masking(mask_value=0.0), MeanOfWords()])(series)
print("mean without the padding:", *[f"{value:.4f}" for value in ops.convert_to_numpy(mean)[0]])
