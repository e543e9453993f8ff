"""What a recorded step cannot do, with the reasons. The error messages and the table in the documentation are
made from this list. This module does not need PyTensor.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """A call that a recorded step refuses.

    op: the name of the op below keras.ops.
    case: which calls are refused.
    why: the reason.
    instead: the way out, a sentence.
    """

    op: str
    case: str
    why: str
    instead: str


_NOT_YET = "there is no symbolic form of it yet"
_ELSEWHERE = "Outside of training, it runs op by op. To train with it, use another backend."
_SIZES = "the windows are laid out when the step is recorded"
_SPECIFY = "Specify the sizes in keras.Input."

LIMITS = (
    Limit(
        "associative_scan",
        "over an axis of unknown size",
        "it is unrolled into log2(size) calls",
        "Use keras.ops.scan, which needs no size.",
    ),
    Limit(
        "map",
        "of a function that assigns to variables",
        "the function is called for all elements at once",
        "Carry the values through keras.ops.scan, or assign after the loop.",
    ),
    Limit(
        "real",
        "of complex numbers, with a gradient",
        "PyTensor has no gradients of complex numbers. The same holds for imag, absolute, angle and eig",
        "Compute with the two parts, as keras.ops.fft does, or use keras.ops.eigh for symmetric matrices.",
    ),
    Limit(
        "svd",
        "with full_matrices=True and a gradient",
        "the additional singular vectors are arbitrary, so they have no derivatives",
        "Use full_matrices=False or compute_uv=False.",
    ),
    Limit(
        "lu_factor",
        "of matrices that are not square, with a gradient",
        "PyTensor has their gradient for square matrices only",
        "Use keras.ops.qr.",
    ),
    Limit(
        "quantile",
        "with another method than 'linear', 'lower', 'higher', 'nearest' or 'midpoint'",
        _NOT_YET,
        "Use one of these methods.",
    ),
    Limit(
        "pad",
        "with another mode than 'constant', 'edge', 'reflect', 'symmetric' or 'wrap'",
        _NOT_YET,
        "Use one of these modes.",
    ),
    Limit(
        "view",
        "as floats of 16 bits",
        "the step computes in float32 instead, which has other bits",
        "Use a dtype of 32 or 64 bits.",
    ),
    Limit(
        "einsum",
        "with other options than `optimize`",
        "the product is not computed by NumPy's einsum",
        "Leave the options out.",
    ),
    Limit(
        "correlate",
        "with mode='same' and unknown sizes",
        "the longer array decides which part is returned",
        "Use mode='full' and cut out the part.",
    ),
    Limit("conv", "of inputs of unknown sizes", f"{_SIZES}. The same holds for pooling", _SPECIFY),
    Limit("unfold", "of images of unknown sizes", _SIZES, _SPECIFY),
)


def refusal(op: str, received: str = "") -> NotImplementedError:
    """Return the error for a call that a recorded step refuses.

    op: the name of the op below keras.ops.
    received: what was passed, such as "mode='mean'".
    """
    found = [limit for limit in LIMITS if limit.op == op]
    limit = found[0] if found else Limit(op, "", _NOT_YET, _ELSEWHERE)  # an op that a newer Keras has
    call = f"keras.ops.{op}{limit.case and ' '}{limit.case}"
    message = f"the Theano backend cannot trace {call}: {limit.why}. {limit.instead}"
    return NotImplementedError(f"{message} Received: {received}" if received else message)


def table() -> str:
    """Return the list as a table in Markdown. Ops that are refused for the same reason share a row."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for limit in LIMITS:
        rows.setdefault((limit.case, limit.why, limit.instead), []).append(f"`{limit.op}`")
    lines = ["| op | refused | because | instead |", "|---|---|---|---|"]
    lines += [
        f"| {', '.join(ops)} | {case} | {why} | {instead} |" for (case, why, instead), ops in rows.items()
    ]
    return "\n".join(lines) + "\n"
