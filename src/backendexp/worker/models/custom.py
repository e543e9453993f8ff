"""Builds a model by a function of the user's."""

from dataclasses import dataclass
from typing import Optional

from .. import user_code
from ..settings import Model, setting

# Whether the model may have several inputs and outputs.
TAKES_SEVERAL = True
# What the function gets if it has parameters of these names.
OFFERED = ("input_shape", "output_units", "output_activation")


@dataclass
class Settings(user_code.Function, Model):
    """The settings of a model of the user's own: `_target_`, and the arguments of the function."""

    kind: str = "custom"
    _target_: Optional[str] = setting(
        None, required="a function of yours", example="model._target_=my_models.build"
    )


def build(model, inputs, output):
    """Call the user's function and return its Keras model, which may be compiled.

    The function may have the parameters input_shape (`inputs`), output_units and output_activation (of
    `output`). With several inputs or outputs, each of the three is a dict or a tuple.
    Raises UserCodeError: the function cannot be used, or returned no Keras model.
    """
    from keras.models import Model as KerasModel

    built = user_code.call(model, dict(zip(OFFERED, (inputs, output.units, output.activation))))
    if not isinstance(built, KerasModel):
        raise user_code.UserCodeError(
            "%s returned %s: expected a keras.Model"
            % (user_code.named(model["_target_"]), user_code.described(built))
        )
    return built


def refused(model, why):
    """Return the error about a model that the user's function built, but that cannot be trained.

    why: a sentence.
    """
    return user_code.UserCodeError("%s: %s" % (user_code.named(model["_target_"]), why))
