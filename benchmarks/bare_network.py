"""A convolutional or a recurrent network as a newcomer writes it, without tracking, for `whole_process.py`.

KERAS_BACKEND=jax python bare_network.py {cnn,lstm} FILE.npz [--epochs 5]

It trains the network of `model=cnn` or `model=lstm` with the default settings on the arrays x_train, y_train,
x_test and y_test of FILE.npz. y holds classes. It runs on Keras 2.3.1 (Python 3.7) and on Keras 3.
"""

import argparse
import time

import numpy as np
from keras.layers import LSTM, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from keras.models import Sequential

BATCH_SIZE = 128

parser = argparse.ArgumentParser()
parser.add_argument("network", choices=("cnn", "lstm"))
parser.add_argument("file")
parser.add_argument("--epochs", type=int, default=5)
asked = parser.parse_args()

with np.load(asked.file) as arrays:
    x_train, y_train, x_test, y_test = (arrays[name] for name in ("x_train", "y_train", "x_test", "y_test"))

shape = x_train.shape[1:]
model = Sequential()
# Both generations of Keras accept the shape of the input in this form.
if asked.network == "cnn":
    model.add(Conv2D(32, 3, padding="same", activation="relu", input_shape=shape))
    model.add(MaxPooling2D(2))
    model.add(Conv2D(64, 3, padding="same", activation="relu"))
    model.add(MaxPooling2D(2))
    model.add(Flatten())
else:
    model.add(LSTM(64, input_shape=shape))
model.add(Dropout(0.5))
model.add(Dense(int(y_train.max()) + 1, activation="softmax"))
model.compile(loss="sparse_categorical_crossentropy", optimizer="rmsprop", metrics=["accuracy"])

began = time.time()
model.fit(x_train, y_train, epochs=asked.epochs, batch_size=BATCH_SIZE, verbose=0)
print("fit took", time.time() - began, "s")
loss, accuracy = model.evaluate(x_test, y_test, batch_size=BATCH_SIZE, verbose=0)
print("loss", loss, "accuracy", accuracy)
