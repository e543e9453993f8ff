"""`backendexp`: configuration → plan → run → record → summary.

backendexp [-m] [KEY=VALUE ...]     a Hydra application: one run, or with -m a sweep
backendexp compare|doctor|sync|ui   see `backendexp compare --help` and so on

SIGTERM, and the SIGHUP that a closed terminal sends, end the program as Ctrl-C does: the work done so far is
recorded. A signal that is already ignored at the start stays ignored, because nohup expects the program to
outlive its terminal, and a shell without job control expects its background jobs to survive a Ctrl-C. SIGTERM
ends the program in these cases too.
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
    """Run the command line and return the exit code.

    0: everything succeeded. 1: a run failed. 2: the input was bad. 3: every run succeeded, but the store did
    not accept all the results. 129: ended by SIGHUP. 130: ended by Ctrl-C. 143: ended by SIGTERM.
    """
    # Hydra's parser expects its options before the settings, but users write -m anywhere.
    multirun = [word for word in sys.argv[1:] if word in ("-m", "--multirun")]
    arguments = multirun + [word for word in sys.argv[1:] if word not in multirun]
    signal.signal(signal.SIGTERM, _terminate)
    # Windows has no SIGHUP. Under nohup the signal is ignored, and must stay ignored.
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _terminate)
    output.protect()
    try:
        command_given = bool(arguments) and arguments[0] in commands.names()
        sys.argv[1:] = arguments = addresses.taken_from(arguments, of_hydra=not command_given)
        if command_given:
            command = import_module(f"backendexp.cli.commands.{arguments[0]}")
            code = int(command.main(arguments[1:]))
            # A command produces only what it prints, so lost output is a failure. Runs, in contrast, are
            # also on disk and in the store.
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
        # The last garbage collection of the interpreter would spend most of a second on mlflow's objects.
        gc.freeze()


def _is_not_printed() -> bool:
    why = output.lost()
    if why is not None:
        print(f"backendexp: stdout could not take everything that was printed: {why}", file=sys.stderr)
    return why is not None


def experiment(arguments: list[str]) -> int:
    """Check everything that the command line asks for, let Hydra run it, and report the results."""
    from backendexp.cli import application

    checked = application.check(arguments)
    app = application.start(checked, joined=os.environ.pop("MLFLOW_RUN_ID", None))
    try:
        application.run_hydra(conf_dir(), _job)
    finally:
        code = app.finish()
    return code


def _job(tree: Any) -> float:
    """Run one Hydra job, in this process or, if another launcher is used, in a process of its own."""
    from hydra.core.hydra_config import HydraConfig

    from backendexp.cli import application

    hydra = HydraConfig.get()
    if hydra.job.chdir:
        # Relative paths must mean what they meant when they were checked. The files of a run are written to
        # its directory regardless.
        os.chdir(hydra.runtime.cwd)
    return application.current().run_job(tree, hydra)


def _terminate(number: int, frame: Any) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
