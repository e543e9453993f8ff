"""`backendexp`: configuration → plan → run → record → summary.

backendexp [-m] [KEY=VALUE ...]     a Hydra application: one run, or with -m a sweep
backendexp compare|doctor|sync|ui   see `backendexp compare --help` and so on

SIGTERM, and SIGHUP of a terminal that is closed, end it as Ctrl-C does: what was done is recorded. A signal
that is ignored from the start stays so: nohup wants it to outlive the terminal, and a shell without job
control wants what is in its background to outlive a Ctrl-C. SIGTERM ends it there too.
"""

import gc
import os
import signal
import sys
from importlib import import_module
from typing import Any

from backendexp.cli import commands, output
from backendexp.cli.exit_codes import BAD_INPUT, HUNG_UP, INTERRUPTED, OK, TERMINATED
from backendexp.config.schema import conf_dir
from backendexp.errors import UserError
from backendexp.tracking import addresses


def main() -> int:
    """The exit code: 0 all went well, 1 a run failed, 2 bad input, 3 all went well but the store did not take
    all of it, 129 SIGHUP, 130 Ctrl-C, 143 SIGTERM.
    """
    # Hydra's parser wants its options before the settings; a user puts -m anywhere.
    multirun = [word for word in sys.argv[1:] if word in ("-m", "--multirun")]
    arguments = multirun + [word for word in sys.argv[1:] if word not in multirun]
    signal.signal(signal.SIGTERM, _terminate)
    # Windows has no SIGHUP; under nohup it is ignored, and stays so.
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _terminate)
    output.protect()
    try:
        command_given = bool(arguments) and arguments[0] in commands.names()
        sys.argv[1:] = arguments = addresses.taken_from(arguments, of_hydra=not command_given)
        if command_given:
            command = import_module(f"backendexp.cli.commands.{arguments[0]}")
            code = int(command.main(arguments[1:]))
            # What a command prints is all that it makes, where runs are on disk and in the store.
            return BAD_INPUT if _is_not_printed() and code == OK else code
        code = experiment(arguments)
        _is_not_printed()
        return code
    except UserError as error:
        print(f"backendexp: {addresses.hidden(str(error))}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt as interrupt:
        return {"SIGTERM": TERMINATED, "SIGHUP": HUNG_UP}.get(str(interrupt), INTERRUPTED)
    finally:
        # The interpreter's last collection would walk through all of mlflow, for most of a second.
        gc.freeze()


def _is_not_printed() -> bool:
    why = output.lost()
    if why is not None:
        print(f"backendexp: stdout did not take all that was printed: {why}", file=sys.stderr)
    return why is not None


def experiment(arguments: list[str]) -> int:
    """Check everything that the command line asks for, then let Hydra run it, then say what came out."""
    from backendexp.cli import application

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

    from backendexp.cli import application

    hydra = HydraConfig.get()
    if hydra.job.chdir:
        # Paths mean what they meant when they were checked. A run's files go to its directory all the same.
        os.chdir(hydra.runtime.cwd)
    return application.current().run_job(tree, hydra)


def _terminate(number: int, frame: Any) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
