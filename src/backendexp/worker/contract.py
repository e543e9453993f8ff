"""Defines the messages between parent and worker: JSON objects, one on each line, over private pipes.

Commands (parent to worker)
    run     spec: the plan of the run, see `backendexp.runs.plan.RunSpec`
            directory: where the run writes worker.log and, when asked, the model
    port    spec: backend.name alone. directory: where it writes worker.log
            task: what to build or to compute, see `porting/__init__.py`

Events (worker to parent); every one has `event` and `time` (seconds since the epoch)
    ready      version, pid, backend, keras, engine, engine_version, python, import_s, packages
    refused    kind, message: the backend cannot be served; the worker ends
    started    pid, start ("fork" or "spawn"),
               compile_cache ("empty", "filled" or null: the engine keeps none)
    phase      name: data, build, fit, evaluate, predict or save begins
    data       digest, shapes, bytes, seconds
               labels: of each array of labels, what `arrays.describe_labels` returns
    built      seconds, weights (count), weights_digest
               notes: sentences that the user should read
               random_layers: the layers that draw random numbers while the model trains
               unlike_layers: what Keras 2 computes differently from Keras 3, a sentence for each such layer
               unlike_engine: which formula of the engine is not that of Keras 3, or null
    epoch      epoch (from 1), seconds (since the previous epoch's end, or since fit began), loss,
               metrics: the other metrics, name to value
    trained    seconds: the wall time of the whole fit
               tiers: what ran the training steps, name to number of steps, or null: the engine has one way
    evaluated  seconds, loss, metrics: as in `epoch`
    predicted  samples_per_s: of `predict` over `samples` samples of the test data, once it is warm
               latency_s, latency_p95_s: median and 95th percentile of `calls` predictions of one sample
    device     kind: cpu or gpu; name: of the GPU, or null
               peak_bytes: the most of the GPU's memory that was used, or null
    saved      path, format
    ported     what a task of `port` found: see `porting/build.py`, `porting/old.py` and `porting/new.py`
    finished
    failed     kind (exception, user_code, non_finite_loss, out_of_memory, deadline), message, traceback,
               epoch
    exited     pid, returncode, signal, peak_bytes, cpu_s: how the run's process ended, and what it used

A reader ignores keys that it does not know; `version` changes when a known key changes its meaning.
"""

import json
import os
import time

VERSION = 1


class EventPipe(object):
    """Writes events to a file descriptor.

    Events are not buffered, so that a process that is killed has already sent everything it knew. Only
    epochs that follow each other within `patience` seconds share a write, because waking the parent
    thousands of times a second would disturb the measurement.
    """

    def __init__(self, descriptor, patience=0.1):
        self._descriptor = descriptor
        self._patience = patience
        self._waiting = b""
        self._wrote = 0.0

    def send(self, event, **fields):
        self._waiting += _line(event, fields)
        self._write()

    def send_soon(self, event, **fields):
        self._waiting += _line(event, fields)
        if time.time() - self._wrote >= self._patience:
            self._write()

    def _write(self):
        while self._waiting:
            self._waiting = self._waiting[os.write(self._descriptor, self._waiting) :]
        self._wrote = time.time()


def _line(event, fields):
    record = {"event": event, "time": time.time()}
    record.update(fields)
    return (json.dumps(record) + "\n").encode("utf-8")
