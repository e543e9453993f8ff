"""What `model.export` writes with."""

from keras_theano.backend.export import TheanoExportArchive as SavedModelExportArchive

__all__ = ["SavedModelExportArchive"]
