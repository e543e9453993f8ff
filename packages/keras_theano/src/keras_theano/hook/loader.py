"""Loads modules of Keras whose syntax trees were extended in memory."""

import ast
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from types import CodeType


class Loader(SourceFileLoader):
    """Loads a module from an extended syntax tree.

    extend: takes the source of a module, and returns its extended syntax tree.
    """

    def __init__(self, fullname: str, path: str, extend: Callable[[bytes], ast.Module]) -> None:
        super().__init__(fullname, path)
        self._extend = extend

    def get_code(self, fullname: str) -> CodeType:
        # The inherited method would use the cache of bytecode. Keras's own bytecode must neither be used here
        # nor be overwritten.
        path = self.get_filename(fullname)
        return compile(self._extend(self.get_data(path)), path, "exec", dont_inherit=True)
