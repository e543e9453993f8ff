"""Builds a network of LSTM layers that read the sequence in both directions."""

from dataclasses import dataclass

from ..sequences import Recurrent, build_recurrent, two_way_lstm


@dataclass
class Settings(Recurrent):
    kind: str = "bilstm"

    DIRECTIONS = 2


def build(model, inputs, output):
    """Build the model, see `build_recurrent`."""
    return build_recurrent(two_way_lstm, model, inputs, output)
