"""Names the layers that a generation of Keras or an engine computes by another formula than Keras 3."""

from . import weights
from .randomness import title


def unlike_layers(model):
    """Return what Keras 2.3.1 computes differently from Keras 3, a sentence for each such layer."""
    return [
        "%s: %s" % (title(layer), why)
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


def unlike_engine(model, generation, backend):
    """Return which formula of the engine is not that of Keras 3, in a sentence, or None if none is known.

    The losses of a model with such a layer need not agree with those of other engines.
    """
    if (generation, backend) != (2, "theano"):
        return None
    pooled = [layer for layer in weights.all_layers(model) if "MaxPooling" in type(layer).__name__]
    if not pooled:
        return None
    return (
        "Theano 1.0.4 gives the gradient of max pooling to each of several equal greatest values, Keras 3 to "
        "the first (%s)" % ", ".join(title(layer) for layer in pooled)
    )
