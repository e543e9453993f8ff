"""Loads a saved model under another backend of Keras and exports it. export.py runs this file.

argv: the path of a folder.
environment: KERAS_BACKEND is the backend that exports.
in, from the folder:
    model.keras      the model
    request.json     format, filepath, verbose: as for model.export
                     modules: those to import before the model is loaded, because they define its classes
                     floatx, image_data_format: the settings of Keras
    options.pickle   the signature of the inputs, and the further arguments of model.export
out, to the folder:
    failure.json     if Keras raises an error: its type, its message, and the step that failed
"""

import json
import pickle
import sys
from importlib import import_module
from pathlib import Path

# Keras imports these packages if they are installed, which takes a third of its time. No export needs them.
OPTIONAL = ("sklearn", "pandas", "matplotlib")


def main(folder: Path) -> None:
    step = "started"
    try:
        hidden = [package for package in OPTIONAL if package not in sys.modules]
        sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
        import keras

        for package in hidden:
            del sys.modules[package]  # the modules of custom layers may need it
        request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
        keras.config.set_floatx(request["floatx"])
        keras.config.set_image_data_format(request["image_data_format"])
        step = "imported the modules of custom layers and functions"
        for module in request["modules"]:
            import_module(module)
        step = "loaded the model"
        # It was written by the process that exports, so the code of its Lambda layers is trusted.
        model = keras.saving.load_model(folder / "model.keras", compile=False, safe_mode=False)
        step = "exported the model"
        signature, options = pickle.loads((folder / "options.pickle").read_bytes())
        model.export(
            request["filepath"],
            format=request["format"],
            verbose=request["verbose"],
            input_signature=signature,
            **options,
        )
    except Exception as error:
        failure = {"type": type(error).__name__, "message": str(error), "step": step}
        (folder / "failure.json").write_text(json.dumps(failure), encoding="utf-8")
        sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
