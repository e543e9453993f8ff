"""Loads modules of Keras with their syntax trees extended in memory."""

import ast
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from types import CodeType


class Loader(SourceFileLoader):
    """extend: takes the source of a module, returns its syntax tree, extended."""

    def __init__(self, fullname: str, path: str, extend: Callable[[bytes], ast.Module]) -> None:
        super().__init__(fullname, path)
        self._extend = extend

    def get_code(self, fullname: str) -> CodeType:
        # Not the inherited one: Keras's own bytecode must neither be taken for ours nor replaced by it.
        path = self.get_filename(fullname)
        return compile(self._extend(self.get_data(path)), path, "exec", dont_inherit=True)
