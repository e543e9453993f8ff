"""The code of operations on single numbers, in LLVM's language.

Each operation gives NumPy's result: NaN stays NaN, whole numbers wrap around, and an integer divided by 0
is 0. There is no fast math. `approximations` says how exact exp, log, tanh and erf are; all other functions
are those of the C library.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_theano.execution.native import approximations
from keras_theano.execution.native.code import Code, is_float, literal, llvm_type

# Takes the code, the names of the operands, and the dtype of the operands. Returns the name of the result.
Emit = Callable[[Code, list[str], str], str]


@dataclass(frozen=True)
class Operation:
    """An operation on numbers of one dtype.

    emit: adds it to the code.
    kinds: the kinds of NumPy's dtypes that it takes. b: bool, i and u: whole numbers, f: floats.
    """

    emit: Emit
    kinds: str

    def takes(self, dtype: str) -> bool:
        return np.dtype(dtype).kind in self.kinds


def _instruction(of_floats: str, of_whole: str, of_bools: str | None = None) -> Emit:
    """Return what emits one instruction, by the kind of the dtype."""

    def emit(code: Code, given: list[str], dtype: str) -> str:
        word = of_floats if is_float(dtype) else of_bools if dtype == "bool" and of_bools else of_whole
        return code.new(f"{word} {llvm_type(dtype)} {given[0]}, {given[1]}")

    return emit


def _comparison(of_floats: str, of_signed: str, of_unsigned: str) -> Emit:
    def emit(code: Code, given: list[str], dtype: str) -> str:
        kind = np.dtype(dtype).kind
        word = f"fcmp {of_floats}" if kind == "f" else f"icmp {of_signed if kind == 'i' else of_unsigned}"
        return code.new(f"{word} {llvm_type(dtype)} {given[0]}, {given[1]}")

    return emit


def _extreme(of_floats: str, of_signed: str, of_unsigned: str, of_bools: str) -> Emit:
    """Return what emits a maximum or a minimum. It is NaN if one of the numbers is."""

    def emit(code: Code, given: list[str], dtype: str) -> str:
        kind = np.dtype(dtype).kind
        if kind == "b":
            return code.new(f"{of_bools} i1 {given[0]}, {given[1]}")
        if kind == "f":
            return code.intrinsic(of_floats, given, dtype)
        return code.intrinsic(of_signed if kind == "i" else of_unsigned, given, dtype)

    return emit


def _where(code: Code, given: list[str], dtype: str) -> str:
    kind = llvm_type(dtype)
    return code.new(f"select i1 {given[0]}, {kind} {given[1]}, {kind} {given[2]}")


def _intrinsic(name: str) -> Emit:
    """Return what emits a function of floats that LLVM knows. It leaves whole numbers as they are."""

    def emit(code: Code, given: list[str], dtype: str) -> str:
        return code.intrinsic(name, given, dtype) if is_float(dtype) else given[0]

    return emit


def _of_c(name: str) -> Emit:
    return lambda code, given, dtype: code.library(name, given, dtype)


def _negative(code: Code, given: list[str], dtype: str) -> str:
    kind = llvm_type(dtype)
    return code.new(f"fneg {kind} {given[0]}" if is_float(dtype) else f"sub {kind} 0, {given[0]}")


def _absolute(code: Code, given: list[str], dtype: str) -> str:
    if is_float(dtype):
        return code.intrinsic("fabs", given, dtype)
    if np.dtype(dtype).kind != "i":
        return given[0]
    kind = llvm_type(dtype)
    less = code.new(f"icmp slt {kind} {given[0]}, 0")
    return code.new(f"select i1 {less}, {kind} {_negative(code, given, dtype)}, {kind} {given[0]}")


def _square(code: Code, given: list[str], dtype: str) -> str:
    return _MULTIPLY(code, [given[0], given[0]], dtype)


def _sign(code: Code, given: list[str], dtype: str) -> str:
    kind, zero, one = llvm_type(dtype), literal(0, dtype), literal(1, dtype)
    if is_float(dtype):
        more, less = (code.new(f"fcmp {word} {kind} {given[0]}, {zero}") for word in ("ogt", "olt"))
        # A zero or NaN is its own sign. The sign of -0.0 is 0.0 in NumPy, which is equal.
        own = code.new(f"select i1 {less}, {kind} {literal(-1, dtype)}, {kind} {given[0]}")
        return code.new(f"select i1 {more}, {kind} {one}, {kind} {own}")
    if np.dtype(dtype).kind == "u":
        return code.new(f"zext i1 {code.new(f'icmp ne {kind} {given[0]}, 0')} to {kind}")
    more = code.new(f"zext i1 {code.new(f'icmp sgt {kind} {given[0]}, 0')} to {kind}")
    less = code.new(f"sext i1 {code.new(f'icmp slt {kind} {given[0]}, 0')} to {kind}")
    return code.new(f"or {kind} {more}, {less}")


def _invert(code: Code, given: list[str], dtype: str) -> str:
    return code.new(f"xor {llvm_type(dtype)} {given[0]}, {'true' if dtype == 'bool' else -1}")


def _isnan(code: Code, given: list[str], dtype: str) -> str:
    return code.new(f"fcmp uno {llvm_type(dtype)} {given[0]}, {given[0]}")


def _isinf(code: Code, given: list[str], dtype: str) -> str:
    size = code.intrinsic("fabs", given, dtype)
    return code.new(f"fcmp oeq {llvm_type(dtype)} {size}, {literal(np.inf, dtype)}")


def _reciprocal(code: Code, given: list[str], dtype: str) -> str:
    return code.new(f"fdiv {llvm_type(dtype)} {literal(1, dtype)}, {given[0]}")


def _safe_divisor(code: Code, given: list[str], dtype: str) -> tuple[str, str, str]:
    """Return whether the quotient of whole numbers is known without a division, a divisor that never fails,
    and the known quotient. The processor refuses to divide by 0, and the least number by -1.
    """
    kind = llvm_type(dtype)
    known = code.new(f"icmp eq {kind} {given[1]}, 0")
    quotient = "0"
    if np.dtype(dtype).kind == "i":
        minus = code.new(f"icmp eq {kind} {given[1]}, -1")
        quotient = code.new(f"select i1 {minus}, {kind} {_negative(code, given, dtype)}, {kind} 0")
        known = code.new(f"or i1 {known}, {minus}")
    return known, code.new(f"select i1 {known}, {kind} 1, {kind} {given[1]}"), quotient


def _floor_divide(code: Code, given: list[str], dtype: str) -> str:
    if is_float(dtype):
        return _floor_divide_floats(code, given, dtype)
    kind = llvm_type(dtype)
    known, divisor, quotient = _safe_divisor(code, given, dtype)
    if np.dtype(dtype).kind == "u":
        found = code.new(f"udiv {kind} {given[0]}, {divisor}")
    else:
        toward_zero = code.new(f"sdiv {kind} {given[0]}, {divisor}")
        one_more = _rounded_up(code, code.new(f"srem {kind} {given[0]}, {divisor}"), divisor, kind)
        less = code.new(f"sub {kind} {toward_zero}, 1")
        found = code.new(f"select i1 {one_more}, {kind} {less}, {kind} {toward_zero}")
    return code.new(f"select i1 {known}, {kind} {quotient}, {kind} {found}")


def _rounded_up(code: Code, remainder: str, divisor: str, kind: str) -> str:
    """Return whether a division towards zero has rounded up: the remainder's sign is not the divisor's."""
    some = code.new(f"icmp ne {kind} {remainder}, 0")
    signs = code.new(f"xor {kind} {remainder}, {divisor}")
    return code.new(f"and i1 {some}, {code.new(f'icmp slt {kind} {signs}, 0')}")


def _remainder(code: Code, given: list[str], dtype: str) -> str:
    kind = llvm_type(dtype)
    if is_float(dtype):
        return _remainder_of_floats(code, given, dtype)
    known, divisor, _ = _safe_divisor(code, given, dtype)
    if np.dtype(dtype).kind == "u":
        found = code.new(f"urem {kind} {given[0]}, {divisor}")
    else:
        rest = code.new(f"srem {kind} {given[0]}, {divisor}")
        up = _rounded_up(code, rest, divisor, kind)
        found = code.new(f"select i1 {up}, {kind} {code.new(f'add {kind} {rest}, {divisor}')}, {kind} {rest}")
    return code.new(f"select i1 {known}, {kind} 0, {kind} {found}")


def _rest(code: Code, given: list[str], dtype: str) -> tuple[str, str]:
    """Return fmod(a, b) of floats, and whether one of it and b is below 0 and the other is not."""
    kind, zero = llvm_type(dtype), literal(0, dtype)
    rest = code.new(f"frem {kind} {given[0]}, {given[1]}")
    below = code.new(f"fcmp olt {kind} {given[1]}, {zero}")
    negative = code.new(f"fcmp olt {kind} {rest}, {zero}")
    return rest, code.new(f"xor i1 {below}, {negative}")


def _remainder_of_floats(code: Code, given: list[str], dtype: str) -> str:
    """NumPy: fmod(a, b), plus b if its sign is not that of b. A remainder of 0 has the sign of b."""
    kind, zero = llvm_type(dtype), literal(0, dtype)
    rest, other_sign = _rest(code, given, dtype)
    moved = code.new(f"fadd {kind} {rest}, {given[1]}")
    found = code.new(f"select i1 {other_sign}, {kind} {moved}, {kind} {rest}")
    none = code.new(f"fcmp oeq {kind} {rest}, {zero}")
    return code.new(
        f"select i1 {none}, {kind} {code.intrinsic('copysign', [zero, given[1]], dtype)}, {kind} {found}"
    )


def _floor_divide_floats(code: Code, given: list[str], dtype: str) -> str:
    """NumPy: the quotient of a number that b divides without a rest, rounded to the nearest whole number."""
    kind, zero = llvm_type(dtype), literal(0, dtype)
    a, b = given
    rest, other_sign = _rest(code, given, dtype)
    quotient = code.new(f"fdiv {kind} {code.new(f'fsub {kind} {a}, {rest}')}, {b}")
    some = code.new(f"fcmp une {kind} {rest}, {zero}")
    less = code.new(f"and i1 {some}, {other_sign}")
    one = literal(1, dtype)
    exact = code.new(
        f"select i1 {less}, {kind} {code.new(f'fsub {kind} {quotient}, {one}')}, {kind} {quotient}"
    )
    floor = code.intrinsic("floor", [exact], dtype)
    part = code.new(f"fsub {kind} {exact}, {floor}")
    up = code.new(f"fcmp ogt {kind} {part}, {literal(0.5, dtype)}")
    nearest = code.new(f"select i1 {up}, {kind} {code.new(f'fadd {kind} {floor}, {one}')}, {kind} {floor}")
    plain = code.new(f"fdiv {kind} {a}, {b}")
    nothing = code.new(f"fcmp oeq {kind} {exact}, {zero}")
    signed_zero = code.intrinsic("copysign", [zero, plain], dtype)
    found = code.new(f"select i1 {nothing}, {kind} {signed_zero}, {kind} {nearest}")
    by_zero = code.new(f"fcmp oeq {kind} {b}, {zero}")
    return code.new(f"select i1 {by_zero}, {kind} {plain}, {kind} {found}")


def _power(code: Code, given: list[str], dtype: str) -> str:
    if given[1] == literal(2, dtype):
        return _square(code, given, dtype)
    return code.library("pow", given, dtype)


def _logaddexp(code: Code, given: list[str], dtype: str) -> str:
    """NumPy: the greater number plus log1p(exp(-distance)). Equal numbers may both be infinite."""
    kind = llvm_type(dtype)
    a, b = given
    distance = code.intrinsic("fabs", [code.new(f"fsub {kind} {a}, {b}")], dtype)
    greatest = code.intrinsic("maximum", given, dtype)
    small = OPERATIONS["exp"].emit(code, [_negative(code, [distance], dtype)], dtype)
    found = code.new(f"fadd {kind} {greatest}, {code.library('log1p', [small], dtype)}")
    equal = code.new(f"fcmp oeq {kind} {a}, {b}")
    twice = code.new(f"fadd {kind} {a}, {literal(np.log(2.0), dtype)}")
    return code.new(f"select i1 {equal}, {kind} {twice}, {kind} {found}")


def _approximated(name: str) -> Emit:
    """Return what emits a function of float32 that has an approximation, and the C library's for float64."""
    approximation: Any = getattr(approximations, name)

    def emit(code: Code, given: list[str], dtype: str) -> str:
        if dtype == "float32":
            return str(approximation(code, given[0]))
        return code.library(name, given, dtype)

    return emit


