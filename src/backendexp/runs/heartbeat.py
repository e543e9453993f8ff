"""Signs of life of a run, which other machines can see if they see its directory.

While a run is under way, its process sets the time of the run's events.jsonl to now, every ten seconds. This
writes nothing, so it also works on a full disk, and it leaves no file that would become an artifact.
"""

import os
import tempfile
import threading
from pathlib import Path

# Seconds from one sign of life to the next.
INTERVAL_S = 10.0
# A process whose last sign of life is this many seconds old is not known to live. A network file system may
# show a time that is a minute old, and a busy machine may be late.
FRESH_S = 180.0


class Heartbeat:
    """Gives signs of life, from a thread of its own, until it is stopped.

    file: the file whose time is set.

    A failure is not reported: the file system may come back, and the run itself finds out whether its results
    can be written.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._stopped.wait(INTERVAL_S):
            try:
                os.utime(self._file)
            except OSError:
                continue

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()


def age_s(file: Path) -> float:
    """How old the last sign of life is, in seconds. It is negative if the clock of the file system was set
    back meanwhile.

    file: the events of a run.
    Raises OSError: the file does not exist, or nothing can be written beside it.

    The time of the file is compared with that of a new file beside it. A file server gives both times, so the
    clocks of the two machines do not matter.
    """
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".now-") as new:
        return Path(new.name).stat().st_mtime - file.stat().st_mtime
