"""Tabular data: preprocessing layers turn strings, numbers and categories into what a network can use.

`adapt` looks at the data once and remembers what a layer needs: a vocabulary, a mean and a variance, or the
bounds of bins. The layers can be saved as parts of a model. Strings are looked up before the training,
because they cannot be part of a recorded step.

Keras needs TensorFlow for StringLookup, whatever the backend is.
"""

import keras
import numpy as np
from keras import layers
from same_start import draw_weights

CARS = 600

rng = np.random.default_rng(0)
fuel = rng.choice(["petrol", "diesel", "electric"], CARS, p=[0.5, 0.3, 0.2])
doors = rng.choice([2, 4, 5], CARS)
age = rng.gamma(3.0, 2.5, CARS)
thousand_km = 15 * age * rng.uniform(0.5, 1.5, CARS)
price = 30 * np.exp(-0.12 * age) * (1 - thousand_km / 1000) + 4 * (fuel == "electric") + (doors == 5)
price = (price + 0.5 * rng.normal(size=CARS)).astype("float32")

look_up_fuel = layers.StringLookup(output_mode="one_hot")
look_up_doors = layers.IntegerLookup(output_mode="one_hot")
normalize, into_bins = layers.Normalization(), layers.Discretization(num_bins=6)
encode_bins = layers.CategoryEncoding(num_tokens=6, output_mode="one_hot")
cross = layers.HashedCrossing(num_bins=12, output_mode="one_hot")

look_up_fuel.adapt(fuel)
look_up_doors.adapt(doors)
normalize.adapt(np.stack([age, thousand_km], axis=1))
into_bins.adapt(age)


def features(fuel, doors, age, thousand_km):
    """Return one row of numbers for each car."""
    parts = [
        look_up_fuel(fuel),
        look_up_doors(doors),
        normalize(np.stack([age, thousand_km], axis=1)),
        encode_bins(into_bins(age)),
        cross((fuel, doors)),
    ]
    return np.concatenate([np.asarray(part, "float32") for part in parts], axis=1)


x = features(fuel, doors, age, thousand_km)
model = keras.Sequential([keras.Input((x.shape[1],)), layers.Dense(24, activation="relu"), layers.Dense(1)])
draw_weights(model)
model.compile(keras.optimizers.Adam(0.02), "mse", metrics=["mae"])
model.fit(x[:500], price[:500], epochs=12, batch_size=50, shuffle=False, verbose=0)
loss, error = model.evaluate(x[500:], price[500:], verbose=0)

print("kinds of fuel:", *look_up_fuel.get_vocabulary())
print("numbers of doors:", *sorted(int(number) for number in look_up_doors.get_vocabulary()))
print("a kind that was never seen:", *np.asarray(look_up_fuel(np.array(["steam"])), int)[0])
print("bounds of the bins:", *[f"{bound:.3f}" for bound in into_bins.bin_boundaries])
means = np.asarray(normalize.mean).ravel()
print("means of age and distance:", *[f"{mean:.3f}" for mean in means])
print("features:", x.shape[1])
print(f"loss and mean error of the price on other cars: {loss:.4f} {error:.4f}")
new_car = features(np.array(["electric"]), np.array([5]), np.array([0.5]), np.array([4.0]))
print(f"price of a new electric car: {model.predict(new_car, verbose=0)[0, 0]:.3f}")
