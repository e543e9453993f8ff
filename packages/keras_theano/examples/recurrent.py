"""Recurrent layers: LSTM, GRU, both directions, several cells, a cell of one's own, and a kept state.

Each network reads a noisy wave and predicts its frequency. The last part makes an LSTM stateful: it reads a
long series in pieces, keeps its state from one piece to the next, and gives the same results as in one go.
"""

import keras
import numpy as np
from keras import layers, ops
from same_start import draw_weights

SERIES, STEPS = 240, 20


class LeakyCell(layers.Layer):
    """A cell that mixes its state with what it sees. RNN(cell) calls it for each time step."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.state_size = self.output_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.state_size), name="kernel")
        self.recurrent = self.add_weight(shape=(self.state_size, self.state_size), name="recurrent")

    def call(self, x, states):
        seen = ops.tanh(ops.matmul(x, self.kernel) + ops.matmul(states[0], self.recurrent))
        state = 0.8 * states[0] + 0.2 * seen
        return state, [state]


rng = np.random.default_rng(0)
frequency = rng.uniform(0.1, 1.0, size=(SERIES, 1)).astype("float32")
phase = rng.uniform(0, np.pi, size=(SERIES, 1))
waves = np.sin(frequency * np.arange(STEPS) + phase) + 0.1 * rng.normal(size=(SERIES, STEPS))
waves = waves[..., None].astype("float32")

NETWORKS = {
    "LSTM": layers.LSTM(12),
    "GRU": layers.GRU(12),
    "both directions": layers.Bidirectional(layers.GRU(6)),
    "two cells": layers.RNN([layers.LSTMCell(8), layers.GRUCell(8)]),
    "own cell": layers.RNN(LeakyCell(12)),
}
for name, layer in NETWORKS.items():
    model = keras.Sequential([keras.Input((STEPS, 1)), layer, layers.Dense(1)])
    draw_weights(model)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    losses = model.fit(waves, frequency, epochs=4, batch_size=40, shuffle=False, verbose=0).history["loss"]
    print(f"{name}, loss of the first and the last epoch: {losses[0]:.5f} {losses[-1]:.5f}")

keeping = layers.LSTM(4, return_sequences=True, stateful=True)
in_pieces = keras.Sequential([keras.Input(batch_shape=(2, 5, 1)), keeping])
in_one_go = keras.Sequential([keras.Input((STEPS, 1)), layers.LSTM(4, return_sequences=True)])
draw_weights(in_pieces)
draw_weights(in_one_go)
pieces = [ops.convert_to_numpy(in_pieces(waves[:2, start : start + 5])) for start in range(0, STEPS, 5)]
whole = ops.convert_to_numpy(in_one_go(waves[:2]))
print("in pieces as in one go:", np.allclose(np.concatenate(pieces, axis=1), whole, atol=1e-5))
keeping.reset_states()
again = ops.convert_to_numpy(in_pieces(waves[:2, :5]))
print("a reset starts anew:", np.allclose(again, pieces[0], atol=1e-6))
print(f"sum of the last outputs: {whole[:, -1].sum():.5f}")
