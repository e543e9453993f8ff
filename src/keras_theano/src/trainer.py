"""What models inherit."""

from keras_theano.backend.trainer import TheanoTrainer as Trainer

__all__ = ["Trainer"]
