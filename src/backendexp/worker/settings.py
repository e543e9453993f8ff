"""Describes settings: a setting is a field of a dataclass, and its metadata says which values it accepts.

The parent process checks the values (`backendexp.config.checks`). The worker only reads them.
"""

import copy
import dataclasses
import functools
import operator


def setting(
    default=None,
    low=None,
    high=None,
    above=False,
    below=False,
    choices=None,
    names=None,
    example=None,
    at_least=0,
    at_most=None,
    items="values",
    required=None,
    automatic=False,
):
    """Return a field of a dataclass, with the values that it accepts.

    low, high: the range of a number, or of each number of a list.
    above, below: whether `low` and `high` themselves are excluded.
    choices: the words that are accepted, also as the elements of a list.
    names: for a word that Keras must know, the field of `backendexp.runtimes.catalogue.RuntimeFacts` that
        lists such words.
    example: the setting with a good value, for error messages.
    at_least, at_most: the number of elements of a list. items: what these elements are called.
    required: what the setting names, if it must be given.
    automatic: whether `auto` is accepted too.
    """
    metadata = {
        "low": low,
        "high": high,
        "above": above,
        "below": below,
        "choices": choices,
        "names": names,
        "example": example,
        "at_least": at_least,
        "at_most": at_most,
        "items": items,
        "required": required,
        "automatic": automatic,
    }
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: copy.copy(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def planned(source):
    """Return a field that the plan fills in and that the user cannot set.

    source: what the plan takes from where, such as "its sizes from the file", for the error message.
    """
    return dataclasses.field(default=None, metadata={"planned": source})


def output_activation():
    """Return the setting of the last layer's activation. The labels and the loss decide what `auto` means."""
    return setting("auto", names="activations", automatic=True, example="model.output_activation=sigmoid")


def product(sizes):
    """Return the number of values in an array of these sizes."""
    return functools.reduce(operator.mul, sizes, 1)  # Python 3.7 has no math.prod


@dataclasses.dataclass
class Part(object):
    """A part of the configuration whose kind decides which other settings it has: `data` or `model`.

    kind: the name of the module that defines the other settings.
    """

    kind: str = "???"

    # Whether the user may add settings that the class does not list.
    OPEN = False

    def to_json(self):
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields):
        return cls(**fields)


@dataclasses.dataclass
class Data(Part):
    """The settings that every kind of data has."""

    # Whether `samples` and `test_samples` are settings that may have any size.
    SIZED = False
    # The file of an installed package that the arrays are read from, a worker.bundled.File, or None.
    FILE = None

    def size_bytes(self):
        """Return the size of the arrays, or None if it is not known before they are made."""

    def sample_shape(self):
        """Return the shape of one sample of x, or None if it is not known before the arrays are made.

        The shape is a tuple of sizes, or a dict of such tuples if there are several inputs.
        """

    def fault(self):
        """Return a sentence that says which settings do not suit each other, or None if all do."""


@dataclasses.dataclass
class Model(Part):
    """The settings that every kind of model has."""

    # The generations of Keras that have all layers of the model.
    GENERATIONS = (2, 3)

    def input_fault(self, inputs):
        """Return why the model cannot take such samples, and what to do, or None if it can.

        inputs: the shape of one sample of x, a tuple of sizes.
        """

    # The name of the setting that decides most of the number of weights.
    WIDTH = None

    def weight_count(self, inputs):
        """Return the number of weights with a single output, or None if it is not known before the model is
        built.

        inputs: the shape of one sample of x, a tuple of sizes that the model can take.
        """
