"""Runs the worker's main loop, which imports Keras once and then serves runs.

With `fork`, every run is a child that is forked after the import. It therefore has fresh state and its own
peak memory, it can die alone, and it needs no import. Without fork, the process serves one run.
"""

import contextlib
import gc
import json
import os
import select
import signal
import sys
import threading

from . import contract

_LOG = "BACKENDEXP_WORKER_LOG"


def main():
    commands = os.dup(0)
    events = contract.EventPipe(os.dup(1))
    _claim_standard_streams(os.environ[_LOG])

    try:
        if not _load_engine(events):
            return 3
    except BrokenPipeError:  # the parent was killed while this process imported Keras
        _remove_log()
        return 1

    # Everything that has been imported stays in use, so the garbage collector need not look at it again. In
    # the children it would cause memory pages to be copied, and it would delay the end of the interpreter.
    gc.freeze()
    if os.environ["BACKENDEXP_WORKER_START"] == "fork":
        return _serve_by_forking(commands, events)
    return _serve_once(commands, events)


def _claim_standard_streams(log_path):
    """Connect stdin to nothing, stdout and stderr to the log, because the pipes belong to the contract."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    _redirect_output(log_path)


def _redirect_output(log_path):
    sys.stdout.flush()
    sys.stderr.flush()
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _load_engine(events):
    """Import Keras, and tell the parent. Returns whether the backend can be served."""
    from . import engine

    try:
        ready = engine.load()
    except engine.Refused as refusal:
        events.send("refused", kind=refusal.kind, message=str(refusal))
        return False
    events.send("ready", version=contract.VERSION, pid=os.getpid(), **ready)
    return True


def _remove_log():
    """Remove the log, which the parent cannot do if it was killed."""
    with contextlib.suppress(OSError):
        os.unlink(os.environ[_LOG])


def _serve_by_forking(commands, events):
    """Fork one child for each run until `commands` ends, and then kill a child that is still running.

    Returns the exit code of the process.
    """
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)

    lines = _Lines(commands)
    child = None
    while True:
        readable, _, _ = select.select([commands, wake_read], [], [])
        if wake_read in readable:
            os.read(wake_read, 512)
        if child is not None:
            pid, status, usage = os.wait4(child, os.WNOHANG)
            if pid:
                child = None
                events.send("exited", pid=pid, **_how_it_ended(status, usage))
        if commands in readable:
            orders = lines.read()
            if orders is None:
                if child is not None:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                _remove_log()
                return 0
            for order in orders:
                child = _fork(order, events, (commands, wake_read, wake_write))


def _fork(order, events, parents_descriptors):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor in parents_descriptors:
            os.close(descriptor)
        code = _run(order, events, "fork")
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        # sys.exit would run the exit handlers of the imported engine, which belong to the server.
        os._exit(code)


def _how_it_ended(status, usage):
    killed = os.WIFSIGNALED(status)
    return {
        "returncode": None if killed else os.WEXITSTATUS(status),
        "signal": os.WTERMSIG(status) if killed else None,
        **_resources(usage),
    }


def _resources(usage):
    # getrusage(2): ru_maxrss is in kilobytes on Linux, in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return {"peak_bytes": usage.ru_maxrss * unit, "cpu_s": usage.ru_utime + usage.ru_stime}


def _serve_once(commands, events):
    lines = _Lines(commands)
    orders = []
    while not orders:
        orders = lines.read()
        if orders is None:
            _remove_log()
            return 0
    threading.Thread(target=_die_with_the_parent, args=(commands,), daemon=True).start()
    code = _run(orders[0], events, "spawn")
    events.send("exited", pid=os.getpid(), returncode=code, signal=None, **_own_resources())
    return code


def _die_with_the_parent(commands):
    while os.read(commands, 4096):
        pass
    _remove_log()
    os._exit(1)


def _own_resources():
    try:
        import resource
    except ImportError:  # Windows
        return {"peak_bytes": None, "cpu_s": None}
    return _resources(resource.getrusage(resource.RUSAGE_SELF))


def _run(order, events, start):
    from . import environment, porting, run

    directory = order["directory"]
    compile_cache = environment.compile_cache_state(order["spec"]["backend"]["name"])
    events.send("started", pid=os.getpid(), start=start, compile_cache=compile_cache)
    with contextlib.suppress(OSError):  # on a full disk, output goes to the worker's own log
        _redirect_output(os.path.join(directory, "worker.log"))
    if order["command"] == "port":
        return porting.execute(order, events)
    return run.execute(order["spec"], directory, events)


class _Lines(object):
    """Splits what arrives on a descriptor into JSON lines. `read` returns None at the end of the input."""

    def __init__(self, descriptor):
        self._descriptor = descriptor
        self._rest = b""

    def read(self):
        chunk = os.read(self._descriptor, 1 << 16)
        if not chunk:
            return None
        self._rest += chunk
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line.decode("utf-8")) for line in lines if line.strip()]
