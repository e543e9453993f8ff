"""If something cannot be written, a sentence says so and how to choose another place, and the run continues
if it can. To simulate a full disk, the tests limit the size of files, which any user may do, or mount a small
file system where that is possible.
"""

import json
import os
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backendexp.cli import exit_codes
from backendexp.errors import UserError
from backendexp.runs import events, record
from backendexp.runs.plan import RunSpec
from support.applications import COMPARE, run
from support.memory import MemoryTracker
from support.outputs import NO_STORE, command, status
from support.sessions import HERE, MakeSession

TRAIN = ("backend=jax", "threads=1", "training.epochs=3")
Ended = subprocess.CompletedProcess[str]


def as_ordinary_user(words: list[str], folder: Path, before: str = "", **env: str) -> Ended:
    """Run a command in `folder` as an ordinary user, because root ignores permissions.

    before: a shell command to run first.
    """
    plain = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    return subprocess.run(
        ["sh", "-c", f'{before}\nexec "$@"', "sh", *(plain if os.geteuid() == 0 else []), *words],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=180,
    )


def backendexp(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "backendexp", *arguments]


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing can be written."""
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    yield folder
    folder.chmod(stat.S_IRWXU)


def test_permissions_stop_the_user_of_these_tests(closed: Path) -> None:
    """Without this, the tests below could not fail."""
    assert as_ordinary_user(["touch", "file"], closed).returncode != 0


def stderr_of(ended: Ended) -> str:
    assert "Traceback" not in ended.stderr
    return ended.stderr


# -- the working directory ---------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("-m", "seed=0,1")], ids=["run", "sweep"])
def test_a_working_directory_that_cannot_be_written_is_reported_before_anything_runs(
    arguments: tuple[str, ...], closed: Path
) -> None:
    ended = as_ordinary_user(command("finishes", *TRAIN, *arguments), closed)
    (line,) = stderr_of(ended).splitlines()
    place = closed / ("multirun" if arguments else "outputs")
    assert line.startswith(f"backendexp: {place}")
    assert " cannot be written: Permission denied. " in line
    assert all(
        way in line for way in ("hydra.run.dir=FOLDER", "hydra.sweep.dir=FOLDER", "tracking.uri=sqlite")
    )
    assert (ended.returncode, ended.stdout) == (exit_codes.BAD_INPUT, "")
    assert list(closed.iterdir()) == []


def test_a_run_whose_folder_is_elsewhere_continues_without_the_store(closed: Path, tmp_path: Path) -> None:
    place = tmp_path / "outputs"
    ended = as_ordinary_user(command("finishes", *TRAIN, f"hydra.run.dir={place}"), closed)
    assert "its folder cannot be written. Make room, or choose another store: tracking.uri=" in stderr_of(
        ended
    )
    assert ended.returncode not in (exit_codes.RUN_FAILED, exit_codes.BAD_INPUT)
    assert "FINISHED" in ended.stdout
    assert status(tmp_path) == "FINISHED"


# -- the cache and temporary files -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["HOME", "XDG_CACHE_HOME", "BACKENDEXP_CACHE"])
def test_a_run_without_its_cache_uses_temporary_files_and_says_it_once(
    name: str, closed: Path, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "temporary").mkdir()
    unset = {"BACKENDEXP_CACHE": "", "XDG_CACHE_HOME": ""}
    for _ in range(2):
        env = {**unset, "TMPDIR": str(tmp_path / "temporary"), name: str(closed)}
        ended = as_ordinary_user(command("finishes", *TRAIN, NO_STORE, "hydra.run.dir=out"), project, **env)
        (line,) = stderr_of(ended).splitlines()
        assert line.startswith(f"backendexp: {closed}")
        assert (
            " cannot be written: Permission denied. Choose another cache: BACKENDEXP_CACHE=FOLDER. " in line
        )
        assert ended.returncode == exit_codes.OK
    assert (
        len(list((tmp_path / "temporary").iterdir())) == 1
    )  # the next run finds the code that this one has compiled


def test_a_part_of_the_cache_that_cannot_be_written_is_named(project: Path, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    part = tmp_path / "cache" / "keras"
    part.mkdir(parents=True)
    part.chmod(stat.S_IRUSR | stat.S_IXUSR)
    env = {"BACKENDEXP_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path / "temporary")}
    ended = as_ordinary_user(command("finishes", *TRAIN, NO_STORE), project, **env)
    part.chmod(stat.S_IRWXU)
    assert f"{part}/keras3 cannot be written: Permission denied" in stderr_of(ended)
    assert status(project) == "FINISHED"
    assert (tmp_path / "cache" / "compiled").is_dir()


def test_temporary_files_use_another_folder_or_the_error_names_the_variable(
    closed: Path, project: Path
) -> None:
    words = command("finishes", *TRAIN, NO_STORE)
    ended = as_ordinary_user(words, project, TMPDIR=str(closed))
    assert (ended.returncode, stderr_of(ended)) == (exit_codes.OK, "")
    nowhere = as_ordinary_user(words, project, before="ulimit -f 0", TMPDIR=str(closed))
    (line,) = stderr_of(nowhere).splitlines()
    assert line.startswith("backendexp: No usable temporary directory found in ")
    assert line.endswith("Choose a folder for temporary files: TMPDIR=FOLDER")
    assert nowhere.returncode == exit_codes.BAD_INPUT


def test_doctor_reports_that_the_cache_cannot_be_written(closed: Path, project: Path) -> None:
    ended = as_ordinary_user(backendexp("doctor"), project, BACKENDEXP_CACHE=str(closed))
    assert f"  cache: {closed} cannot be written: Permission denied. Choose another cache: " in ended.stdout
    assert stderr_of(ended) == ""


@pytest.mark.parametrize(
    "words",
    [backendexp("doctor", "--build", "keras2"), command("finishes", "runtime=keras2", "backend=theano")],
)
def test_a_runtime_that_cannot_be_built_because_of_its_folder_is_refused(
    words: list[str], closed: Path, project: Path
) -> None:
    ended = as_ordinary_user(words, project, BACKENDEXP_CACHE=str(closed))
    assert ended.returncode == exit_codes.BAD_INPUT
    assert stderr_of(ended) == (
        f"backendexp: runtime 'keras2' must be built first: {closed}/runtimes cannot be written: Permission "
        "denied. Choose another cache: BACKENDEXP_CACHE=FOLDER\n"
    )


# -- a full disk -------------------------------------------------------------------------------------


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limit the files of this process and its children to `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_record_that_cannot_be_begun_leaves_no_files(
    make_spec: Callable[..., RunSpec], tmp_path: Path
) -> None:
    known = {"kind": "none", "uri": "", "experiment": "", "experiment_id": None, "run_id": None, "tags": {}}
    with largest_file(10), pytest.raises(UserError, match=r"cannot be written: File too large\. Make room, "):
        record.begin(tmp_path, make_spec("jax"), "", name="", **known)
    assert list(tmp_path.glob("jax-*")) == []


def test_events_that_cannot_be_written_are_kept_and_the_file_stays_valid(tmp_path: Path) -> None:
    said = [{"event": "epoch", "epoch": number, "text": "x" * 50} for number in range(20)]
    file = events.EventFile(tmp_path / "events.jsonl")
    with largest_file(1000):
        for event in said:
            file.append(event)
    file.append({"event": "finished"})  # there is room again, but the lost events stay lost
    file.close()
    written = events.read(tmp_path / "events.jsonl")
    assert 0 < len(written) < 20
    assert [*written, *file.unwritten] == [*said, {"event": "finished"}]


def test_a_run_that_fills_the_disk_is_trained_and_tracked(
    make_session: MakeSession,
    make_spec: Callable[..., RunSpec],
    tmp_path: Path,
) -> None:
    tracker = MemoryTracker()
    session = make_session("finishes", tracker)
    with largest_file(50_000):
        done = session.run(make_spec("jax", training__epochs=2000), HERE, tmp_path, "")
    assert done.result is not None
    assert (done.result.status, len(done.result.epochs)) == ("FINISHED", 2000)
    (report,) = tracker.reports.values()
    assert (report.status, sum(m.key == "train/loss" for m in report.metrics)) == ("FINISHED", 2000)
    assert done.tracked_run_id in tracker.reports
    (unwritten,) = session.unwritten
    assert f"{done.directory} cannot be written: File too large. " in unwritten


def test_a_run_that_cannot_be_recorded_is_summed_up_and_fails(project: Path) -> None:
    words = command("finishes", "backend=jax", "threads=1", "training.epochs=400", NO_STORE)
    ended = as_ordinary_user(words, project, before="ulimit -f 16")
    assert "cannot be written: File too large. Make room, " in stderr_of(ended)
    assert "FINISHED  jax" in ended.stdout
    assert "backendexp sync" not in ended.stdout
    assert ended.returncode == exit_codes.BAD_INPUT


def test_a_comparison_whose_folder_cannot_be_written_is_written_elsewhere(
    start: Callable[..., object],
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = project / "outputs" / "2026-01-01" / "10-00-00"
    folder.mkdir(parents=True)
    (folder / "comparison").write_text("it is in the way", encoding="utf-8")
    tracker = MemoryTracker()
    assert run(start("finishes", tracker), project, *COMPARE) == exit_codes.OK  # type: ignore[arg-type]
    said = capsys.readouterr()
    assert f"backendexp: {folder}/comparison cannot be written: File exists. " in said.err
    (report,) = tmp_path.glob("backendexp-*/comparison/report.html")
    assert f"  report  {report}\n" in said.out
    (summary,) = [r for r in tracker.reports.values() if "kind" in r.tags]
    assert summary.artifacts == [report.parent]


def _mounts() -> str | None:
    """Return why no file system can be mounted here, or None if one can."""
    if shutil.which("unshare") is None:
        return "there is no unshare"
    words = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(words, capture_output=True, text=True).stderr.strip() or None


@pytest.mark.parametrize("room", [60, 40, 12])
def test_a_small_disk_causes_no_traceback(room: int, tmp_path: Path) -> None:
    if (why := _mounts()) is not None:
        pytest.skip(f"no small disk can be made: {why}")
    disk = tmp_path / "disk"
    disk.mkdir()
    line = f'mount -t tmpfs -o size={room}k tmpfs "{disk}" && cd "{disk}" && exec "$@"'
    ended = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", line, "sh", *command("finishes", *TRAIN)],
        capture_output=True,
        text=True,
        timeout=180,
    )
    if room == 12:  # there is not even room for the plan
        assert ended.returncode == exit_codes.BAD_INPUT
        assert "cannot be written: No space left on device. Make room, " in stderr_of(ended)
        return
    assert "FINISHED  jax" in ended.stdout
    assert "disk is full. Make room, or choose another store: tracking.uri=" in stderr_of(ended)
    assert ended.returncode != exit_codes.RUN_FAILED


# -- runs in folders that cannot be written ----------------------------------------------------------


def test_runs_of_a_folder_that_cannot_be_written_are_uploaded(
    project: Path, empty_store: bytes, tmp_path: Path
) -> None:
    (project / "mlflow.db").write_bytes(empty_store)
    assert as_ordinary_user(command("finishes", *TRAIN, NO_STORE), project).returncode == exit_codes.OK
    (result,) = project.rglob("result.json")
    result.parent.chmod(stat.S_IRUSR | stat.S_IXUSR)
    broken = project / "outputs" / "jax-keras3-seed0-00000000"
    shutil.copytree(result.parent, broken)
    broken.chmod(stat.S_IRWXU)
    (broken / "spec.json").write_text("", encoding="utf-8")  # a full disk leaves such a copy
    ended = as_ordinary_user(backendexp("sync", "outputs"), project)
    result.parent.chmod(stat.S_IRWXU)
    assert f"{broken.relative_to(project)}: cannot be read: " in stderr_of(ended)
    assert "tracked.json" in ended.stderr
    assert "cannot be written: Permission denied. Make room, or copy the folder" in ended.stderr
    assert "1 uploaded, 1 refused, 0 with nothing to upload" in ended.stdout
    assert json.loads(result.read_text(encoding="utf-8"))["status"] == "FINISHED"
