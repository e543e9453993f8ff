"""Quantizes models on the chosen backend, and saves what they compute as arrays.

As a script: quantized_models.py PATH MODE... saves the arrays of these modes to an `npz` file.
"""

import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from keras.quantizers import (
    AWQConfig,
    Float8QuantizationConfig,
    GPTQConfig,
    Int4QuantizationConfig,
    Int8QuantizationConfig,
)

WORDS, STEPS, UNITS, CLASSES = 20, 6, 16, 5
_RNG = np.random.default_rng(0)
TOKENS = _RNG.integers(0, WORDS, (12, STEPS))
LABELS = _RNG.integers(0, CLASSES, 12)
# Keras trains these modes. The layers of the others have nothing to train.
WITH_LORA = ("int8", "int8 weights", "int4", "int4 in blocks")


def block() -> Any:
    """Return the part of a model that GPTQ and AWQ calibrate."""
    x = keras.Input((STEPS, UNITS))
    y = layers.EinsumDense("abc,cd->abd", (None, UNITS), bias_axes="d", name="projection")(x)
    y = layers.EinsumDense("abc,cde->abde", (None, 4, 6), name="heads")(y)
    y = layers.EinsumDense("abde,dec->abc", (None, UNITS), name="joined")(y)
    return keras.Model(x, x + layers.Dense(UNITS, "relu", name="hidden")(y), name="block")


@keras.saving.register_keras_serializable("tests")
class _Model(keras.Model):
    def get_quantization_layer_structure(self, mode: str | None = None) -> Any:
        return {
            "pre_block_layers": [self.get_layer("words")],
            "sequential_blocks": [self.get_layer("block")],
        }


def model() -> Any:
    """Return a model with the same weights on every backend."""
    tokens = keras.Input((STEPS,), dtype="int32")
    x = layers.Embedding(WORDS, UNITS, name="words")(tokens)
    x = block()(x)
    x = layers.GlobalAveragePooling1D()(x)
    made = _Model(tokens, layers.Dense(CLASSES, name="classes")(x))
    rng = np.random.default_rng(1)
    made.set_weights([rng.normal(0, 0.5, w.shape).astype("float32") for w in made.get_weights()])
    return made


class _Tokenizer:
    def tokenize(self, text: Any) -> Any:
        return keras.ops.convert_to_tensor([ord(letter) % WORDS for letter in text], "int32")


def config(mode: str) -> Any:
    calibrated: dict[str, Any] = {
        "dataset": ["a first sentence", "another one", "and a third of them"],
        "tokenizer": _Tokenizer(),
        "num_samples": 8,
        "sequence_length": STEPS,
    }
    return {
        "int8": lambda: Int8QuantizationConfig(),
        "int8 weights": lambda: Int8QuantizationConfig(activation_quantizer=None),
        "int4": lambda: Int4QuantizationConfig(block_size=None),
        "int4 in blocks": lambda: Int4QuantizationConfig(block_size=8),
        "float8": lambda: Float8QuantizationConfig(),
        "gptq": lambda: GPTQConfig(**calibrated, weight_bits=4, group_size=-1),
        "gptq in groups": lambda: GPTQConfig(
            **calibrated, weight_bits=8, group_size=8, activation_order=True
        ),
        "awq": lambda: AWQConfig(**calibrated, group_size=8, num_grid_points=5),
    }[mode]()


# Keras 3.15.1 loads no saved model with layers of these modes, whatever the backend.
CALIBRATED = ("gptq", "gptq in groups", "awq")
MODES = (*WITH_LORA, "float8", *CALIBRATED)


def results(mode: str, folder: Path) -> dict[str, Any]:
    """Return what a quantized model predicts, its weights before and after training, and what the same model
    predicts after it was saved and loaded.
    """
    made = model()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the layers that have no such mode
        made.quantize(config=config(mode))
    found = {"predicted": made.predict(TOKENS, verbose=0), **_weights("start", made)}
    found["eager"] = np.asarray(made(TOKENS))
    if mode in WITH_LORA:
        rng = np.random.default_rng(2)
        for layer in made._flatten_layers():
            if hasattr(layer, "enable_lora"):
                layer.enable_lora(2)
        for weight in made.trainable_weights:
            if "lora" in weight.name:
                weight.assign(rng.normal(0, 0.2, weight.shape).astype("float32"))
    if mode in (*WITH_LORA, "float8"):
        made.compile(keras.optimizers.SGD(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        history = made.fit(TOKENS, LABELS, epochs=3, batch_size=4, shuffle=False, verbose=0)
        found["loss"] = np.array(history.history["loss"])
        found |= _weights("end", made)
    found["trained"] = made.predict(TOKENS, verbose=0)
    if mode not in CALIBRATED:
        made.save(folder / "model.keras")
        loaded = keras.saving.load_model(folder / "model.keras")
        found["loaded"] = loaded.predict(TOKENS, verbose=0)
    return found


def _weights(prefix: str, of: Any) -> dict[str, Any]:
    return {
        f"{prefix} {n} {weight.name}": np.asarray(keras.ops.convert_to_numpy(weight.value))
        for n, weight in enumerate(of.weights)
        if "seed" not in weight.name
    }


def main(path: str, *modes: str) -> None:
    found = {}
    for mode in modes:
        with tempfile.TemporaryDirectory() as folder:
            for name, array in results(mode, Path(folder)).items():
                found[f"{mode}/{name}"] = array
    np.savez(path, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
