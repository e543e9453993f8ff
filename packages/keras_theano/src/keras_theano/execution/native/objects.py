"""Compiles modules with LLVM, and keeps the machine code on disk.

A file's name is the hash of everything that the code depends on: the module, the processor and its features,
and the version of llvmlite. A file begins with the hash of its contents, so that a damaged one is found and
compiled anew. Files are written under another name and then renamed, so another process never reads half of
one. The functions of BLAS and LAPACK are those of SciPy. The files hold their names, but not their addresses.
"""

import contextlib
import ctypes
import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import pytensor

# The oldest files are removed when all of them together have more bytes than this.
LIMIT_BYTES = 256 * 2**20
# One in so many files makes the process that writes it look at the sizes of all. The file's name, a hash,
# draws it, so a process that writes only a few files rarely waits for this.
LOOK_EVERY = 50
_SUFFIX = ".native"
_LEVEL = 2
# It must be changed when modules are compiled in another way than before.
_WAY = "1"
# Each exists with the letters s and d, for float32 and float64.
_BLAS = ("gemm", "gemv")
_LAPACK = ("potrf", "trtrs", "gesv", "getrf", "geqrf", "orgqr", "syevd", "gesdd")
_HASH = hashlib.sha256
_HASH_BYTES = _HASH().digest_size


class Loaded:
    """Machine code in memory.

    step: the function `step` of the module. It takes the address of a table and returns a number.
    """

    def __init__(self, machine_code: bytes) -> None:
        # The engine owns the memory of the code.
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(machine_code))
        self._engine.finalize_object()
        # Python's lock is kept during a step, so that no other thread sees half of an update.
        kind = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
        self.step: Any = kind(self._engine.get_function_address("step"))


def loaded(text: str) -> Loaded:
    """Return the machine code of a module, from disk if it is there."""
    _known_functions()
    path = folder() / f"{_key(text)}{_SUFFIX}"
    machine_code = _read(path)
    if machine_code is None:
        machine_code = _compiled(text)
        _keep(path, machine_code)
    return Loaded(machine_code)


def folder() -> Path:
    """Return where the machine code is kept, which is a folder of PyTensor's cache."""
    return Path(pytensor.config.base_compiledir) / "keras_theano"


@cache
def _processor() -> tuple[str, str]:
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


@cache
def has_wide_vectors() -> bool:
    """Return whether the processor computes with 16 float32 numbers at a time."""
    return "+avx512f" in _processor()[1].split(",")


def _key(text: str) -> str:
    return _HASH("\n".join([llvmlite.__version__, _WAY, *_processor(), text]).encode()).hexdigest()


@cache
def _target() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple()


def _machine() -> Any:
    name, features = _processor()
    return _target().create_target_machine(cpu=name, features=features, opt=_LEVEL, jit=True)


@cache
def _known_functions() -> None:
    """Tell LLVM the addresses of the functions of BLAS and LAPACK."""
    _target()
    from scipy.linalg import cython_blas, cython_lapack

    address = ctypes.pythonapi.PyCapsule_GetPointer
    address.restype, address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    for library, names in ((cython_blas, _BLAS), (cython_lapack, _LAPACK)):
        for name in [letter + name for name in names for letter in "sd"]:
            capsule = library.__pyx_capi__[name]
            llvm.add_symbol(f"keras_theano_{name}", address(capsule, name_of(capsule)))


def _compiled(text: str) -> bytes:
    module = llvm.parse_assembly(text)
    module.verify()
    machine = _machine()
    options = llvm.create_pipeline_tuning_options(speed_level=_LEVEL)
    options.loop_vectorization = True
    options.loop_interleaving = True
    # Without it, a convolutional network compiles in half the time, and runs as fast.
    options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return bytes(machine.emit_object(module))


def _read(path: Path) -> bytes | None:
    """Return the machine code in a file, or None if there is none or the file is damaged."""
    try:
        contents = path.read_bytes()
    except OSError:
        return None
    head, machine_code = contents[:_HASH_BYTES], contents[_HASH_BYTES:]
    if _HASH(machine_code).digest() != head:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # it was used now
    return machine_code


def _keep(path: Path, machine_code: bytes) -> None:
    """Write a file. A step also runs where nothing can be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(prefix="writing-", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_HASH(machine_code).digest() + machine_code)
        Path(name).replace(path)
        if int(path.stem[:8], 16) % LOOK_EVERY == 0:
            _remove_oldest(path.parent)
    except OSError:
        return


def _remove_oldest(where: Path) -> None:
    files = []
    for file in where.iterdir():
        with contextlib.suppress(OSError):  # another process may have removed it
            state = file.stat()
            files.append((state.st_mtime, state.st_size, file))
    total = sum(size for _, size, _ in files)
    for _, size, file in sorted(files):
        if total <= LIMIT_BYTES:
            return
        file.unlink(missing_ok=True)
        total -= size