def _copy(code: Code, given: list[str], dtype: str) -> str:
    return given[0]


_ALL, _NUMBERS, _WHOLE, _FLOATS = "biuf", "iuf", "biu", "f"
_MULTIPLY = _instruction("fmul", "mul", "and")
OPERATIONS: dict[str, Operation] = {
    "copy": Operation(_copy, _ALL),
    "where": Operation(_where, _ALL),
    "add": Operation(_instruction("fadd", "add", "or"), _ALL),
    "subtract": Operation(_instruction("fsub", "sub"), _NUMBERS),
    "multiply": Operation(_MULTIPLY, _ALL),
    "divide": Operation(_instruction("fdiv", "fdiv"), _FLOATS),
    "floor_divide": Operation(_floor_divide, _NUMBERS),
    "remainder": Operation(_remainder, _NUMBERS),
    "power": Operation(_power, _FLOATS),
    "arctan2": Operation(_of_c("atan2"), _FLOATS),
    "logaddexp": Operation(_logaddexp, _FLOATS),
    "maximum": Operation(_extreme("maximum", "smax", "umax", "or"), _ALL),
    "minimum": Operation(_extreme("minimum", "smin", "umin", "and"), _ALL),
    "bitwise_and": Operation(_instruction("and", "and"), _WHOLE),
    "bitwise_or": Operation(_instruction("or", "or"), _WHOLE),
    "bitwise_xor": Operation(_instruction("xor", "xor"), _WHOLE),
    "invert": Operation(_invert, _WHOLE),
    "equal": Operation(_comparison("oeq", "eq", "eq"), _ALL),
    "not_equal": Operation(_comparison("une", "ne", "ne"), _ALL),
    "less": Operation(_comparison("olt", "slt", "ult"), _ALL),
    "less_equal": Operation(_comparison("ole", "sle", "ule"), _ALL),
    "greater": Operation(_comparison("ogt", "sgt", "ugt"), _ALL),
    "greater_equal": Operation(_comparison("oge", "sge", "uge"), _ALL),
    "negative": Operation(_negative, _NUMBERS),
    "absolute": Operation(_absolute, _ALL),
    "square": Operation(_square, _ALL),
    "sign": Operation(_sign, _NUMBERS),
    "reciprocal": Operation(_reciprocal, _FLOATS),
    "isnan": Operation(_isnan, _FLOATS),
    "isinf": Operation(_isinf, _FLOATS),
    "sqrt": Operation(_intrinsic("sqrt"), _FLOATS),
    "floor": Operation(_intrinsic("floor"), _ALL),
    "ceil": Operation(_intrinsic("ceil"), _ALL),
    "trunc": Operation(_intrinsic("trunc"), _ALL),
    "rint": Operation(_intrinsic("rint"), _FLOATS),
    "exp": Operation(_approximated("exp"), _FLOATS),
    "log": Operation(_approximated("log"), _FLOATS),
    "tanh": Operation(_approximated("tanh"), _FLOATS),
    "erf": Operation(_approximated("erf"), _FLOATS),
    **{
        name: Operation(_of_c(c_name), _FLOATS)
        for name, c_name in {
            "log1p": "log1p",
            "expm1": "expm1",
            "exp2": "exp2",
            "log2": "log2",
            "log10": "log10",
            "sin": "sin",
            "cos": "cos",
            "tan": "tan",
            "sinh": "sinh",
            "cosh": "cosh",
            "arcsin": "asin",
            "arccos": "acos",
            "arctan": "atan",
            "arcsinh": "asinh",
            "arccosh": "acosh",
            "arctanh": "atanh",
            "erfc": "erfc",
        }.items()
    },
}


REDUCTIONS = frozenset(["add", "multiply", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor"])


def combined(code: Code, name: str, one: str, other: str, dtype: str) -> str:
    """Add one step of a reduction, and return the name of its result. Sums and products of floats may be
    split into several running sums, as many as the processor's registers take. So the order is always the
    same on one machine.
    """
    if is_float(dtype) and name in ("add", "multiply"):
        word = "fadd" if name == "add" else "fmul"
        return code.new(f"{word} reassoc {llvm_type(dtype)} {one}, {other}")
    return OPERATIONS[name].emit(code, [one, other], dtype)


def neutral(name: str, dtype: str) -> Any:
    """Return the number with which a reduction starts. It changes no other number.

    name: one of REDUCTIONS.
    """
    if name in ("add", "bitwise_or", "bitwise_xor"):
        return 0
    if name == "multiply":
        return 1
    if name == "bitwise_and":
        return True if dtype == "bool" else -1
    if dtype == "bool":
        return name == "minimum"
    if is_float(dtype):
        return -np.inf if name == "maximum" else np.inf
    limits = np.iinfo(dtype)
    return int(limits.min if name == "maximum" else limits.max)
