"""The engine under Keras: how it is imported, how many threads it gets, when it is idle."""

import os
import sys
import time

# What keras 3 imports when it is installed, although training needs none of it. Without these and the
# other engines the import takes half the time.
_OPTIONAL_IMPORTS = ("sklearn", "pandas", "matplotlib", "PIL")
_ENGINES = {
    "tensorflow": ("tensorflow", "TensorFlow"),
    "jax": ("jax", "JAX"),
    "torch": ("torch", "PyTorch"),
    "theano": ("theano", "Theano"),
}


class Refused(Exception):
    """The backend cannot be served. `kind` is engine_missing, keras_missing or wrong_backend."""

    def __init__(self, kind, message):
        super(Refused, self).__init__(message)
        self.kind = kind


def load():
    """Import keras on the backend that KERAS_BACKEND names and report what was imported.

    Returns the fields of the `ready` event.
    Raises Refused: keras or the engine is missing, or keras chose another backend.
    """
    backend = os.environ["KERAS_BACKEND"]
    began = time.perf_counter()
    _import_keras(backend)
    import_s = time.perf_counter() - began

    import keras

    served = keras.backend.backend()
    if served != backend:
        raise Refused(
            "wrong_backend",
            "asked for backend %r, but keras %s in %s runs on %r"
            % (backend, keras.__version__, sys.executable, served),
        )
    module, title = _ENGINES[backend]
    from . import environment

    return {
        "backend": backend,
        "keras": keras.__version__,
        "engine": title,
        "engine_version": sys.modules[module].__version__,
        "python": "%d.%d.%d" % sys.version_info[:3],
        "import_s": import_s,
        "packages": environment.installed_packages(),
    }


def _import_keras(backend):
    _hide_what_is_not_needed(backend)
    try:
        import keras  # noqa: F401
    except ImportError as error:
        missing = error.name or str(error)
        kind = "keras_missing" if missing.split(".")[0] == "keras" else "engine_missing"
        message = "backend %r cannot be imported by %s: %s" % (backend, sys.executable, error)
        raise Refused(kind, message) from error


def _hide_what_is_not_needed(backend):
    """Make importing it fail, for good: keras asks for the other engines again later, and would have
    TensorFlow imported just to seed it.
    """
    unused = [module for name, (module, _) in _ENGINES.items() if name != backend]
    for name in list(_OPTIONAL_IMPORTS) + unused:
        sys.modules.setdefault(name, None)


def limit_threads(backend, threads):
    """Give the engine `threads` threads, where the environment alone does not.

    OMP_NUM_THREADS and its kin were set by the parent before the engine was imported.
    """
    if backend == "tensorflow":
        tensorflow = sys.modules["tensorflow"]
        if keras_generation() == 2:
            config = tensorflow.compat.v1.ConfigProto(
                intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads
            )
            from keras import backend as K

            K.set_session(tensorflow.compat.v1.Session(config=config))
        else:
            tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
            tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
    elif backend == "torch":
        torch = sys.modules["torch"]
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(threads)


def seed_everything(backend, seed):
    """Seed what the backend draws by itself: its initialisers and its dropout masks."""
    if keras_generation() == 2:
        import random

        import numpy

        random.seed(seed)
        numpy.random.seed(seed)
        if backend == "tensorflow":
            sys.modules["tensorflow"].compat.v1.set_random_seed(seed)
    else:
        import keras

        keras.utils.set_random_seed(seed)


def set_dtype(dtype):
    """`dtype` names a Keras dtype policy; on Keras 2 only float32 and float64 exist."""
    import keras

    if keras_generation() == 2:
        keras.backend.set_floatx(dtype)
    else:
        keras.config.set_dtype_policy(dtype)


def synchronise(model):
    """Wait until the device has done all that it was given, by reading the last weight back."""
    if keras_generation() == 2:
        return  # a Keras 2 step returns its loss, so nothing is in flight
    import keras

    keras.ops.convert_to_numpy(model.trainable_variables[-1])


def keras_generation():
    import keras

    return int(keras.__version__.split(".")[0])
