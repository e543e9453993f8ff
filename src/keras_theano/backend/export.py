"""model.export: there is no format to export to."""

from typing import Any


class TheanoExportArchive:
    """Raises NotImplementedError at each use."""

    def track(self, resource: Any) -> None:
        self._refuse()

    def add_endpoint(self, name: str, fn: Any, input_signature: Any = None, **kwargs: Any) -> None:
        self._refuse()

    def _refuse(self) -> None:
        raise NotImplementedError(
            "the Theano backend has no format for model.export. Save with model.save('model.keras'), and "
            "export after loading it under another backend"
        )
