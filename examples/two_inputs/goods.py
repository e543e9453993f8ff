"""Goods with a shape, a colour, a price and a sort, all made up from the seed."""

import numpy as np


def load(seed, samples=1200):
    """Return (x_train, y_train), (x_test, y_test). Each is a dict of arrays.

    backendexp passes its own seed, because the function asks for it.
    """
    draw = np.random.RandomState(seed)
    shape, colour = draw.normal(size=(samples, 6)), draw.uniform(size=(samples, 3))
    price = np.tanh(shape[:, 0] + shape[:, 1]) + colour[:, 2]
    sort = (shape[:, :3] + 2 * colour).argmax(axis=1)
    half = samples // 2
    x = {"shape": shape, "colour": colour}
    y = {"price": price, "sort": sort}
    return tuple(
        ({k: v[part] for k, v in x.items()}, {k: v[part] for k, v in y.items()})
        for part in (slice(half), slice(half, None))
    )
