"""Compiles a model with an optimizer, a loss and metrics, in names that both Keras generations have."""

# The losses that have another name in Keras 2.
_KERAS2_LOSS_NAMES = {"log_cosh": "logcosh"}


def compile_model(model, optimizer, learning_rate, loss, metrics, generation):
    """Compile the model.

    metrics: the names of metrics, at least one.
    """
    from keras import optimizers

    # Both generations find an optimizer by the name of its class, and call the argument "learning_rate".
    chosen = optimizers.get(optimizer).__class__(learning_rate=learning_rate)
    if generation == 2:
        loss = _KERAS2_LOSS_NAMES.get(loss, loss)
    model.compile(loss=loss, optimizer=chosen, metrics=list(metrics))
