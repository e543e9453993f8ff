"""Builds a network of LSTM layers (Hochreiter and Schmidhuber, 1997)."""

from dataclasses import dataclass

from ..sequences import Recurrent, build_recurrent, lstm


@dataclass
class Settings(Recurrent):
    kind: str = "lstm"


def build(model, inputs, output):
    """Build the model, see `build_recurrent`."""
    return build_recurrent(lstm, model, inputs, output)
