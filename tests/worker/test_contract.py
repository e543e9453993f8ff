"""The worker's end of the pipe to the parent."""

import ast
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from backendexp.runs import events
from backendexp.worker import contract
from backendexp.worker.contract import EventPipe

WORKER = Path(contract.__file__).parent


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    for descriptor in (read, write):
        os.close(descriptor)


def lines(descriptor: int) -> list[bytes]:
    os.set_blocking(descriptor, False)
    try:
        return os.read(descriptor, 1 << 20).splitlines()
    except BlockingIOError:
        return []


def test_event_is_one_line_that_the_parent_can_read_at_once(pipe: tuple[int, int]) -> None:
    read, write = pipe
    EventPipe(write).send("phase", name="fit\nor not")
    (line,) = lines(read)
    event = events.parse(line)
    assert (event["event"], event["name"]) == ("phase", "fit\nor not")
    assert event["time"] > 1.7e9


def test_epochs_in_quick_succession_share_a_write_with_the_next_event(pipe: tuple[int, int]) -> None:
    read, write = pipe
    sender = EventPipe(write, patience=1000.0)
    sender.send("phase", name="fit")
    for epoch in (1, 2, 3):
        sender.send_soon("epoch", epoch=epoch)
    assert len(lines(read)) == 1
    sender.send("trained")
    assert [events.parse(line)["event"] for line in lines(read)] == ["epoch", "epoch", "epoch", "trained"]


def test_slow_epochs_are_each_sent_immediately(pipe: tuple[int, int]) -> None:
    read, write = pipe
    sender = EventPipe(write, patience=0.0)
    for epoch in (1, 2):
        sender.send_soon("epoch", epoch=epoch)
        assert len(lines(read)) == 1


def test_event_that_is_longer_than_the_pipe_arrives_complete(pipe: tuple[int, int]) -> None:
    read, write = pipe
    send = EventPipe(write).send
    # The writer blocks until the parent reads.
    writer = threading.Thread(target=send, args=("failed",), kwargs={"traceback": "x" * 300_000})
    writer.start()
    content = b""
    while not content.endswith(b"\n"):
        content += os.read(read, 1 << 16)
    writer.join()
    assert len(json.loads(content)["traceback"]) == 300_000


def test_every_event_that_is_sent_is_in_the_contract() -> None:
    described = {line.split()[0] for line in (contract.__doc__ or "").splitlines() if line.startswith("    ")}
    sent = {
        call.args[0].value
        for path in WORKER.glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("send", "send_soon")
        and isinstance(call.args[0], ast.Constant)
    }
    assert len(sent) > 10
    assert sent <= described


def test_worker_imports_only_what_every_runtime_has() -> None:
    """The worker may import the standard library of Python 3.7, numpy, keras, its own modules and, if it is
    installed, keras_theano.
    """
    allowed = {"numpy", "keras", "keras_theano", "backendexp_worker"}
    imported = set()
    for path in WORKER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                assert node.module is not None
                imported.add(node.module.split(".")[0])
    assert "numpy" in imported
    assert {name for name in imported if name not in sys.stdlib_module_names} <= allowed


def test_worker_compiles_on_python_3_7(keras2_python: str, tmp_path: Path) -> None:
    script = (
        "import sys\nfor path in sys.argv[1:]: compile(open(path).read(), path, 'exec')\nprint(len(sys.argv))"
    )
    paths = sorted(map(str, WORKER.glob("*.py")))
    answer = subprocess.run([keras2_python, "-c", script, *paths], capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.strip() == str(len(paths) + 1)
