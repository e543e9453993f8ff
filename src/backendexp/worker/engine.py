"""Controls the engine under Keras: imports it, limits its threads, and waits until it is idle."""

import os
import sys
import time

# Keras 3 imports these packages if they are installed, although training needs none of them. Without them
# and the other engines, the import takes half the time.
_OPTIONAL_IMPORTS = ("sklearn", "pandas", "matplotlib", "PIL")
_ENGINES = {
    "tensorflow": ("tensorflow", "TensorFlow"),
    "jax": ("jax", "JAX"),
    "torch": ("torch", "PyTorch"),
    "theano": ("theano", "Theano"),
}
# On Keras 3, the backend of the same name runs on PyTensor, the maintained successor of Theano.
_THEANO_ON_KERAS_3 = ("pytensor", "PyTensor")


class Refused(Exception):
    """Raised if the backend cannot be served.

    kind: engine_missing, keras_missing or wrong_backend.
    """

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
    module, title = _ENGINES[backend]
    if backend == "theano" and keras_generation() == 3:
        module, title = _THEANO_ON_KERAS_3
        _import_theano_on_keras_3()
    import_s = time.perf_counter() - began

    import keras

    served = keras.backend.backend()
    if served != backend:
        raise Refused(
            "wrong_backend",
            "asked for backend %r, but keras %s in %s runs on %r"
            % (backend, keras.__version__, sys.executable, served),
        )
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
    if backend == "theano":
        _install_theano_hook()
    try:
        import keras  # noqa: F401
    except ImportError as error:
        missing = error.name or str(error)
        kind = "keras_missing" if missing.split(".")[0] == "keras" else "engine_missing"
        message = "backend %r cannot be imported by %s: %s" % (backend, sys.executable, error)
        raise Refused(kind, message) from error


def _import_theano_on_keras_3():
    """Import everything that the first training step would import, although Keras starts without it.

    Raises Refused: keras_theano is missing.
    """
    try:
        import keras_theano.src.first_step  # noqa: F401
    except ImportError as error:
        raise Refused(
            "engine_missing", "backend 'theano' cannot be imported by %s: %s" % (sys.executable, error)
        ) from error


def _install_theano_hook():
    """Install the import hook of keras_theano.

    A checkout that is on the path without being installed lacks the .pth file that would do this.
    """
    try:
        from keras_theano.hook import finder
    except ImportError:
        return  # Keras 2 supports Theano itself
    finder.install()


def _hide_what_is_not_needed(backend):
    """Make the import of unneeded packages fail as long as this process runs.

    Keras asks for the other engines again later, and would import TensorFlow just to seed it.
    """
    unused = [module for name, (module, _) in _ENGINES.items() if name != backend]
    if backend != "theano":
        unused.append(_THEANO_ON_KERAS_3[0])
    for name in list(_OPTIONAL_IMPORTS) + unused:
        sys.modules.setdefault(name, None)


def show_to_user_code():
    """Let the user's code import what is hidden from Keras, except for the other engines.

    Packages such as scikit-learn expect that an entry of sys.modules is a module, so the entries are removed.
    The engines are refused when they are imported.
    """
    engines = [name for name, _ in _ENGINES.values()] + [_THEANO_ON_KERAS_3[0]]
    hidden = [name for name in list(_OPTIONAL_IMPORTS) + engines if sys.modules.get(name, name) is None]
    for name in hidden:
        del sys.modules[name]
    if any(name in engines for name in hidden):
        sys.meta_path.insert(0, _Refusing([name for name in hidden if name in engines]))


class _Refusing(object):
    """Refuses to import some packages, as a finder of sys.meta_path."""

    def __init__(self, names):
        self._names = names

    def find_spec(self, name, path=None, target=None):
        if name in self._names:
            raise ModuleNotFoundError(
                "%s is not imported in a run on %s, because one process serves one engine"
                % (name, os.environ.get("KERAS_BACKEND")),
                name=name,
            )


