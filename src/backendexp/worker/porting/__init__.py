"""Builds a ported model in Keras 3, and computes the outputs of the old and of the new one, layer by layer.

An order of `backendexp port` is {"command": "port", "spec": {"backend": {"name": ...}}, "directory": ...,
"task": ...}. The task has `kind`: build (see `build`), old (`old`) or new (`new`). Arrays travel as .npz
files, paths of which the task names. The answer is the event `ported`, or `failed`.
"""

import os
import traceback


def execute(order, events):
    """Do the task of an order and send its result. Returns the exit code of the process."""
    from .. import engine

    task = order["task"]
    # Rescaling asks whether TensorFlow is imported, and would take a hidden module for one that is.
    engine.show_to_user_code()
    try:
        answer = _KINDS[task["kind"]](task, order["spec"]["backend"]["name"])
    except Exception as error:
        traceback.print_exc()  # into worker.log
        said = str(error) if isinstance(error, BadCustomFile) else "%s: %s" % (type(error).__name__, error)
        events.send(
            "failed",
            kind="exception",
            message=said,
            traceback=traceback.format_exc(),
            epoch=None,
        )
        return 1
    events.send("ported", **answer)
    events.send("finished")
    return 0


def _build(task, backend):
    from . import build

    return build.build(task)


def _old(task, backend):
    from .. import engine

    if task["tf_keras"]:
        _put_tf_keras_in_the_place_of_keras()
    engine.set_dtype(task["dtype"])
    engine.limit_threads(backend, task["threads"])
    from . import old

    return old.outputs(task)


def _new(task, backend):
    from .. import engine

    engine.limit_threads(backend, task["threads"])
    if task["dtype"] == "float64":
        import keras

        keras.config.set_floatx("float64")  # otherwise predict rounds its inputs to float32
    from . import new

    return new.outputs(task)


_KINDS = {"build": _build, "old": _old, "new": _new}


def _put_tf_keras_in_the_place_of_keras():
    """Let `import keras` give tf.keras in this process, for this package as for the user's file.

    The files of tf.keras have names and meanings of their own, which Keras 2.3.1 does not know.
    """
    import sys
    import types

    from tensorflow import keras

    for name in [name for name in sys.modules if name.split(".")[0] == "keras"]:
        del sys.modules[name]
    sys.modules["keras"] = keras
    for name, value in vars(keras).items():
        if isinstance(value, types.ModuleType):
            sys.modules["keras." + name] = value


class BadCustomFile(Exception):
    """The user's file, or something that it defines, cannot be used."""


def custom_objects(path):
    """Return what the user's file defines, by name. It is run for this.

    path: of the file, or None.
    Raises BadCustomFile: it cannot be imported.
    """
    if path is None:
        return {}
    import importlib.util
    import sys

    name = os.path.splitext(os.path.basename(path))[0]
    folder = os.path.dirname(os.path.abspath(path))
    sys.path.insert(0, folder)  # so that it can import the files beside it
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        import keras

        raise BadCustomFile(
            "%s cannot be imported with Keras %s: %s: %s"
            % (os.path.basename(path), keras.__version__, type(error).__name__, error)
        ) from error
    return {name: value for name, value in vars(module).items() if callable(value) and name[0] != "_"}
