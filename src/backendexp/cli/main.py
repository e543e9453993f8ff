"""`backendexp`: configuration → plan → run → record → summary.

backendexp [-m] [KEY=VALUE ...]     a Hydra application: one run, or with -m a sweep
backendexp compare|conclude|doctor|port|resume|sync|ui   see `backendexp compare --help` and so on

SIGTERM, and the SIGHUP that a closed terminal sends, end the program as Ctrl-C does: the work done so far is
recorded. A signal that is already ignored at the start stays ignored, because nohup expects the program to
outlive its terminal, and a shell without job control expects its background jobs to survive a Ctrl-C. SIGTERM
ends the program in these cases too.
"""

import gc
import signal
import sys
from importlib import import_module
from typing import Any

from backendexp.cli import command_names, output
from backendexp.cli.exit_codes import BAD_INPUT, HUNG_UP, INTERRUPTED, OK, TERMINATED
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
        command_given = bool(arguments) and arguments[0] in command_names.names()
        sys.argv[1:] = arguments = addresses.taken_from(arguments, of_hydra=not command_given)
        if command_given:
            command = import_module(f"backendexp.cli.commands.{arguments[0]}")
            code = int(command.main(arguments[1:]))
            # A command produces only what it prints, so lost output is a failure. Runs, in contrast, are
            # also on disk and in the store.
            return BAD_INPUT if _is_not_printed() and code == OK else code
        from backendexp.cli import application

        code = application.run(arguments)
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


def _terminate(number: int, frame: Any) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
