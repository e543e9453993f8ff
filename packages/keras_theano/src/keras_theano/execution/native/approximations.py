"""Functions of float32 as few instructions, which LLVM can apply to several numbers at once.

Each is within the stated distance of the exact result, in units in the last place (ulp). They are the
polynomials of the Cephes library (https://www.netlib.org/cephes), with the exact result where they would
reach beyond the range: infinity, 0, NaN, and numbers below the least normal one.
"""

from keras_theano.execution.native.code import Code, literal

_F = "float"
_EXP = [1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1]
_LOG = [
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
]
_TANH = [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1]
_ERF = [
    7.853861353153693e-5,
    -8.010193625184903e-4,
    5.188327685732524e-3,
    -2.685381193529856e-2,
    1.128358514861418e-1,
    -3.761262582423300e-1,
    1.128379165726710,
]
_ERFC = [
    2.326819970068386e-2,
    -1.387039388740657e-1,
    3.687424674597105e-1,
    -5.824733027278666e-1,
    6.210004621745983e-1,
    -4.944515323274145e-1,
    3.404879937665872e-1,
    -2.741127028184656e-1,
    5.638259427386472e-1,
]
# The logarithm of 2 as the sum of a number with few bits, of which small multiples are exact, and a rest.
_LN2, _LN2_REST = 0.693359375, -2.12194440e-4
# Adding this rounds a small number to the nearest whole number, which is then in the lowest bits.
_ROUNDING = 12582912.0
_ROUNDING_BITS = 0x4B400000


def _number(value: float) -> str:
    return literal(value, "float32")


def _times(code: Code, a: str, b: str) -> str:
    return code.new(f"fmul {_F} {a}, {b}")


def _plus(code: Code, a: str, b: str) -> str:
    return code.new(f"fadd {_F} {a}, {b}")


def _minus(code: Code, a: str, b: str) -> str:
    return code.new(f"fsub {_F} {a}, {b}")


def _choose(code: Code, condition: str, then: str, otherwise: str) -> str:
    return code.new(f"select i1 {condition}, {_F} {then}, {_F} {otherwise}")


def _is(code: Code, relation: str, a: str, b: str) -> str:
    return code.new(f"fcmp {relation} {_F} {a}, {b}")


def _polynomial(code: Code, x: str, coefficients: list[float]) -> str:
    """The coefficients begin with that of the highest power."""
    result = _number(coefficients[0])
    for coefficient in coefficients[1:]:
        result = code.intrinsic("fmuladd", [result, x, _number(coefficient)], "float32")
    return result


def _bits(code: Code, x: str) -> str:
    return code.new(f"bitcast {_F} {x} to i32")


def _power_of_two(code: Code, exponent: str) -> str:
    biased = code.new(f"shl i32 {code.new(f'add i32 {exponent}, 127')}, 23")
    return code.new(f"bitcast i32 {biased} to {_F}")


def exp(code: Code, x: str) -> str:
    """At most 2 ulp. The argument is n * log(2) plus a rest of at most half of log(2)."""
    # Beyond these limits the result is infinity or 0. NaN passes both.
    low = _choose(code, _is(code, "olt", x, _number(-105)), _number(-105), x)
    limited = _choose(code, _is(code, "ogt", low, _number(90)), _number(90), low)
    shifted = _plus(code, _times(code, limited, _number(1.44269504088896341)), _number(_ROUNDING))
    n = _minus(code, shifted, _number(_ROUNDING))
    rest = _minus(code, limited, _times(code, n, _number(_LN2)))
    rest = _minus(code, rest, _times(code, n, _number(_LN2_REST)))
    square = _times(code, rest, rest)
    tail = code.intrinsic("fmuladd", [_polynomial(code, rest, _EXP), square, rest], "float32")
    result = _plus(code, tail, _number(1))
    # 2^n in two factors, because n may be too great or too small for one.
    exponent = code.new(f"sub i32 {_bits(code, shifted)}, {_ROUNDING_BITS}")
    half = code.new(f"ashr i32 {exponent}, 1")
    other = code.new(f"sub i32 {exponent}, {half}")
    for part in (half, other):
        result = _times(code, result, _power_of_two(code, part))
    return _choose(code, _is(code, "uno", x, x), x, result)


def log(code: Code, x: str) -> str:
    """At most 2 ulp. The argument is 2^n times a number between the roots of 1/2 and 2."""
    tiny = _is(code, "olt", x, _number(2.0**-126))
    normal = _choose(code, tiny, _times(code, x, _number(2.0**23)), x)
    bits = _bits(code, normal)
    exponent = code.new(f"sub i32 {code.new(f'lshr i32 {bits}, 23')}, 126")
    mantissa = code.new(f"or i32 {code.new(f'and i32 {bits}, {2**23 - 1}')}, {126 << 23}")
    m = code.new(f"bitcast i32 {mantissa} to {_F}")
    small = _is(code, "olt", m, _number(0.707106781186547524))
    n = code.new(f"sitofp i32 {exponent} to {_F}")
    n = _minus(code, n, _choose(code, tiny, _number(23), _number(0)))
    n = _minus(code, n, _choose(code, small, _number(1), _number(0)))
    r = _plus(code, _minus(code, m, _number(1)), _choose(code, small, m, _number(0)))
    square = _times(code, r, r)
    tail = _times(code, _times(code, _polynomial(code, r, _LOG), r), square)
    tail = _plus(code, tail, _times(code, n, _number(_LN2_REST)))
    tail = _minus(code, tail, _times(code, square, _number(0.5)))
    result = _plus(code, _plus(code, r, tail), _times(code, n, _number(_LN2)))
    # Infinity and NaN are their own logarithms.
    result = _choose(code, _is(code, "olt", x, _number(float("inf"))), result, x)
    result = _choose(code, _is(code, "oeq", x, _number(0)), _number(float("-inf")), result)
    return _choose(code, _is(code, "olt", x, _number(0)), _number(float("nan")), result)


def tanh(code: Code, x: str) -> str:
    """At most 3 ulp. Great arguments give 1 and -1 exactly."""
    size = code.intrinsic("fabs", [x], "float32")
    square = _times(code, x, x)
    tail = _times(code, _times(code, _polynomial(code, square, _TANH), square), x)
    near = _plus(code, x, tail)
    power = exp(code, _plus(code, size, size))
    quotient = code.new(f"fdiv {_F} {_number(2)}, {_plus(code, power, _number(1))}")
    far = code.intrinsic("copysign", [_minus(code, _number(1), quotient), x], "float32")
    return _choose(code, _is(code, "olt", size, _number(0.625)), near, far)


def erf(code: Code, x: str) -> str:
    """At most 3 ulp. Great arguments give 1 and -1 exactly."""
    size = code.intrinsic("fabs", [x], "float32")
    near = _times(code, x, _polynomial(code, _times(code, x, x), _ERF))
    # Beyond this limit the result is 1.
    limited = _choose(code, _is(code, "olt", size, _number(4.2)), size, _number(4.2))
    inverse = code.new(f"fdiv {_F} {_number(1)}, {limited}")
    rest = _times(code, _polynomial(code, _times(code, inverse, inverse), _ERFC), inverse)
    rest = _times(code, rest, exp(code, _minus(code, _number(0), _times(code, limited, limited))))
    far = code.intrinsic("copysign", [_minus(code, _number(1), rest), x], "float32")
    return _choose(code, _is(code, "ogt", size, _number(1)), far, near)
