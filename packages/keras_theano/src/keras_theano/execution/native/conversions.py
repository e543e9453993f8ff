"""Conversions from one dtype to another, as NumPy's astype makes them."""

import numpy as np

from keras_theano.execution.native.code import Code, is_float, literal, llvm_type


def _as_on_x86() -> bool:
    unfit = np.array([np.nan, 1e20, -1e20, 3e9], "float32")
    with np.errstate(all="ignore"):
        return bool(
            (unfit.astype("int32") == np.iinfo("int32").min).all()
            and (unfit[:3].astype("int64") == np.iinfo("int64").min).all()
            and (unfit.astype("int8") == 0).all()
        )


_KNOWN_CONVERSIONS = _as_on_x86()


def convertible(source: str, target: str) -> bool:
    """Return whether there is code for a conversion.

    There is none from floats to unsigned numbers of 32 and 64 bits, because what NumPy makes of a number that
    does not fit depends on the number of elements. There is none from floats to whole numbers on a processor
    on which NumPy's results are not those of x86.
    """
    if not is_float(source) or is_float(target) or target == "bool":
        return True
    return _KNOWN_CONVERSIONS and target not in ("uint32", "uint64")


def converted(code: Code, value: str, source: str, target: str) -> str:
    """Add a conversion as NumPy's astype makes it, and return its name.

    The pair of dtypes must be convertible. A float that does not fit into a whole number gives what it gives
    in NumPy on x86: the least number, of 32 bits if the target has fewer.
    """
    if source == target:
        return value
    from_type, to_type = llvm_type(source), llvm_type(target)
    if target == "bool":
        if is_float(source):
            return code.new(f"fcmp une {from_type} {value}, {literal(0, source)}")
        return code.new(f"icmp ne {from_type} {value}, 0")
    if is_float(source) and is_float(target):
        word = "fpext" if target == "float64" else "fptrunc"
        return code.new(f"{word} {from_type} {value} to {to_type}")
    if is_float(target):
        word = "uitofp" if np.dtype(source).kind in "bu" else "sitofp"
        return code.new(f"{word} {from_type} {value} to {to_type}")
    if is_float(source):
        return _to_whole_number(code, value, source, target)
    before, after = (np.dtype(dtype).itemsize for dtype in (source, target))
    if source == "bool" or after > before:
        word = "zext" if np.dtype(source).kind in "bu" else "sext"
        return code.new(f"{word} {from_type} {value} to {to_type}")
    return value if after == before else code.new(f"trunc {from_type} {value} to {to_type}")


def _to_whole_number(code: Code, value: str, source: str, target: str) -> str:
    wide = "int64" if target == "int64" else "int32"
    kind = llvm_type(source)
    limit = 2.0**63 if wide == "int64" else 2.0**31
    if source == "float64" and wide == "int32":
        above = code.new(f"fcmp ogt double {value}, {literal(-limit - 1, source)}")
    else:
        above = code.new(f"fcmp oge {kind} {value}, {literal(-limit, source)}")
    below = code.new(f"fcmp olt {kind} {value}, {literal(limit, source)}")
    fits = code.new(f"and i1 {above}, {below}")
    safe = code.new(f"select i1 {fits}, {kind} {value}, {kind} {literal(0, source)}")
    whole = code.new(f"fptosi {kind} {safe} to {llvm_type(wide)}")
    least = int(np.iinfo(wide).min)
    result = code.new(f"select i1 {fits}, {llvm_type(wide)} {whole}, {llvm_type(wide)} {least}")
    return result if target == wide else converted(code, result, wide, target)
