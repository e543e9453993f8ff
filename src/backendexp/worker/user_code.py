"""Loads and calls the user's own functions, and says whose code it was when something goes wrong in it."""

import contextlib
import importlib
import importlib.util
import inspect
import os
import re
import shutil
import sys
import threading
import traceback
from dataclasses import dataclass, field
from typing import Any, Dict, Optional

from . import engine, user_files
from .settings import Part, planned

# The folder in which the user works. The parent sets it, so that all runs look for modules in the same place.
FOLDER = "BACKENDEXP_USER_FOLDER"
# The keys of a part that are not arguments of the function.
_OWN = ("kind", "_target_", "_source_")
# Hydra gives a meaning to these keys, which backendexp does not have.
RESERVED = ("_args_", "_partial_", "_convert_", "_recursive_")
_MOST_LINES = 12
_UNSUPPORTED = re.compile(r"(\bnot|n't) (yet )?(support|implement)")
_COLOUR = re.compile("\x1b\\[[0-9;]*m")

# The files of the user's code that this process has loaded, and the folders that they are in.
_files = set()
_roots = set()


class UserCodeError(Exception):
    """Raised if the user's function cannot be used. The message is complete.

    trace: the lines of the user's own code that led there, as text, or None.
    """

    def __init__(self, message, trace=None):
        super(UserCodeError, self).__init__(message)
        self.trace = trace


@dataclass
class Function(Part):
    """The settings that call a function of the user's. It is a base of the Settings of a kind.

    _target_: MODULE.FUNCTION or FILE.py:FUNCTION.
    _source_: the digest of the files of the function. The plan computes it.
    arguments: the arguments of the function by name, which are all other keys that the user has set.
    """

    _target_: Optional[str] = None
    _source_: Optional[str] = planned("the digest of the code from your files")
    arguments: Dict[str, Any] = field(default_factory=dict, metadata={"planned": ""})

    OPEN = True

    def to_json(self):
        named = {"kind": self.kind, "_target_": self._target_, "_source_": self._source_}
        return {**self.arguments, **named}

    @classmethod
    def from_json(cls, fields):
        return cls(arguments=arguments_of(fields), **{name: fields[name] for name in _OWN if name in fields})


def arguments_of(part):
    """Return the arguments that the user has set, from the `data` or `model` part of a plan."""
    return {name: value for name, value in part.items() if name not in _OWN}


def keep(parts, directory):
    """Check that the code is what was planned, and copy it into the folder of the run, below `source`.

    parts: the parts of the plan that call a function of the user's.
    Raises UserCodeError: a file is missing or is not Python, or has changed since the run was planned.
    """
    for part in parts:
        target = part["_target_"]
        found = _found(target)
        try:
            named = user_files.sources(found, folder())
        except SyntaxError as error:
            raise UserCodeError(_syntax(target, error)) from error
        if part["_source_"] is not None and user_files.digest(named) != part["_source_"]:
            raise UserCodeError(
                "the code of %s has changed since this run was planned: the digest of %s is no longer %s. "
                "Start it again, and do not edit the code while it runs"
                % (target, ", ".join(sorted(named)), part["_source_"][:12])
            )
        if user_files.is_installed(found.file):
            continue
        for name, path in named.items():
            copy = os.path.join(directory, "source", *name.split("/"))
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copyfile(path, copy)


def folder():
    """Return the folder in which the user works."""
    return os.environ.get(FOLDER) or os.getcwd()


def _found(target):
    try:
        return user_files.find(target, folder())
    except user_files.NotFound as error:
        raise UserCodeError(
            "%s is not found by %s, which runs the training: %s. If it is installed elsewhere, give its "
            "file: path/to/file.py:FUNCTION" % (target, sys.executable, error)
        ) from error


def call(part, offered):
    """Call the function that a part of the plan names, and return what it returns.

    offered: further arguments, which the function gets if it has parameters of these names and the user has
        not set them.
    Raises UserCodeError: the function cannot be loaded, does not take these arguments, or raises.
    """
    target = part["_target_"]
    function = _load(target)
    arguments = arguments_of(part)
    parameters = _parameters(function)
    for name, value in offered.items():
        if name in parameters:
            arguments.setdefault(name, value)
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        raise UserCodeError(
            "%s does not take these arguments: %s. It has the parameters %s"
            % (named(target), error, inspect.signature(function))
        ) from error
    except ValueError:
        pass  # a function written in C has no signature
    try:
        return function(**arguments)
    except Exception as error:
        raise UserCodeError(*_told(error, "%s failed" % target)) from error


def _parameters(function):
    try:
        return inspect.signature(function).parameters
    except ValueError:
        return {}


def _load(target):
    found = _found(target)
    _roots.update(() if user_files.is_installed(found.file) else (found.root,))
    _files.add(os.path.realpath(found.file))
    for root in (folder(), found.root):
        if not user_files.is_installed(os.path.join(root, "")) and root not in sys.path:
            sys.path.insert(0, root)
    engine.show_to_user_code()
    try:
        value = _module(found)
    except SyntaxError as error:
        raise UserCodeError(_syntax(target, error)) from error
    except Exception as error:
        raise UserCodeError(*_told(error, "the import of %s failed" % found.module)) from error
    for name in found.names:
        if not hasattr(value, name):
            raise UserCodeError("%s has no %r" % (_short(found.file), name))
        value = getattr(value, name)
    if not callable(value):
        raise UserCodeError(
            "%s in %s is %s: expected a function" % (target, _short(found.file), described(value))
        )
    return value


