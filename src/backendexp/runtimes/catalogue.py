"""Lists the backends and runtimes to choose from, and the names that Keras knows in each runtime.

The names are checked against the real Keras of both runtimes by tests/runtimes/test_catalogue.py.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Engine:
    """Describes the library that computes for a backend.

    title: the name of the library, as users know it.
    modules: the modules that the worker imports for the backend. The version of the first is the version of
        the engine.
    install: the command that installs the engine if it is missing.
    """

    title: str
    modules: tuple[str, ...]
    install: str


@dataclass(frozen=True)
class Recipe:
    """Says how backendexp builds a runtime.

    python: the version of Python. lock: the file in this folder that pins all packages with their hashes.
    """

    python: str
    lock: str


@dataclass(frozen=True)
class RuntimeFacts:
    """Describes a Python environment, which determines the Keras generation.

    generation: the major version of Keras.
    engines: maps the name of each backend to its engine, in the order in which they are shown.
    optimizers, losses, metrics, activations, dtypes: the names that Keras knows in this runtime.
    recipe: how to build the runtime, or None for the environment that backendexp itself is installed in.
    """

    name: str
    generation: int
    engines: dict[str, Engine]
    optimizers: frozenset[str]
    losses: frozenset[str]
    metrics: frozenset[str]
    activations: frozenset[str]
    dtypes: frozenset[str]
    recipe: Recipe | None = None
    # For each backend, the values of settings under `engine` that it cannot serve, and why.
    cannot: dict[str, dict[str, dict[Any, str]]] = field(default_factory=dict)
    # For the backends that take one batch at a time, why.
    one_step: dict[str, str] = field(default_factory=dict)


_NO_XLA = dict.fromkeys((True, False), "Theano has compilers of its own, and no XLA")
_NO_TF32 = dict.fromkeys(("highest", "tf32"), "only JAX, PyTorch and TensorFlow 2 have this choice")
_NO_GPU = {"gpu": "it computes on the CPU only"}
_OLD_COMPILE = "compile of Keras 2.3.1 has no such argument"
_OLD: dict[str, dict[Any, str]] = {
    "engine.jit_compile": dict.fromkeys((True, False), _OLD_COMPILE),
    "engine.run_eagerly": {True: _OLD_COMPILE},
    "engine.device": _NO_GPU,
    "engine.precision": _NO_TF32,
}


_COMMON_OPTIMIZERS = {"sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamax", "nadam"}
_COMMON_LOSSES = {
    "binary_crossentropy",
    "mean_squared_error",
    "mean_absolute_error",
    "mean_squared_logarithmic_error",
    "hinge",
    "squared_hinge",
    "log_cosh",
    "poisson",
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
}
_COMMON_METRICS = {
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "top_k_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
}
_COMMON_ACTIVATIONS = {
    "relu",
    "sigmoid",
    "hard_sigmoid",
    "tanh",
    "elu",
    "selu",
    "softplus",
    "softsign",
    "exponential",
    "linear",
    "softmax",
}

KERAS3 = RuntimeFacts(
    name="keras3",
    generation=3,
    engines={
        "tensorflow": Engine("TensorFlow", ("tensorflow",), "pip install tensorflow-cpu"),
        "jax": Engine("JAX", ("jax",), "pip install 'backendexp[jax]'"),
        "torch": Engine("PyTorch", ("torch",), "pip install 'backendexp[torch]'"),
        "theano": Engine("PyTensor", ("pytensor", "keras_theano"), "pip install keras-theano"),
    },
    optimizers=frozenset(_COMMON_OPTIMIZERS | {"adamw", "adafactor", "ftrl", "lion"}),
    losses=frozenset(_COMMON_LOSSES | {"binary_focal_crossentropy", "huber"}),
    metrics=frozenset(
        _COMMON_METRICS | {"auc", "precision", "recall", "r2_score", "root_mean_squared_error"}
    ),
    activations=frozenset(
        _COMMON_ACTIVATIONS | {"relu6", "silu", "gelu", "leaky_relu", "mish", "celu", "hard_silu"}
    ),
    dtypes=frozenset({"float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16"}),
    cannot={
        "theano": {
            "engine.jit_compile": _NO_XLA,
            "engine.run_eagerly": {True: "training on it cannot run eagerly"},
            "engine.device": _NO_GPU,
            "engine.precision": _NO_TF32,
        },
    },
    one_step={"torch": "Keras gives one batch at a time to PyTorch"},
)

KERAS2 = RuntimeFacts(
    name="keras2",
    generation=2,
    engines={
        "tensorflow": Engine("TensorFlow", ("tensorflow",), "backendexp doctor --build keras2"),
        "theano": Engine("Theano", ("theano",), "backendexp doctor --build keras2"),
    },
    optimizers=frozenset(_COMMON_OPTIMIZERS),
    losses=frozenset(_COMMON_LOSSES),
    metrics=frozenset(_COMMON_METRICS),
    activations=frozenset(_COMMON_ACTIVATIONS),
    dtypes=frozenset({"float32", "float64"}),
    recipe=Recipe(python="3.7", lock="keras2.txt"),
    cannot={"tensorflow": _OLD, "theano": _OLD},
    one_step=dict.fromkeys(("tensorflow", "theano"), _OLD_COMPILE),
)

# `runtime=auto` takes the first of these that offers the backend.
RUNTIMES = {facts.name: facts for facts in (KERAS3, KERAS2)}
BACKENDS = tuple(dict.fromkeys(name for facts in RUNTIMES.values() for name in facts.engines))

# Maps (optimizer, runtime, backend) to the difference, for optimizers whose update formula is not that of
# Keras 3. The parity check found them. Rounding cannot explain a difference between runs of unlike formulas.
_STEP_COUNTER = (
    "on TensorFlow 1.14, Keras 2.3.1 reads the step counter of its bias correction after its increment, "
    "so every step counts as the next one"
)
_NADAM_SCHEDULE = "Keras 2.3.1 has another momentum schedule"
UNLIKE_FORMULAS = {
    **{
        ("rmsprop", "keras2", backend): "Keras 2.3.1 adds epsilon outside the square root, Keras 3 inside"
        for backend in KERAS2.engines
    },
    **{
        ("adagrad", "keras2", backend): "Keras 2.3.1 starts its accumulator at 0, Keras 3 at 0.1"
        for backend in KERAS2.engines
    },
    ("adam", "keras2", "tensorflow"): _STEP_COUNTER,
    ("adamax", "keras2", "tensorflow"): _STEP_COUNTER,
    ("nadam", "keras2", "theano"): _NADAM_SCHEDULE,
    ("nadam", "keras2", "tensorflow"): f"{_NADAM_SCHEDULE}, and {_STEP_COUNTER}",
}


def offering(backend: str) -> list[RuntimeFacts]:
    """Return the runtimes that offer `backend`, in the order in which runtime=auto tries them."""
    return [facts for facts in RUNTIMES.values() if backend in facts.engines]
