"""Refuses model.export, because there is no format to export to."""

from typing import Any


class TheanoExportArchive:
    """Always raises NotImplementedError."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            "the Theano backend has no format for model.export. Save with model.save('model.keras'), and "
            "export after loading it under another backend"
        )


SavedModelExportArchive = TheanoExportArchive  # the name that Keras 3.16 looks for
