"""Where windows lie along an axis. Convolution and pooling place them in the same way."""

from collections.abc import Sequence


def each(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """Return one number for each axis. A single number holds for all axes."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * axes if len(values) == 1 else values


def placed(length: int, reach: int, step: int, padding: str) -> tuple[int, int, int]:
    """Return how many windows there are along an axis, and the padding before and after it.

    length: the size of the axis.
    reach: how many elements a window covers, together with the gaps of a dilated window.
    step: the distance from one window to the next.
    padding: "valid" adds none. "same" makes one window for every `step` elements. If the padding is odd, the
        additional element comes after the axis.
    """
    if padding == "valid":
        return max((length - reach) // step + 1, 0), 0, 0
    count = -(-length // step)
    missing = max((count - 1) * step + reach - length, 0)
    return count, missing // 2, missing - missing // 2


def known_sizes(shape: Sequence[int | None], channels_last: bool) -> tuple[int, ...]:
    """Return the sizes of the spatial axes.

    shape: the shape of the inputs, with the batch first.
    Raises NotImplementedError if one of the sizes is not known before the step runs.
    """
    sizes = tuple(shape[1:-1] if channels_last else shape[2:])
    known = tuple(size for size in sizes if size is not None)
    if len(known) < len(sizes):
        raise NotImplementedError(
            "the Theano backend only convolves and pools inputs of known sizes. "
            f"Received: inputs of shape {tuple(shape)}. "
            "Specify the sizes in keras.Input, or use another backend"
        )
    return known
