"""Builds a network of gated recurrent units (Cho et al., 2014)."""

from dataclasses import dataclass

from ..sequences import Recurrent, build_recurrent, gru


@dataclass
class Settings(Recurrent):
    kind: str = "gru"

    GATES, BIASES = 3, 2


def build(model, inputs, output):
    """Build the model, see `build_recurrent`."""
    return build_recurrent(gru, model, inputs, output)
