"""Contains the models that a run can train. Each kind is a module of this package, and `model.kind` names it.

A kind has
    Settings
        the dataclass of its settings, a subclass of settings.Model. It says which generations of Keras have
        all layers of the model, and which samples the model takes
    build(model, inputs, output)
        takes the `model` part of the plan, the shape of one sample of x, and an `Output`. It returns a Keras
        model that is not compiled yet. `worker.weights` then draws its initial weights.

No module here imports Keras before `build` is called.
"""

import collections
import sys

from .. import arrays
from .. import kinds as modules

# units: the number of outputs. activation: the activation of the last layer.
Output = collections.namedtuple("Output", "units activation")


class UnfitInput(Exception):
    """Raised if a model cannot take the samples of x."""


def input_fault(settings, inputs):
    """Return why a model cannot take such samples, and what to do, or None if it can.

    settings: the settings of the model.
    inputs: the shape of one sample of x, a tuple of sizes, or a structure of such tuples.
    """
    if settings.OPEN:
        return None
    if not (isinstance(inputs, tuple) and all(isinstance(size, int) for size in inputs)):
        return "x consists of %d arrays, but model=%s takes one. Use model=custom" % (
            len(inputs),
            settings.kind,
        )
    fault = settings.input_fault(inputs)
    return fault and "a sample of x has the shape %s: %s" % (inputs, fault)


def check_input(settings, dataset):
    """Check that a model can take the samples of a data set.

    dataset: see `arrays.Dataset`.
    Raises UnfitInput: it cannot.
    """
    fault = input_fault(settings, arrays.sample_shape(dataset.x_train))
    if fault:
        raise UnfitInput(fault)
    vocabulary = getattr(settings, "vocabulary", None)
    if settings.OPEN or vocabulary is None:
        return
    for name, x in (("x_train", dataset.x_train), ("x_test", dataset.x_test)):
        if x.min() < 0 or x.max() >= vocabulary or (x != x.astype("int32")).any():
            raise UnfitInput(
                "%s holds numbers from %g to %g, but model.vocabulary=%d takes whole numbers from 0 to %d"
                % (name, x.min(), x.max(), vocabulary, vocabulary - 1)
            )


def kinds():
    """Return the names of all kinds, in alphabetical order."""
    return modules.names(sys.modules[__name__])


def kind(name):
    """Return the module of a kind. Raises ImportError: there is no such kind."""
    return modules.module(sys.modules[__name__], name)
