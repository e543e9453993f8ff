"""People can see what the native tier has made, and what it has left to NumPy."""

from collections import Counter

import keras
import numpy as np
import pytest
from keras import layers

import keras_theano
from keras_theano.execution.explanation import cost


def trained(*stack: keras.Layer) -> keras.Model:
    model = keras.Sequential([keras.Input((6,)), *stack])
    model.compile("sgd", "mse")
    x = np.ones((8, 6), "float32")
    model.fit(x, model.predict(x, verbose=0), batch_size=8, verbose=0)
    return model


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_THEANO_MODE", "native")


def test_explanation_has_the_functions_the_bytes_and_the_share_of_blas(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = trained(layers.Dense(4, "tanh"), layers.Dense(2))
    keras_theano.explain(model)
    said = capsys.readouterr().out
    assert f"train {model.name}, inputs of 8 x 6, 8 x 2: 1 segments" in said
    assert "product of 8 x 6 and 6 x 4" in said
    # 8 * 6 * 4 and 8 * 4 * 2 forwards. Backwards the second layer takes twice as many, and the first once.
    assert f"BLAS: 5 calls, {2 * 8 * 6 * 4 + 3 * 8 * 4 * 2} multiplications" in said
    assert "tanh" in said
    assert "computed by NumPy" not in said


def test_report_and_explanation_name_what_numpy_computes(capsys: pytest.CaptureFixture[str]) -> None:
    model = trained(layers.Dense(2), layers.Lambda(lambda x: keras.ops.erfinv(keras.ops.tanh(x))))
    (outside,) = [ran.outside for ran in keras_theano.report() if ran.name == f"predict {model.name}"]
    assert sum(outside.values()) == 1
    assert list(outside) == ["erfinv"]
    keras_theano.explain(model)
    assert "1 x computed by NumPy: erfinv" in capsys.readouterr().out


def test_model_without_native_steps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has run no step of 'never'. Train it or predict"):
        keras_theano.explain(keras.Sequential([layers.Dense(1)], name="never"))


def test_cost_counts_the_work_of_a_loop_as_often_as_it_runs() -> None:
    model = keras.Sequential([keras.Input((200, 3)), layers.SimpleRNN(5), layers.Dense(2)])
    model.predict(np.ones((4, 200, 3), "float32"), verbose=0)
    products = Counter(cost(model, "predict").products)
    assert products[1, 4, 5, 5] == 200
    assert products[1, 4, 5, 2] == 1
    assert sum(products.values()) == 202
