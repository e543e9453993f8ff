"""PyTensor's conditional op, which has a different place since PyTensor 3.3."""

try:
    from pytensor.conditional.op import IfElse as IfElse
    from pytensor.conditional.op import ifelse as ifelse
except ModuleNotFoundError:
    from pytensor.ifelse import IfElse as IfElse
    from pytensor.ifelse import ifelse as ifelse
