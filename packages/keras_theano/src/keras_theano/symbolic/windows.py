"""Where windows lie along an axis. Convolution and pooling place them in the same way."""

from collections.abc import Sequence

from keras_theano.symbolic.limits import refusal


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
        raise refusal("conv", f"inputs of shape {tuple(shape)}")
    return known


def convolved(
    spatial: Sequence[int],
    window: Sequence[int],
    strides: int | Sequence[int],
    padding: str,
    dilation: int | Sequence[int],
) -> list[tuple[int, int, int]]:
    """Return for each axis of a convolution what `placed` returns.

    Raises ValueError for another padding than "valid" and "same", or if the inputs are smaller than the
    window.
    """
    _require_known(padding, padding.lower())
    axes = len(spatial)
    places = [
        placed(length, (reach - 1) * gap + 1, step, padding.lower())
        for length, reach, step, gap in zip(
            spatial, window, each(strides, axes), each(dilation, axes), strict=True
        )
    ]
    if any(count == 0 for count, _, _ in places):
        raise ValueError(
            f"the inputs are smaller than the window. Received: inputs of {tuple(spatial)}, a window of "
            f"{tuple(window)}, dilation {dilation}"
        )
    return places


def pooled(
    spatial: Sequence[int],
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None,
    padding: str,
) -> list[tuple[int, int, tuple[int, int, int]]]:
    """Return for each axis of a pooling the size of a window, the distance between windows, and what `placed`
    returns.

    strides: the distances. None stands for the sizes of the windows.
    Raises ValueError for another padding than "valid" and "same".
    """
    _require_known(padding, padding)
    axes = len(spatial)
    sizes = each(pool_size, axes)
    steps = sizes if strides is None else each(strides, axes)
    return [
        (size, step, placed(length, size, step, padding))
        for length, size, step in zip(spatial, sizes, steps, strict=True)
    ]


def _require_known(padding: str, name: str) -> None:
    if name not in ("same", "valid"):
        raise ValueError(f"Invalid padding '{padding}', must be 'same' or 'valid'.")


def groups_of(inputs: Sequence[int], kernel: Sequence[int]) -> int:
    """Return the number of groups that the channels of a convolution are divided into.

    inputs: the shape of the inputs, with the channels last.
    kernel: the shape of the kernel.
    Raises ValueError if the number of channels is not a multiple of the kernel's.
    """
    channels: int = inputs[-1]
    if channels % kernel[-2]:
        raise ValueError(
            "the number of input channels must be a multiple of the kernel's. "
            f"Received: {channels} channels, and a kernel of shape {tuple(kernel)}"
        )
    return channels // kernel[-2]


def require_same_channels(inputs: Sequence[int | None], kernel: Sequence[int], of_kernel: int) -> None:
    """Raise ValueError if the inputs do not have as many channels as the kernel.

    inputs: the shape of the inputs, with the channels last.
    kernel: the shape of the kernel.
    of_kernel: the number of channels of the kernel.
    """
    if inputs[-1] != of_kernel:
        raise ValueError(
            "The number of input channels must match the kernel's input channels. "
            f"Received: inputs of shape {tuple(inputs)} with the channels last, "
            f"and a kernel of shape {tuple(kernel)}"
        )
