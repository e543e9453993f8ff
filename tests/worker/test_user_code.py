"""How the user's code is kept, and how its errors are told."""

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from backendexp.worker import user_code, user_files


@pytest.fixture(autouse=True)
def folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(user_code.FOLDER, str(project))
    monkeypatch.setattr(sys, "path", [*sys.path])


def part(target: str, source: str | None = None, **arguments: Any) -> dict[str, Any]:
    return {"kind": "custom", "_target_": target, "_source_": source, **arguments}


def digest(target: str, project: Path) -> str:
    found = user_files.find(target, str(project))
    return str(user_files.digest(user_files.sources(found, str(project))))


def test_code_that_ran_is_kept_in_the_folder_of_the_run(project: Path, tmp_path: Path) -> None:
    (project / "kept.py").write_text("import kept_parts")
    (project / "kept_parts.py").write_text("x = 1")
    user_code.keep([part("kept.build", digest("kept.build", project))], str(tmp_path / "run"))
    copies = {path.name: path.read_text() for path in (tmp_path / "run" / "source").iterdir()}
    assert copies == {"kept.py": "import kept_parts", "kept_parts.py": "x = 1"}


def test_code_that_changed_after_the_plan_is_not_run(project: Path, tmp_path: Path) -> None:
    (project / "edited.py").write_text("x = 1")
    planned = digest("edited.build", project)
    (project / "edited.py").write_text("x = 2")
    with pytest.raises(
        user_code.UserCodeError, match=r"edited\.build has changed since this run was planned"
    ):
        user_code.keep([part("edited.build", planned)], str(tmp_path))


def test_nested_arguments_arrive_as_they_are(project: Path) -> None:
    (project / "nested.py").write_text("def build(**more): return more")
    assert user_code.call(part("nested.py:build", a={"b": [1, 2]}), {"c": 3}) == {"a": {"b": [1, 2]}}


def test_error_far_below_the_users_code_names_the_users_line(project: Path) -> None:
    (project / "deep.py").write_text("import json\ndef build():\n    return json.loads('{')\n")
    with pytest.raises(user_code.UserCodeError) as raised:
        user_code.call(part("deep.py:build"), {})
    assert str(raised.value).startswith("deep.py:build failed at deep.py, line 3: JSONDecodeError: Expecting")
    assert raised.value.trace is not None
    assert "json/decoder.py" not in raised.value.trace


def test_op_that_a_backend_lacks_is_not_the_users_fault(project: Path) -> None:
    (project / "lacking.py").write_text("import abc\ndef build(f):\n    return f()\n")

    def op() -> None:
        raise NotImplementedError("the Theano backend cannot trace keras.ops.fft yet")

    error = _raised("lacking.py:build", op)
    message, _ = user_code.blame(error, {"model": part("lacking.py:build")}, "theano", ["jax", "torch"])
    assert message.endswith(
        "This is missing in backend theano, not in your code. Other backends may have it: backend=jax, "
        "backend=torch"
    )


def test_not_implemented_in_the_users_own_code_is_the_users(project: Path) -> None:
    (project / "own.py").write_text("def build():\n    raise NotImplementedError('later')\n")
    error = _raised("own.py:build")
    message, _ = user_code.blame(error, {"model": part("own.py:build")}, "theano", ["jax"])
    assert message == "own.py:build failed at own.py, line 2: NotImplementedError: later"


def _raised(target: str, op: Any = None) -> user_code.UserCodeError:
    arguments = {} if op is None else {"f": op}
    with pytest.raises(user_code.UserCodeError) as raised:
        user_code.call(part(target, **arguments), {})
    return raised.value


def test_lists_of_arguments_that_keras_adds_are_left_out() -> None:
    text = (
        "Exception encountered when calling Net.call().\n\n\x1b[1mbad shape\x1b[0m\n\n"
        "Arguments received by Net.call():\n  • x=tensor"
    )
    assert user_code.shortened(text) == "bad shape"


def test_run_without_a_deadline_is_not_watched() -> None:
    before = threading.active_count()
    with user_code.watched(None, None):
        assert threading.active_count() == before
