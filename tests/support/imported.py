"""Reads which modules a process imported."""

import re

HEAVY = {"keras", "mlflow", "tensorflow", "jax", "torch", "theano"}


WATCHED = {"PYTHONPROFILEIMPORTTIME": "1"}


def split(stderr: str) -> tuple[set[str], str]:
    """Split the output of a process with PYTHONPROFILEIMPORTTIME=1 into the imported top-level modules and
    the rest.
    """
    imported, said = set(), []
    for line in stderr.splitlines():
        found = re.match(r"import time:.*\|\s*([\w.]+)$", line)
        if found:
            imported.add(found.group(1).split(".")[0])
        elif not line.startswith("import time:"):
            said.append(line)
    return imported, "\n".join(said)
