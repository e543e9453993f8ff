"""Lets the fake workers in this folder send events and read orders in the format of contract.py."""

import json
import os
import sys
import time

# The parent kills the process of a run, so a fake process id must not belong to any process. On Linux, all
# ids are below 2**22.
NO_PROCESS = 2**22


def say(event, **fields):
    sys.stdout.write(json.dumps({"event": event, "time": time.time(), **fields}) + "\n")
    sys.stdout.flush()


def say_ready(version=1):
    say(
        "ready",
        version=version,
        pid=os.getpid(),
        backend=os.environ["KERAS_BACKEND"],
        keras="3.15.1",
        engine="Fake",
        engine_version="1.0",
        python="3.11.7",
        import_s=0.25,
        packages={"numpy": "2.0"},
    )


def say_epoch(number, loss):
    say("epoch", epoch=number, seconds=0.5, loss=loss, metrics={"accuracy": 0.5})


def say_up_to_fit(pid, start):
    """Send the events that come before the first epoch. `start` is fork or spawn."""
    say("started", pid=pid, start=start, compile_cache=None)
    say("phase", name="data")
    shapes = {"x_train": [256, 8], "y_train": [256, 1], "x_test": [64, 8], "y_test": [64, 1]}
    say("data", seconds=0.01, digest="d" * 64, shapes=shapes, bytes=11520)
    say("phase", name="build")
    say("built", seconds=0.02, weights=297, weights_digest="w" * 64)
    say("phase", name="fit")


def next_order():
    """Read the parent's next order. It is None if the worker shall stop."""
    line = sys.stdin.readline()
    return json.loads(line) if line else None
