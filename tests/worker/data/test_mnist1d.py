"""The sequences that are drawn from templates."""

import numpy as np
import pytest

from backendexp.worker import arrays, tasks
from backendexp.worker.data import mnist1d

DATA = {"kind": "mnist1d", "samples": 2000, "test_samples": 500, "noise": 0.25}


def test_shapes_and_dtypes_are_as_told() -> None:
    made = mnist1d.make(DATA, 0)
    assert {name: (array.shape, array.dtype.name) for name, array in arrays.named(made)} == {
        "x_train": ((2000, 40, 1), "float32"),
        "y_train": ((2000, 1), "int32"),
        "x_test": ((500, 40, 1), "float32"),
        "y_test": ((500, 1), "int32"),
    }
    assert set(made.y_train.ravel()) == set(range(10))
    assert tasks.of_labels(made.y_train, made.y_test) == mnist1d.task({})
    assert mnist1d.Settings(samples=2000, test_samples=500).sample_shape() == made.x_train.shape[1:]
    assert mnist1d.Settings(samples=2000, test_samples=500).size_bytes() == sum(a.nbytes for a in made)


def test_digest_does_not_change_between_releases() -> None:
    assert (
        arrays.digest(mnist1d.make(DATA, 0))
        == "f4787cac4e3fb7c39fe699c9ccb340b67e43c548974e0b5ea5ce2a53d75b1059"
    )


def test_seed_decides_the_sequences() -> None:
    assert arrays.digest(mnist1d.make(DATA, 1)) == arrays.digest(mnist1d.make(DATA, 1))
    assert arrays.digest(mnist1d.make(DATA, 1)) != arrays.digest(mnist1d.make(DATA, 2))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_linear_model_learns_little_and_a_dense_one_more() -> None:
    """That is what the data are made for: the place of a pattern differs between its samples."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    made = mnist1d.make({**DATA, "samples": 4000, "test_samples": 1000}, 0)
    x_train, x_test = made.x_train[..., 0], made.x_test[..., 0]
    y_train, y_test = made.y_train[:, 0], made.y_test[:, 0]
    linear = LogisticRegression(max_iter=100).fit(x_train, y_train).score(x_test, y_test)
    dense = MLPClassifier((64, 64), max_iter=40, random_state=0).fit(x_train, y_train).score(x_test, y_test)
    assert 0.15 < linear < 0.4
    assert dense > 0.5


def test_patterns_without_noise_are_templates_that_moved() -> None:
    """A pattern is as high as its template, up to a fifth more or less, wherever it lies."""
    draw = np.random.RandomState(0)
    x, classes = mnist1d._sequences(draw, 500, 0.0)
    templates = np.array(mnist1d._TEMPLATES)[classes[:, 0]] / mnist1d._HEIGHT
    spread, own = np.ptp(x[..., 0], axis=1), np.ptp(np.c_[templates, np.zeros(len(x))], axis=1)
    slope_and_noise = mnist1d._SHEAR / 2 + 10 * mnist1d._FINE_NOISE
    assert (np.abs(spread - own) < 0.2 * own + slope_and_noise).all()
