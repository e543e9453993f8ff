"""Finds the files of the user's own functions, and computes their digest, without running any of them.

The parent process does this when it plans a run, and the worker does it again before it runs the code. Where
the digests differ, the code has changed in between.
"""

import ast
import collections
import hashlib
import importlib
import importlib.machinery
import importlib.util
import os
import sys

# file: the path of the file that defines the function.
# module: the dotted name of the module in this file. packages: the files of the packages that contain it.
# root: the folder from which the module is imported.
# names: the name of the function, or the names of a class and of its method.
# loose: whether the user gave the path of a file, so that the file is not imported by its module's name.
Found = collections.namedtuple("Found", "file module packages root names loose")


class NotFound(Exception):
    """Raised if a target leads to no file.

    missing: the module or the file that does not exist, or None if the target is not well formed.
    """

    def __init__(self, message, missing=None):
        super(NotFound, self).__init__(message)
        self.missing = missing


def find(target, folder):
    """Find the file of a target.

    target: MODULE.FUNCTION, such as my_models.build, or FILE:FUNCTION, such as path/to/file.py:build.
    folder: where relative paths start, and where modules are looked for first.
    Raises NotFound: there is no such module or file. The function itself is not looked for.
    """
    place, colon, name = target.rpartition(":")
    if colon and place.endswith(".py"):
        return _find_file(place, name, folder)
    words = target.replace(":", ".").split(".")
    if len(words) < 2 or not all(word.isidentifier() for word in words):
        raise NotFound("expected MODULE.FUNCTION, or FILE.py:FUNCTION")
    files, root = _modules(words, [folder] + sys.path)
    if not files:
        raise NotFound("there is no module %r in %s" % (words[0], folder), words[0])
    if len(files) == len(words):
        raise NotFound("%r is a module. Expected a function of it" % target)
    if files[-1] is None:
        missing = ".".join(words[: len(files) + 1])
        raise NotFound(
            "the folder %r has no module %r" % ("/".join(words[: len(files)]), words[len(files)]), missing
        )
    module, names = ".".join(words[: len(files)]), words[len(files) :]
    return Found(files[-1], module, [one for one in files[:-1] if one], root, names, False)


def _find_file(place, name, folder):
    path = os.path.abspath(os.path.join(folder, os.path.expanduser(place)))
    if not os.path.isfile(path):
        raise NotFound("there is no file %s" % path, place)
    names = name.split(".")
    if not all(word.isidentifier() for word in names):
        raise NotFound("expected the name of a function after the colon")
    module = os.path.splitext(os.path.basename(path))[0]
    return Found(path, module, [], os.path.dirname(path), names, True)


def _modules(words, path):
    """Return the files of the modules that the first words name, one for each word, and their root.

    The list ends before the first word that is not a module. The file is None for a folder without
    __init__.py. Nothing is imported: importlib would import a package to find a module in it.
    """
    importlib.invalidate_caches()
    files, root = [], None
    for word in words:
        # For a dotted name, PathFinder would expect that the package has been imported.
        spec = importlib.machinery.PathFinder.find_spec(word, path)
        if spec is None and not files:
            spec = _by_import_hook(word)
        if spec is None:
            break
        is_file = spec.has_location and spec.origin and spec.origin.endswith(".py")
        files.append(os.path.abspath(spec.origin) if is_file else None)
        places = list(spec.submodule_search_locations or [])
        if root is None:
            root = os.path.dirname(places[0] if places else spec.origin or "")
        if not places:
            break
        path = places
    return files, root


def _by_import_hook(name):
    """Find a module that an import hook provides, as some editable installations do."""
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def is_installed(path):
    """Return whether a file belongs to an installed package or to Python itself, and not to the user."""
    parts = os.path.normpath(path).split(os.sep)
    library = os.path.dirname(os.path.abspath(os.__file__))
    return (
        "site-packages" in parts
        or "dist-packages" in parts
        or os.path.abspath(path).startswith(library + os.sep)
    )


def sources(found, folder):
    """Return the file of a function and the user's own files that it imports, as {name: path}.

    A name is the path from the folder that the file is imported from, with slashes. The import statements are
    read, also those of the imported files and inside functions. An import that the code computes, and a file
    that is no Python, are not seen. Installed packages are left out, because their versions are recorded.

    Raises SyntaxError: a file is not Python.
    """
    if is_installed(found.file):
        return {os.path.basename(found.file): found.file}
    roots = [found.root] + ([folder] if os.path.abspath(folder) != os.path.abspath(found.root) else [])
    named, seen = {}, set()
    package = found.module if _is_package(found.file) else found.module.rpartition(".")[0]
    waiting = [(found.file, package)] + [(path, None) for path in found.packages]
    while waiting:
        path, package = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        root = next((root for root in roots if _is_below(path, root)), found.root)
        named[os.path.relpath(path, root).replace(os.sep, "/")] = path
        if package is None:
            package = os.path.relpath(os.path.dirname(path), root).replace(os.sep, ".")
        for words in _imports(parse(path), package):
            waiting += _files(words, roots)
    return named


def parse(path):
    """Return the syntax tree of a file. Raises SyntaxError, with the name of the file and the line."""
    with open(path, "rb") as file:
        content = file.read()
    try:
        return ast.parse(content, path)
    except ValueError as error:  # such as null bytes
        raise SyntaxError(str(error), (path, 1, 1, "")) from error


def _imports(tree, package):
    """Return the dotted names that a file imports, as lists of words.

    package: the package that contains the file, for relative imports.
    """
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = (package.split(".") if package else []) if node.level else []
            if node.level > 1:
                base = base[: -(node.level - 1)]
            base = base + (node.module.split(".") if node.module else [])
            found += [base + [alias.name] for alias in node.names]
    return found


def _files(words, roots):
    """Return (path, package) of the user's modules that an import of these words runs."""
    files, _ = _modules_of_user(words, roots)
    found = []
    for count, path in enumerate(files, 1):
        if path is not None and not is_installed(path):
            found.append((path, ".".join(words[: count if _is_package(path) else count - 1])))
    return found


def _modules_of_user(words, roots):
    here = [root for root in roots if _may_hold(words[0], root)] if words else []
    if not here:
        return [], None
    files, root = _modules(words, here)
    return files, root


def _may_hold(name, root):
    return os.path.isdir(os.path.join(root, name)) or os.path.isfile(os.path.join(root, name + ".py"))


def _is_package(path):
    return os.path.basename(path) == "__init__.py"


def _is_below(path, root):
    return os.path.abspath(path).startswith(os.path.join(os.path.abspath(root), ""))


def shown(path, folder):
    """Return a path as the user would write it, relative to the folder if it is below that."""
    relative = os.path.relpath(path, folder)
    return path if relative.startswith("..") else relative


def digest(named):
    """Return the SHA-256 of files and their names, in hexadecimal.

    named: the paths of the files by their names, see `sources`.
    """
    total = hashlib.sha256()
    for name in sorted(named):
        with open(named[name], "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
        total.update(("%s\0%s\n" % (name, content)).encode("utf-8"))
    return total.hexdigest()
