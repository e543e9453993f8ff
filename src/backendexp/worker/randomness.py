"""Switches off what a model draws at random while it trains, and names the layers that remain different.

The parity check needs it: the backends draw different random numbers, so that a model which draws some has
different losses on each of them.
"""

import numbers

from . import weights

# What Keras's layers call the share that they drop, or the spread of the noise that they add. The attributes
# of a layer of the user's have these names only if it is a kind of dropout or noise too.
_OF_DROPPING_LAYERS = ("rate", "stddev")
_OF_OTHERS = ("dropout", "_dropout", "recurrent_dropout")
_WORDS_OF_DROPPING_LAYERS = ("Dropout", "Noise")


def switch_off():
    """Make every layer of this process drop nothing and add no noise from its next call on.

    It must be called before the model is built, because Keras 2 fixes what a layer does when it is called.
    """
    from keras.layers import Layer

    call = Layer.__call__

    def called(self, *args, **kwargs):
        _quiet(self)
        return call(self, *args, **kwargs)

    Layer.__call__ = called


def quiet(model):
    """Make every layer of a model drop nothing and add no noise, at any depth."""
    for layer in weights.all_layers(model):
        _set_zero(layer)


def _quiet(layer):
    # Layers that are inside another one, such as the cell of an LSTM, are not always called themselves.
    if not getattr(layer, "_backendexp_quiet", False):
        quiet(layer)
        object.__setattr__(layer, "_backendexp_quiet", True)


def _set_zero(layer):
    for name in _shares(layer):
        setattr(layer, name, 0.0)


def _shares(layer):
    """Return the names of the attributes that say how much a layer drops, or how strong its noise is."""
    names = _OF_OTHERS if _extends_layer_of_keras(layer) else ()
    if _drops(layer):
        names += _OF_DROPPING_LAYERS
    return [name for name in names if isinstance(vars(layer).get(name), numbers.Real)]


def _extends_layer_of_keras(layer):
    from keras.layers import Layer
    from keras.models import Model

    return any(
        issubclass(kind, Layer) and kind is not Layer and not issubclass(kind, Model)
        for kind in type(layer).__mro__
        if kind.__module__.split(".")[0] == "keras"
    )


def _drops(layer):
    """Return whether a layer is a kind of dropout or noise, by the name of its class or of one above it."""
    names = [kind.__name__ for kind in type(layer).__mro__]
    return any(word in name for word in _WORDS_OF_DROPPING_LAYERS for name in names)


def random_layers(model):
    """Return the layers that draw random numbers while the model trains, each as its name and its class.

    Keras 2 keeps nothing that would tell of a layer of the user's that it draws.
    """
    found = []
    for layer in weights.all_layers(model):
        shares = [vars(layer)[name] for name in _shares(layer)]
        draws_itself = bool(getattr(layer, "_seed_generators", None)) and not shares
        if any(shares) or draws_itself:
            found.append(_title(layer))
    return found


def unlike_layers(model):
    """Return what Keras 2.3.1 computes differently from Keras 3, a sentence for each such layer."""
    return [
        "%s: %s" % (_title(layer), why)
        for layer in weights.all_layers(model)
        for why in [_why_unlike(layer)]
        if why
    ]


def _why_unlike(layer):
    names = [kind.__name__ for kind in type(layer).__mro__]
    if "BatchNormalization" in names:
        return (
            "Keras 2.3.1 keeps the variance of a sample, Keras 3 that of the population. It matters to the "
            "evaluation alone"
        )
    if getattr(layer, "reset_after", True) is False:
        return "reset_after is false, the default of Keras 2.3.1. The default of Keras 3 is true"
    for name in ("activation", "recurrent_activation"):
        if getattr(vars(layer).get(name), "__name__", None) == "hard_sigmoid":
            return "hard_sigmoid rises by 1/5 in Keras 2.3.1, and by 1/6 in Keras 3"
    return None


def _title(layer):
    return "%s (%s)" % (layer.name, type(layer).__name__)
