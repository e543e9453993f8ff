"""Starts a worker process, which imports Keras on one backend and trains the runs that the parent asks for.

The contract with the parent
----------------------------
Start:        python <this file>, by the interpreter of the runtime.
Environment:  KERAS_BACKEND, KERAS_HOME, the thread limits and compile directories are already set;
              no MLFLOW_* variable is.
              BACKENDEXP_USER_FOLDER   where the user works, and where the user's own modules are looked for
              BACKENDEXP_WORKER_LOG    file that receives stdout and stderr until a run starts
              BACKENDEXP_WORKER_START  "fork": one forked child for each run; "spawn": this process is the run
stdin:        JSON lines, see `contract.py`: {"command": "run", "spec": ..., "directory": ...}.
              When stdin ends, the worker stops, and a run that is under way is killed.
stdout:       JSON lines, the events of `contract.py`. It is claimed before anything else is
              imported, and file descriptor 1 then points at the log, so that nothing an engine
              prints can reach the parent.
Failures:     the failures that can be expected (engine missing, wrong backend, non-finite loss, out of
              memory, an exception of Keras) are sent as an event. Any other failure ends the process, and
              the parent reads how it ended.
"""

import importlib.util
import os
import sys

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_PACKAGE = "backendexp_worker"


def _load_package():
    """Import this folder as a package of its own, whatever the interpreter has installed."""
    spec = importlib.util.spec_from_file_location(
        _PACKAGE, os.path.join(_FOLDER, "__init__.py"), submodule_search_locations=[_FOLDER]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules[_PACKAGE] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    # Python puts the script's folder first on the path, where our module names could hide others.
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != _FOLDER]
    _load_package()
    from backendexp_worker.server import main

    sys.exit(main())
