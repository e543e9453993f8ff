"""Builds a convolutional network after Keras's example mnist_convnet, with names that both generations have.

https://github.com/keras-team/keras-io/blob/master/examples/vision/mnist_convnet.py
"""

from dataclasses import dataclass
from typing import List

from ..settings import Model, output_activation, setting


@dataclass
class Settings(Model):
    """The settings of a convolutional network.

    filters: the number of filters of each convolution.
    kernel_size: the height and the width of every filter, in pixels.
    pool_size: the height and the width of the windows whose greatest values are kept, in pixels.
    padding: same, which keeps the size of an image by zeros around it, or valid, which pads nothing.
    activation: the activation of the convolutions.
    dropout: the share of units that is dropped before the last layer.
    output_activation: the activation of the last layer.
    """

    kind: str = "cnn"
    filters: List[int] = setting(
        [32, 64],
        low=1,
        high=10**5,
        at_least=1,
        at_most=100,
        items="layers",
        example="model.filters=[32,64]",
    )
    kernel_size: int = setting(3, low=1, high=1000, example="model.kernel_size=3")
    pool_size: int = setting(2, low=1, high=1000, example="model.pool_size=2")
    padding: str = setting("same", choices=("same", "valid"), example="model.padding=same")
    activation: str = setting("relu", names="activations", example="model.activation=relu")
    dropout: float = setting(0.5, low=0, high=1, below=True, example="model.dropout=0.5")
    output_activation: str = output_activation()

    def input_fault(self, inputs):
        if len(inputs) != 3:
            return (
                "model=cnn takes images, samples of the shape (height, width, channels) such as (28, 28, 1). "
                "Give x another axis, or use model=mlp"
            )
        for number, _ in enumerate(self.filters, 1):
            for axis, size in (("high", inputs[0]), ("wide", inputs[1])):
                for _ in range(number):
                    size = self._size_after(size)
                if size < 1:
                    return (
                        "the images are %d by %d pixels, and nothing of them is left after layer %d, which "
                        "would be %d pixels %s. Use model.padding=same, a smaller model.pool_size, or fewer "
                        "model.filters" % (inputs[0], inputs[1], number, size, axis)
                    )
        return None

    WIDTH = "filters"

    def weight_count(self, inputs):
        height, width, channels = inputs
        count = 0
        for filters in self.filters:
            count += (self.kernel_size**2 * channels + 1) * filters
            height, width, channels = self._size_after(height), self._size_after(width), filters
        return count + height * width * channels + 1

    def _size_after(self, size):
        """Return the height or width that a convolution and the pooling after it leave of `size`."""
        if self.padding == "valid":
            size -= self.kernel_size - 1
        return size // self.pool_size


def build(model, inputs, output):
    """Build a model with Conv2D and MaxPooling2D for every entry of `filters`, then Dropout and Dense.

    model: the `model` part of the plan.

    Input: shape (batch, height, width, channels). Output: shape (batch, output.units).
    """
    from keras.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D
    from keras.models import Model

    images = {"data_format": "channels_last"}
    x = start = Input(inputs)
    for filters in model["filters"]:
        x = Conv2D(
            filters, model["kernel_size"], padding=model["padding"], activation=model["activation"], **images
        )(x)
        x = MaxPooling2D(model["pool_size"], **images)(x)
    x = Dropout(model["dropout"])(Flatten()(x))
    return Model(start, Dense(output.units, activation=output.activation)(x))
