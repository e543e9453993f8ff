"""Provides batches in an order that numpy draws, so that every backend sees the same batches."""

import numpy

from . import arrays


def ordered_batches(x, y, batch_size, seed):
    """Return a Keras Sequence over (x, y), and the callback that gives it a new order every epoch.

    Epoch e uses the permutation drawn from (seed, e). The last batch of an epoch is smaller when
    batch_size does not divide the number of samples, as in `Model.fit`. On TensorFlow and JAX, training
    from it was measured to be as fast as from the arrays themselves.

    x, y: arrays, or tuples or dicts of them.
    """
    import keras

    samples = arrays.rows(x)
    base = getattr(keras.utils, "PyDataset", None) or keras.utils.Sequence

    class OrderedBatches(base):
        order = None

        def __len__(self):
            return -(-samples // batch_size)

        def __getitem__(self, index):
            chosen = self.order[index * batch_size : (index + 1) * batch_size]

            def take(array):
                return array[chosen]

            return arrays.mapped(take, x), arrays.mapped(take, y)

    class NewOrder(keras.callbacks.Callback):
        # OrderedBatches.on_epoch_end cannot do this, because Keras 2.3 does not call it when it fetches
        # batches in the main thread.
        def on_epoch_begin(self, epoch, logs=None):
            source.order = _permutation(samples, seed, epoch)

    source = OrderedBatches()
    source.order = _permutation(samples, seed, 0)  # Keras 3 looks at a batch before the first epoch
    return source, NewOrder()


def _permutation(samples, seed, epoch):
    return numpy.random.RandomState([seed, epoch]).permutation(samples)
