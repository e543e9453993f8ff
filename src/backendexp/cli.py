"""`backendexp`: configuration → plan → run → record → summary.

backendexp [-m] [KEY=VALUE ...]     a Hydra application: one run, or with -m a sweep
backendexp compare|doctor|sync|ui   see `backendexp compare --help` and so on
"""

import gc
import os
import signal
import sys
from importlib import import_module
from typing import Any

from backendexp.commands import BAD_INPUT, COMMANDS, INTERRUPTED, RUN_FAILED, TERMINATED
from backendexp.config import conf_dir
from backendexp.errors import UserError


def main() -> int:
    """The exit code: 0 all went well, 1 a run failed, 2 bad input, 130 Ctrl-C, 143 SIGTERM."""
    # Hydra's parser wants its options before the settings; a user puts -m anywhere.
    multirun = [word for word in sys.argv[1:] if word in ("-m", "--multirun")]
    arguments = multirun + [word for word in sys.argv[1:] if word not in multirun]
    sys.argv[1:] = arguments
    signal.signal(signal.SIGTERM, _terminate)
    try:
        if arguments and arguments[0] in COMMANDS:
            command = import_module(f"backendexp.{arguments[0]}")
            return int(command.main(arguments[1:]))
        return experiment(arguments)
    except UserError as error:
        print(f"backendexp: {error}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        # The reader of our output has left (`| head`). Python would complain at exit once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return RUN_FAILED
    except KeyboardInterrupt as interrupt:
        return TERMINATED if str(interrupt) == "SIGTERM" else INTERRUPTED
    finally:
        # The interpreter's last collection would walk through all of mlflow, for most of a second.
        gc.freeze()


def experiment(arguments: list[str]) -> int:
    """Check everything that the command line asks for, then let Hydra run it, then say what came out."""
    from backendexp import application

    checked = application.check(arguments)
    app = application.start(checked, joined=os.environ.pop("MLFLOW_RUN_ID", None))
    try:
        application.run_hydra(conf_dir(), _job)
    finally:
        code = app.conclude()
    return code


def _job(tree: Any) -> float:
    """One Hydra job, in this process or, with another launcher, in one of its own."""
    from hydra.core.hydra_config import HydraConfig

    from backendexp import application

    hydra = HydraConfig.get()
    if hydra.job.chdir:
        # Paths mean what they meant when they were checked. A run's files go to its directory all the same.
        os.chdir(hydra.runtime.cwd)
    return application.current().run_job(tree, hydra)


def _terminate(number: int, frame: Any) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