def _module(found):
    if found.loose:
        name = found.module if found.module not in sys.modules else "users_" + found.module
        spec = importlib.util.spec_from_file_location(name, found.file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module
    module = importlib.import_module(found.module)
    loaded = os.path.realpath(getattr(module, "__file__", None) or "")
    if loaded != os.path.realpath(found.file):
        raise ImportError(
            "another module of this name is loaded already, %s. Rename %s, or give its path with .py"
            % (loaded or "of Python itself", _short(found.file))
        )
    return module


def named(target):
    """Return the name of a function and the place of its definition, for messages."""
    try:
        function = inspect.unwrap(_load(target))
        line = inspect.getsourcelines(function)[1]
        return "%s (%s, line %d)" % (target, _short(inspect.getsourcefile(function)), line)
    except Exception:  # a message must not fail because its function has no source
        return target


def blame(error, parts, backend, others):
    """Return the message and the traceback of an error in a run that uses the user's own code.

    Returns None if the error has nothing to do with it.
    parts: the parts of the plan that call a function of the user's, by their names.
    others: the other backends of the same Keras.
    """
    if isinstance(error, UserCodeError):
        message, trace = str(error), error.trace
    else:
        model = parts["model"]["_target_"] if "model" in parts else None
        message, trace = _told(error, "training the model of %s failed" % model)
        if trace is None and model is None:
            return None
    while error is not None:
        if _is_missing_op(error):
            return message + _elsewhere(backend, others), trace
        error = error.__cause__ or error.__context__
    return message, trace


def _is_missing_op(error):
    """Return whether a backend lacks what was asked for, or a package for it.

    The user's own NotImplementedError, or an import in the user's own code, is not meant.
    """
    ours = os.path.abspath(engine.__file__)  # it refuses the import of other engines
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != ours and not frame.filename.startswith("<frozen")
    ]
    if isinstance(error, (NotImplementedError, ImportError)):
        return bool(frames) and not _is_users(frames[-1].filename)
    text = str(error)
    return isinstance(error, (ValueError, RuntimeError, TypeError)) and bool(
        "backend" in text and _UNSUPPORTED.search(text)
    )


def _elsewhere(backend, others):
    return ". This is missing in backend %s, not in your code. Other backends may have it: %s" % (
        backend,
        ", ".join("backend=" + name for name in others),
    )


def _told(error, what):
    """Return a message that says where in the user's code an error arose, and those lines of the traceback.

    what: what failed, for an error that no line of the user's led to.
    """
    frames = [one for one in traceback.extract_tb(error.__traceback__) if _is_users(one.filename)]
    text = "%s: %s" % (type(error).__name__, shortened(str(error)))
    if not frames:
        return "%s: %s" % (what, text), None
    message = "%s at %s, line %d: %s" % (what, _short(frames[-1].filename), frames[-1].lineno, text)
    return message, "".join(traceback.format_list(frames)) + text


def shortened(text):
    """Return what an exception says, without colours and without the lists of arguments that Keras adds."""
    text = _COLOUR.sub("", text).split("Arguments received by")[0].strip()
    if "Exception encountered:\n" in text:  # Keras could not build the model, and quotes the reason
        text = text.split("Exception encountered:\n")[-1].strip().strip("'")
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    if lines and lines[0].startswith("Exception encountered when calling"):
        lines = lines[1:] or lines
    return "\n".join(lines[:_MOST_LINES])[:2000]


def _syntax(target, error):
    return "%s cannot be read: %s, line %s: %s" % (target, _short(error.filename), error.lineno, error.msg)


def _is_users(path):
    path = os.path.realpath(path)
    if path in _files:
        return True
    if user_files.is_installed(path):
        return False
    roots = list(_roots) + [folder()]
    here = os.path.dirname(os.path.abspath(__file__))
    return not path.startswith(here) and any(
        path.startswith(os.path.join(os.path.realpath(root), "")) for root in roots
    )


def _short(path):
    return user_files.shown(path, folder()) if path else "?"


def described(value):
    """Return what kind of thing a value is, such as "a dict", for messages."""
    name = type(value).__name__
    return "None" if value is None else ("an " if name[0] in "aeiouAEIOU" else "a ") + name


@contextlib.contextmanager
def watched(timeout_s, events):
    """Say where the user's code is if it is still running shortly before the time is up.

    The parent ends the run at its deadline, but only this process knows the line.
    timeout_s: the longest time that the run may take, in seconds, or None.
    """
    if timeout_s is None:
        yield
        return
    timer = threading.Timer(
        timeout_s - min(0.5, timeout_s / 10.0), _end_late, (threading.get_ident(), timeout_s, events)
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end_late(thread, timeout_s, events):
    frames = traceback.extract_stack(sys._current_frames()[thread])
    users = [one for one in frames if _is_users(one.filename)]
    if not users:
        return  # the parent ends the run
    where = "%s, line %d, in %s" % (_short(users[-1].filename), users[-1].lineno, users[-1].name)
    events.send(
        "failed",
        kind="deadline",
        message="stopped at its deadline, timeout_s=%g, in your code: %s" % (timeout_s, where),
        traceback="".join(traceback.format_list(users)),
    )
    os._exit(1)
