"""The same Keras model on different backends: what changes, and what is noise?"""

__version__ = "0.1.0"
