"""Whether the new outputs are those of the old model, to rounding, layer by layer.

How far rounding alone drives the outputs apart is measured, as in `analysis.trajectories`: the old model
computes several times with inputs and weights that are one rounding (one unit in the last place) away, which
are called rounding probes. Two correct engines make more errors than that one: a sum of n products makes
about log2(n) if it is added in pairs, a function such as tanh a few, and a recurrent layer makes them at each
step. So rounding explains at most the greatest distance of a probe, or one rounding of the greatest output,
times the number of errors on the way to the layer. A layer whose outputs are further away computes something
else.

Higham, Accuracy and Stability of Numerical Algorithms (2002): sections 1.18 and 4.2.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

# The errors of a layer besides its sums: of its activation, and of a bias or a normalization.
_OF_FUNCTIONS = 8


@dataclass(frozen=True)
class Output:
    """One output of a layer of the old model.

    layer, call, tensor: the layer, the number of its call, and the number of its output, both from 0.
    value: of the reference. grown: the greatest distance of a rounding probe.
    mask: which steps count, of the shape (samples, steps), or None. What a layer gives at a masked step is no
        result, but an output of the model is compared as a whole.
    """

    layer: str
    call: int
    tensor: int
    value: Any
    grown: float
    mask: Any = None

    @property
    def title(self) -> str:
        call = f", call {self.call + 1}" if self.call else ""
        # A file can call a layer anything, and a terminal obeys some characters.
        name = "".join(one if one.isprintable() else "?" for one in self.layer)
        return f"{name}{call}" + (f", output {self.tensor + 1}" if self.tensor else "")


@dataclass(frozen=True)
class Row:
    """How one output compares.

    bound: the distance that rounding explains. scale: the greatest size of a number in the output.
    distances: the greatest distance for each side that computed it. None: the side has no such output, or one
        of another shape. unmasked: the same for the steps that count, if there is a mask.
    """

    output: Output
    bound: float
    scale: float
    distances: dict[str, float | None]
    unmasked: dict[str, float | None] = field(default_factory=dict)

    def agrees(self, side: str) -> bool:
        return self._explained(self.distances.get(side)) or self.only_masked(side)

    @property
    def finite(self) -> bool:
        """Whether the old model gives finite numbers. Others would hide a difference behind them."""
        return bool(numpy.isfinite(self.output.value).all())

    def only_masked(self, side: str) -> bool:
        """Whether the outputs differ at masked steps and nowhere else."""
        if self._explained(self.distances.get(side)):
            return False
        return self._explained(self.unmasked.get(side))

    def _explained(self, distance: float | None) -> bool:
        return distance is not None and distance <= self.bound


def errors_of_layer(shapes: Sequence[tuple[int, ...]], steps: int, recurrent: bool) -> int:
    """The number of rounding errors that one number of a layer's output has behind it.

    shapes: of its weights. steps: the number of steps of a sequence.
    """
    sums = max((math.prod(shape[:-1]) for shape in shapes if len(shape) > 1), default=1)
    once = math.ceil(math.log2(max(2, sums))) + _OF_FUNCTIONS
    return once * steps if recurrent else once


def compare(
    outputs: Sequence[Output],
    sides: Mapping[str, Mapping[tuple[str, int, int], Any]],
    errors: Mapping[str, int],
) -> list[Row]:
    """Compare every output of the reference with that of every side.

    sides: for each side, its outputs by (layer, call, tensor), with the names of the old layers.
    errors: see `errors_of_layer`, by the name of the layer. They add up along the layers.
    """
    rows, so_far, seen = [], 0, set[str]()
    for output in outputs:
        if output.layer not in seen:
            seen.add(output.layer)
            so_far += errors.get(output.layer, _OF_FUNCTIONS)
        key = (output.layer, output.call, output.tensor)
        scale = _greatest(output.value)
        bound = max(output.grown, _rounding(output.value) * scale) * so_far
        found = {side: distance(output.value, values.get(key)) for side, values in sides.items()}
        unmasked = {}
        if output.mask is not None and output.mask.shape == output.value.shape[: output.mask.ndim]:
            unmasked = {
                side: distance(output.value[output.mask], values[key][output.mask])
                for side, values in sides.items()
                if found[side] is not None
            }
        rows.append(Row(output, bound, scale, found, unmasked))
    return rows


def distance(old: Any, new: Any) -> float | None:
    """The greatest distance of two arrays; None if they cannot be compared, infinity for a lone NaN."""
    if new is None or old.shape != new.shape:
        return None
    if not old.size:
        return 0.0
    a, b = old.astype(numpy.float64), new.astype(numpy.float64)
    same = (a == b) | (numpy.isnan(a) & numpy.isnan(b))
    with numpy.errstate(invalid="ignore"):
        apart = numpy.where(same, 0.0, numpy.abs(a - b))
    return float(numpy.where(numpy.isnan(apart), numpy.inf, apart).max())


def _greatest(value: Any) -> float:
    finite = value[numpy.isfinite(value)] if value.size else value
    return float(numpy.abs(finite.astype(numpy.float64)).max()) if finite.size else 0.0


def _rounding(value: Any) -> float:
    return float(numpy.finfo(value.dtype).eps) / 2 if value.dtype.kind == "f" else 0.0


def first_that_differs(rows: Sequence[Row], side: str) -> Row | None:
    return next((row for row in rows if not row.agrees(side)), None)
