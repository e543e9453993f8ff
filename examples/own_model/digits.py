"""The 1,797 handwritten digits that come with scikit-learn, in 8 by 8 pixels."""

from sklearn.datasets import load_digits


def load(test_share=0.25):
    """Return (x_train, y_train), (x_test, y_test). x: shape (samples, 8, 8, 1), from 0 to 1. y: 0 to 9."""
    digits = load_digits()
    x = digits.images[..., None] / 16.0
    y = digits.target
    count = int(len(x) * (1 - test_share))
    return (x[:count], y[:count]), (x[count:], y[count:])
