"""Decides what each output of a model learns, and checks that the outputs suit the labels and the loss.

Keras does not check everything: on some backends a label beyond the last class, or an output that is compared
with the labels of another one, trains without a word.
"""

import collections
import math

from . import arrays, tasks

# Each of the four has the structure of the labels: one value, or a dict or a tuple of values.
# loss: the name of a loss. metrics: a list of names. units, activation: of the output, see models.Output.
Objectives = collections.namedtuple("Objectives", "loss metrics units activation")


class Mismatch(Exception):
    """Raised if the outputs of a model do not suit the labels. The message says what was expected."""


def decide(task, loss, metrics, activation):
    """Return the Objectives for labels, replacing what is left to them.

    task: what the labels ask for, or a dict or a tuple of these for several outputs.
    loss: a name, or auto. metrics: names, or None. activation: a name, or auto.
    """

    def of_one(task):
        own = tasks.loss_of(task) if loss == tasks.AUTO else loss
        return Objectives(
            own,
            list(metrics or tasks.metrics_of(task)),
            tasks.units_of(task, own),
            tasks.activation_of(task, own) if activation == tasks.AUTO else activation,
        )

    if isinstance(task, tasks.Task):
        return of_one(task)
    decided = arrays.mapped(of_one, task)
    return Objectives(
        *(arrays.mapped(lambda one, name=name: getattr(one, name), decided) for name in Objectives._fields)
    )


def outputs_of(model, x):
    """Return {name: shape} of the outputs of a model, and whether labels belong to them by name alone.

    The shape has no axis of samples, and None for an axis whose length is not known. The names are numbers if
    the outputs have none. A model that builds itself when it is first called is called with two samples.
    x: the input of the model.
    """
    if getattr(model, "outputs", None):
        shapes = [_shape(one) for one in model.outputs]
        return (
            collections.OrderedDict(zip(_names(model, len(shapes)), shapes)),
            isinstance(getattr(model, "_outputs_struct", None), dict),
        )
    two = arrays.mapped(lambda array: array[:2], x)
    import keras

    result = model.predict_on_batch(two) if keras.__version__.startswith("2") else model(two)
    return (
        collections.OrderedDict((name, _shape(one)) for name, one in arrays.leaves(result)),
        isinstance(result, dict),
    )


def _names(model, count):
    # A Sequential of Keras 3 has no names of outputs.
    return getattr(model, "output_names", None) or [str(number) for number in range(count)]


def _shape(tensor):
    shape = getattr(tensor, "_keras_shape", None) or tensor.shape
    return tuple(None if size is None else int(size) for size in tuple(shape)[1:])


def check(outputs, by_name, dataset, losses):
    """Check the outputs of a model against the labels.

    outputs, by_name: see `outputs_of`.
    losses: the names of the losses in the structure of the labels. A loss that is no name is not checked.
    Raises Mismatch: the number or the shape of the outputs does not suit the labels, or the loss does not
        accept the labels.
    """
    train = collections.OrderedDict(arrays.leaves(dataset.y_train))
    test = collections.OrderedDict(arrays.leaves(dataset.y_test))
    named = isinstance(dataset.y_train, dict)
    if named and set(train) != set(outputs) and not _are_numbers(outputs):
        raise Mismatch(
            "the model has the outputs %s, but the labels are for %s: expected a label for each output"
            % (_list(outputs), _list(train))
        )
    if len(train) != len(outputs):
        raise Mismatch(
            "the model has %d output%s (%s), but the labels are %d array%s"
            % (len(outputs), _s(outputs), _list(outputs), len(train), _s(train))
        )
    if by_name and not named and len(train) > 1:
        raise Mismatch(
            "the model gives a dict of outputs, but the labels are a tuple, so it is not known which belongs "
            "to which: expected a dict of labels with the keys %s" % _list(outputs)
        )
    of_loss = dict(arrays.leaves(losses)) if isinstance(losses, (dict, tuple, list)) else {}
    shapes = outputs if named and not _are_numbers(outputs) else dict(zip(train, outputs.values()))
    for name, shape in shapes.items():
        loss = of_loss.get(name, losses)
        where = " %s" % name if len(shapes) > 1 else ""
        for part, labels in (("y_train", train[name]), ("y_test", test[name])):
            _check_one(where, part + ("[%s]" % name if name else ""), shape, labels, loss)


def _check_one(output, part, shape, labels, loss):
    if not isinstance(loss, str):
        return
    own = tuple(labels.shape[1:])
    shown = "the output%s has the shape %s, and %s has %s" % (
        output,
        _with_samples(shape),
        part,
        _with_samples(own),
    )
    if loss == tasks.SPARSE:
        if len(shape) == 0 or not _alike(shape[:-1], own[:-1] if len(own) == len(shape) else own):
            raise Mismatch("%s: expected %s" % (shown, _with_samples(own[:-1] + ("classes",))))
        classes = shape[-1]
        low, high = labels.min(), labels.max()
        whole = bool((labels == labels.astype("int64")).all())
        if not whole or low < 0 or (classes is not None and high >= classes):
            raise Mismatch(
                "%s holds labels from %g to %g, but %s: expected whole numbers from 0 to %s"
                % (
                    part,
                    low,
                    high,
                    "the output%s has %s classes" % (output, classes),
                    "classes - 1" if classes is None else classes - 1,
                )
            )
        return
    if not (_alike(shape, own) or _alike(shape + (1,), own) or _alike(shape, own + (1,))):
        raise Mismatch("%s: training.loss=%s expects the same shape" % (shown, loss))
    low, high = labels.min(), labels.max()
    least, greatest = tasks.ACCEPTED.get(loss, (-math.inf, math.inf))
    if low < least or high > greatest:
        raise Mismatch(
            "%s holds labels from %g to %g, but training.loss=%s accepts labels from %g %s"
            % (part, low, high, loss, least, "up" if greatest == math.inf else "to %g" % greatest)
        )


def _alike(first, second):
    return len(first) == len(second) and all(a == b or a is None or b is None for a, b in zip(first, second))


def _with_samples(shape):
    return "(%s)" % ", ".join(["samples"] + ["any" if size is None else str(size) for size in shape])


def _are_numbers(names):
    return all(name == "" or name.isdigit() for name in names)


def _list(names):
    return ", ".join(sorted(names)) if any(names) else "one"


def _s(many):
    return "" if len(many) == 1 else "s"
