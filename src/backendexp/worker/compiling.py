"""Compiles a model with an optimizer, a loss and metrics, in names that both Keras generations have."""

# The losses that have another name in Keras 2.
_KERAS2_LOSS_NAMES = {"log_cosh": "logcosh"}


def compile_model(model, optimizer, learning_rate, loss, metrics, generation, execution=None):
    """Compile the model.

    metrics: the names of metrics, at least one.
    execution: jit_compile, run_eagerly and steps_per_execution, as in the plan, or None for Keras's defaults.
    """
    from keras import optimizers

    # Both generations find an optimizer by the name of its class, and call the argument "learning_rate".
    chosen = optimizers.get(optimizer).__class__(learning_rate=learning_rate)
    if generation == 2:
        loss = _KERAS2_LOSS_NAMES.get(loss, loss)
    model.compile(loss=loss, optimizer=chosen, metrics=list(metrics), **execution_arguments(execution or {}))


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
