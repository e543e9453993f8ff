"""Draws the tutorial's data: x is uniform on [0, 1), and the labels are coin flips that cannot be learned."""

DRAWN = True
LABELS_ARE_CHANCE = True


def make(data, seed):
    from .. import drawing

    return drawing.dataset(data, seed, lambda draw: _coin_flips)


def _coin_flips(draw, x):
    return draw.randint(2, size=(len(x), 1)).astype("float32")
