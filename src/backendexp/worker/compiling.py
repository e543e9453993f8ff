"""Compiles a model with an optimizer, a loss and metrics, in names that both Keras generations have."""

from . import arrays

# The losses that have another name in Keras 2.
_KERAS2_LOSS_NAMES = {"log_cosh": "logcosh"}


def notes_on(model, own):
    """Return notes for the user on how the model is compiled.

    own: whether the model keeps its own optimizer, loss and metrics.
    Raises ValueError: it is meant to, but is not compiled.
    """
    compiled = getattr(model, "optimizer", None) is not None
    if own and not compiled:
        raise ValueError(
            "training.compile=own, but the model that your function returned is not compiled. Compile it "
            "there, or leave out training.compile=own"
        )
    if compiled and not own:
        return [
            "Your function returned a compiled model. It was compiled again with training.optimizer, "
            "training.loss and training.metrics; training.compile=own keeps your own."
        ]
    return []


def compile_model(model, optimizer, learning_rate, loss, metrics, generation, execution=None):
    """Compile the model.

    loss, metrics: the name of a loss or a loss of the user's, and the names of metrics. A model with several
        outputs has a dict or a tuple of these.
    execution: jit_compile, run_eagerly and steps_per_execution, as in the plan, or None for Keras's defaults.
    """
    from keras import optimizers

    # Both generations find an optimizer by the name of its class, and call the argument "learning_rate".
    chosen = optimizers.get(optimizer).__class__(learning_rate=learning_rate)
    if generation == 2:
        loss = arrays.mapped(_name_in_keras_2, loss)
    several = isinstance(loss, (tuple, list))
    model.compile(
        loss=list(loss) if several else loss,
        optimizer=chosen,
        metrics=metrics if isinstance(metrics, dict) else list(metrics),
        **execution_arguments(execution or {}),
    )


def _name_in_keras_2(loss):
    return _KERAS2_LOSS_NAMES.get(loss, loss) if isinstance(loss, str) else loss


def execution_arguments(execution):
    """Return the arguments of `compile` that say how its steps are run. What is Keras's default is left out,
    because Keras 2 has none of them.
    """
    arguments = {}
    if execution.get("jit_compile") is not None:
        arguments["jit_compile"] = execution["jit_compile"]
    if execution.get("run_eagerly"):
        arguments["run_eagerly"] = True
    if execution.get("steps_per_execution", 1) > 1:
        arguments["steps_per_execution"] = execution["steps_per_execution"]
    return arguments
