"""The functional API: a model with two inputs and two outputs.

The model reads the size and age of a flat, and its district. It predicts the rent, which is a number, and
whether the flat is let within a week, which is a probability. Each output has its own loss and metric, and
the weights of the losses say how much each of them matters.
"""

import keras
import numpy as np
from keras import layers
from same_start import draw_weights

DISTRICTS, FLATS = 5, 600

rng = np.random.default_rng(0)
district = rng.integers(0, DISTRICTS, FLATS)
size_and_age = rng.normal(size=(FLATS, 2))
popularity = np.linspace(-1, 1, DISTRICTS)[district]
rent = 1.5 * size_and_age[:, 0] - 0.5 * size_and_age[:, 1] + popularity
let_soon = (popularity - 0.5 * rent + 0.3 * rng.normal(size=FLATS) > 0).astype("float32")

# A functional model is a graph of layers. Each layer is called on the outputs of others.
numbers = keras.Input((2,), name="size_and_age")
place = keras.Input((), dtype="int32", name="district")
shared = layers.Concatenate()([numbers, layers.Embedding(DISTRICTS, 3)(place)])
shared = layers.Dense(32, activation="relu")(shared)
shared = layers.Dense(32, activation="relu")(shared)
model = keras.Model(
    inputs=[numbers, place],
    outputs={
        "rent": layers.Dense(1, name="rent")(shared),
        "let_soon": layers.Dense(1, activation="sigmoid", name="let_soon")(shared),
    },
)
draw_weights(model)

model.compile(
    optimizer=keras.optimizers.Adam(0.01),
    loss={"rent": "mse", "let_soon": "binary_crossentropy"},
    loss_weights={"rent": 1.0, "let_soon": 0.5},
    metrics={"rent": ["mae"], "let_soon": ["accuracy"]},
)
x = {"size_and_age": size_and_age, "district": district}
y = {"rent": rent[:, None], "let_soon": let_soon[:, None]}
# The flats are already in random order. Shuffling them again would not be the same on every backend.
history = model.fit(x, y, epochs=10, batch_size=50, shuffle=False, verbose=0)

print(f"loss after the first epoch: {history.history['loss'][0]:.5f}")
for name, value in sorted(model.evaluate(x, y, return_dict=True, verbose=0).items()):
    print(f"{name}: {value:.5f}")
print(f"sum of the predicted rents: {model.predict(x, verbose=0)['rent'].sum():.3f}")

# A part of the graph is a model, too. This one returns what the model has learned about the districts.
embedding = model.get_layer("embedding")
where = keras.Model(place, embedding(place))
vectors = where.predict(np.arange(DISTRICTS), verbose=0)
lengths = np.linalg.norm(vectors, axis=1)
print("lengths of the vectors of the districts:", *[f"{length:.4f}" for length in lengths])
