"""The tutorial as a newcomer writes it, in one file without tracking. The benchmarks compare backendexp with
it.

KERAS_BACKEND=jax python bare_tutorial.py [--samples 1000] [--hidden-units 64 64] [--epochs 20]

It runs on Keras 2.3.1 (Python 3.7) and on Keras 3. `verbose=0`, because drawing Keras's own progress bar
takes time, which would make whatever is compared with this script look cheaper.
"""

import argparse
import time

import numpy as np
from keras.layers import Dense, Dropout
from keras.models import Sequential

FEATURES, TEST_SAMPLES, BATCH_SIZE = 20, 100, 128

parser = argparse.ArgumentParser()
parser.add_argument("--samples", type=int, default=1000)
parser.add_argument("--hidden-units", type=int, nargs="+", default=[64, 64])
parser.add_argument("--epochs", type=int, default=20)
asked = parser.parse_args()

x_train = np.random.random((asked.samples, FEATURES))
y_train = np.random.randint(2, size=(asked.samples, 1))
x_test = np.random.random((TEST_SAMPLES, FEATURES))
y_test = np.random.randint(2, size=(TEST_SAMPLES, 1))

first, *others = asked.hidden_units
model = Sequential()
# Both generations of Keras accept the shape of the input in this form.
model.add(Dense(first, activation="relu", input_shape=(FEATURES,)))
model.add(Dropout(0.5))
for units in others:
    model.add(Dense(units, activation="relu"))
    model.add(Dropout(0.5))
model.add(Dense(1, activation="sigmoid"))
model.compile(loss="binary_crossentropy", optimizer="rmsprop", metrics=["accuracy"])

began = time.time()
model.fit(x_train, y_train, epochs=asked.epochs, batch_size=BATCH_SIZE, verbose=0)
print("fit took", time.time() - began, "s")
loss, accuracy = model.evaluate(x_test, y_test, batch_size=BATCH_SIZE, verbose=0)
print("loss", loss, "accuracy", accuracy)