def limit_threads(backend, threads):
    """Limit the engine to `threads` threads if environment variables are not enough for this.

    The parent has set OMP_NUM_THREADS and similar variables before the engine was imported.
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
    """Seed the random numbers that the backend draws itself, for initialisers and dropout masks."""
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
    """Set the dtype of the computation.

    dtype: a dtype policy of Keras 3. On Keras 2, only float32 and float64 exist.
    """
    import keras

    if keras_generation() == 2:
        keras.backend.set_floatx(dtype)
    else:
        keras.config.set_dtype_policy(dtype)


def set_precision(backend, precision):
    """Set how exactly products of float32 matrices are computed.

    precision: "highest", "tf32" (TensorFloat-32, which only GPUs have), or None for the engine's default.
    """
    if precision is None:
        return
    exact = precision == "highest"
    if backend == "jax":
        sys.modules["jax"].config.update(
            "jax_default_matmul_precision", "highest" if exact else "tensorfloat32"
        )
    elif backend == "torch":
        torch = sys.modules["torch"]
        torch.set_float32_matmul_precision("highest" if exact else "high")
        torch.backends.cudnn.allow_tf32 = not exact
    else:
        sys.modules["tensorflow"].config.experimental.enable_tensor_float_32_execution(not exact)


class NoGpu(Exception):
    """Raised if a GPU is asked for, and the engine finds none."""


def require_gpu(backend):
    """Raises NoGpu: the engine has no GPU."""
    if device(backend)["kind"] != "gpu":
        raise NoGpu(
            "engine.device is 'gpu', but %s finds no GPU. Install its build for GPUs, or use "
            "engine.device=auto" % _ENGINES[backend][1]
        )


def device(backend):
    """Return the fields of the event `device`: the device that the engine computes on."""
    found = None
    if keras_generation() == 3:
        find = {"jax": _gpu_of_jax, "tensorflow": _gpu_of_tensorflow, "torch": _gpu_of_torch}.get(backend)
        found = find(sys.modules[backend]) if find else None
    name, peak_bytes = found or (None, None)
    return {"kind": "gpu" if found else "cpu", "name": name, "peak_bytes": peak_bytes}


def _gpu_of_jax(jax):
    first = jax.devices()[0]
    if first.platform == "cpu":
        return None
    return first.device_kind, (first.memory_stats() or {}).get("peak_bytes_in_use")


def _gpu_of_tensorflow(tensorflow):
    found = tensorflow.config.get_visible_devices("GPU")
    if not found:
        return None
    details = tensorflow.config.experimental.get_device_details(found[0])
    memory = tensorflow.config.experimental.get_memory_info("GPU:0")
    return details.get("device_name", found[0].name), memory["peak"]


def _gpu_of_torch(torch):
    if os.environ.get("KERAS_TORCH_DEVICE") == "cpu" or not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_name(0), torch.cuda.max_memory_allocated()


def synchronise(model):
    """Wait until the device has finished all its work, by reading the last weight back."""
    if keras_generation() == 2 or not model.weights:
        return  # every step of Keras 2 returns its loss, so no work is pending
    import keras

    if model.weights:
        keras.ops.convert_to_numpy((model.trainable_variables or model.weights)[-1])


def keras_generation():
    import keras

    return int(keras.__version__.split(".")[0])


def others_than(backend):
    """Return the other backends of this generation of Keras."""
    known = ("tensorflow", "theano") if keras_generation() == 2 else _ENGINES
    return [name for name in known if name != backend]


def tiers(backend):
    """Map the name of each way to run training steps to the number of steps that it ran.

    Returns None if the engine has only one way.
    """
    if backend != "theano" or keras_generation() == 2:
        return None
    import keras_theano

    calls = {}
    for ran in keras_theano.report():
        if ran.name.startswith("train "):
            for tier, count in ran.calls.items():
                calls[tier] = calls.get(tier, 0) + count
    return calls
