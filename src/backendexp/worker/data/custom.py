"""Loads data by a function of the user's."""

from dataclasses import dataclass
from typing import Optional

from .. import user_code
from ..arrays import Dataset
from ..settings import Data, setting

LABELS_ARE_CHANCE = False
# What the function gets if it has a parameter of this name.
OFFERED = ("seed",)


@dataclass
class Settings(user_code.Function, Data):
    """The settings of data of the user's own: `_target_`, and the arguments of the function."""

    kind: str = "custom"
    _target_: Optional[str] = setting(
        None, required="a function of yours", example="data._target_=my_data.load"
    )


def task(data):
    return None  # the labels decide


def make(data, seed):
    """Call the user's function and return its arrays as a Dataset.

    The function returns (x_train, y_train), (x_test, y_test). Each is an array, or a dict or a tuple of
    arrays. It may have the parameter `seed`. Floating-point numbers become float32, and whole numbers int32
    if they fit. Labels of shape (samples,) become (samples, 1).
    Raises UserCodeError: the function cannot be used, or its arrays cannot be trained on.
    """
    returned = user_code.call(data, {"seed": seed})
    who = user_code.named(data["_target_"])
    try:
        (x_train, y_train), (x_test, y_test) = returned
    except (TypeError, ValueError):
        raise user_code.UserCodeError(
            "%s returned %s: expected (x_train, y_train), (x_test, y_test)"
            % (who, user_code.described(returned))
        ) from None
    parts = Dataset(x_train, y_train, x_test, y_test)._asdict().items()
    dataset = Dataset(**{name: _converted(who, name, value) for name, value in parts})
    _check_alike(who, dataset)
    return _with_dtypes(dataset)


def _with_dtypes(dataset):
    """Return the data set with labels of the dtype that they are trained with, as every kind of data has."""
    from .. import arrays, tasks

    both = {
        name: (train, test)
        for (name, train), (_, test) in zip(arrays.leaves(dataset.y_train), arrays.leaves(dataset.y_test))
    }
    found = {name: tasks.with_dtype(*pair) if pair[0].ndim == 2 else pair for name, pair in both.items()}

    def rebuilt(y, part):
        if isinstance(y, dict):
            return {key: found[str(key)][part] for key in y}
        if isinstance(y, tuple):
            return tuple(found[str(number)][part] for number in range(len(y)))
        return found[""][part]

    return dataset._replace(y_train=rebuilt(dataset.y_train, 0), y_test=rebuilt(dataset.y_test, 1))


def _converted(who, name, value):
    from .. import arrays

    if isinstance(value, (tuple, list)) and not _holds_arrays(value):
        value = _array(who, name, value)
    if not isinstance(value, (dict, tuple, list)):
        return _checked(who, name, value)
    if not value:
        raise user_code.UserCodeError("%s returned an empty %s for %s" % (who, type(value).__name__, name))
    found = {
        key: _checked(who, "%s[%r]" % (name, _key(value, key)), one) for key, one in arrays.leaves(value)
    }
    if isinstance(value, dict):
        return {key: found[str(key)] for key in value}
    return tuple(found[str(number)] for number in range(len(value)))


def _key(value, key):
    return key if isinstance(value, dict) else int(key)


def _holds_arrays(value):
    return all(hasattr(one, "shape") and getattr(one, "ndim", 0) > 0 for one in value)


def _array(who, name, value):
    import numpy

    try:
        return numpy.asarray(value)
    except Exception as error:  # each engine's tensors have errors of their own
        raise user_code.UserCodeError(
            "%s returned %s for %s, which is not an array: %s"
            % (who, user_code.described(value), name, user_code.shortened(str(error)))
        ) from error


def _checked(who, name, value):
    """Return an array of numbers in the dtype that it is trained in."""
    import numpy

    array = _array(who, name, value)
    where = "%s: %s" % (who, name)
    if array.dtype.kind not in "fiub":
        raise user_code.UserCodeError(
            "%s has dtype %s: expected numbers, e.g. float32" % (where, array.dtype)
        )
    if array.ndim == 0 or array.size == 0:
        raise user_code.UserCodeError(
            "%s has shape %s: expected an array of samples, with at least one number"
            % (where, tuple(array.shape))
        )
    if array.dtype.kind == "f":
        with numpy.errstate(over="ignore"):
            array = array.astype(numpy.float32)
        bad = int(array.size - numpy.isfinite(array).sum())
        if bad:
            raise user_code.UserCodeError(
                "%s holds %d values that are NaN, infinite or too large for float32: expected finite numbers"
                % (where, bad)
            )
    elif array.dtype.kind == "b":
        array = array.astype(numpy.uint8)
    elif array.dtype.itemsize > 2:
        whole = array.astype(numpy.int32)
        if not (whole == array).all():
            raise user_code.UserCodeError(
                "%s holds whole numbers beyond those of int32, which not every backend has" % where
            )
        array = whole
    return array.reshape(-1, 1) if array.ndim == 1 and name.startswith("y") else array


def _check_alike(who, dataset):
    from .. import arrays

    for part in ("train", "test"):
        x, y = getattr(dataset, "x_" + part), getattr(dataset, "y_" + part)
        counts = {
            prefix + part + ("[%s]" % name if name else ""): len(array)
            for prefix, several in (("x_", x), ("y_", y))
            for name, array in arrays.leaves(several)
        }
        if len(set(counts.values())) > 1:
            raise user_code.UserCodeError(
                "%s: the arrays have different numbers of samples: %s"
                % (who, ", ".join("%s has %d" % pair for pair in counts.items()))
            )
    for prefix in ("x_", "y_"):
        shapes = [
            {name: tuple(array.shape[1:]) for name, array in arrays.leaves(getattr(dataset, prefix + part))}
            for part in ("train", "test")
        ]
        if shapes[0] != shapes[1]:
            raise user_code.UserCodeError(
                "%s: one sample of %strain has the shape %s, and one of %stest has %s: expected the same"
                % (who, prefix, _shown(shapes[0]), prefix, _shown(shapes[1]))
            )


def _shown(shapes):
    return str(shapes[""]) if list(shapes) == [""] else str(shapes)
