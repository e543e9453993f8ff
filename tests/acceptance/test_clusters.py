"""Sweeps on a Slurm cluster and on a Ray cluster, each of one node on this machine."""

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from support import slurm
from support.projects import ENDLESS, QUICK, Project, named, reached, statuses, summary_of, trained
from support.slurm import Slurm

pytestmark = [pytest.mark.slow, pytest.mark.extended, pytest.mark.usefixtures("interruptible")]

SLURM = ("-m", "hydra/launcher=slurm", "backend=theano")
RAY = ("-m", "hydra/launcher=ray", "backend=theano")
# Two jobs fit on the node at a time.
SHARED = ("hydra.launcher.exclusive=false", "hydra.launcher.mem_gb=2")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    missing = slurm.missing()
    if missing:
        pytest.fail(f"a test of a Slurm cluster needs {missing[0]}: apt install slurm-wlm munge")
    running = Slurm(tmp_path_factory.mktemp("slurm"))
    yield running
    running.stop()


@pytest.fixture
def on_slurm(cluster: Slurm, new_project: Callable[..., Project]) -> Iterator[Project]:
    """A project beside the cluster, which has nothing to do before and after."""
    project = new_project(**cluster.environment)
    yield project
    cluster.ask("scancel", "--user=root")
    assert reached(lambda: jobs_of(cluster) == [], within=60)


def jobs_of(cluster: Slurm, state: str | None = None) -> list[str]:
    """The ARRAY_INDEX of each job that has not ended, or of each in a state."""
    of_state = [f"--states={state}"] if state else []
    listed = cluster.ask("squeue", "--noheader", "--format=%F_%K", *of_state)
    return listed.split()


def notes(project: Project) -> list[str]:
    """Why the runs that did not finish ended, from the store."""
    return [run.data.tags.get("mlflow.note.content", "") for run in trained(project.tracked())]


def test_a_sweep_of_eight_with_a_cancelled_job_a_time_limit_and_a_new_controller(
    on_slurm: Project, cluster: Slurm
) -> None:
    limit = ("hydra.launcher.timeout_min=2", "hydra.launcher.signal_delay_s=15")
    plans = ("training.epochs=3,1000000", "seed=range(4)")
    begun = on_slurm.start(*SLURM, *SHARED, *limit, *ENDLESS, *plans)
    try:
        assert reached(lambda: any("1000000" in text for text in plans_under_way(on_slurm)), within=200)
        endless = next(text for text in plans_under_way(on_slurm) if "1000000" in text)
        number = re.search(r"/(\d+)/theano", endless)
        assert number is not None
        running = next(job for job in jobs_of(cluster, "RUNNING") if job.endswith(f"_{number[1]}"))
        cluster.ask("scancel", running)
        assert reached(lambda: running not in jobs_of(cluster), within=60)
        # A job that asks the controller for its first step while it is away is lost.
        assert reached(lambda: all_train(on_slurm, cluster), within=100)
        cluster.stop_controller()
        time.sleep(20)  # longer than a result may be late
        cluster.start_controller()
        out, errors = begun.communicate(timeout=500)
    finally:
        begun.kill()
    assert begun.returncode == 1, errors
    runs = trained(on_slurm.tracked())
    assert Counter(statuses(runs)) == {"FINISHED": 4, "KILLED": 4}, out + errors
    assert "RUNNING" not in out
    said = [note for note in notes(on_slurm) if "KILLED" in note]
    assert sum("SIGTERM, which Slurm sends when a job is cancelled" in note for note in said) == 1, said
    assert sum("SIGUSR2, which Slurm sends before a job reaches its time limit" in n for n in said) == 3, said
    assert {run.data.tags.get("parallel") for run in runs} == {"true"}
    assert summary_of(on_slurm.tracked()).info.status == "FAILED"
    assert jobs_of(cluster) == []
    assert on_slurm.nothing_runs(within=10)


def plans_under_way(project: Project) -> list[str]:
    """The path and the plan of each run that has trained an epoch and has not ended."""
    return [
        f"{directory} {(directory / 'spec.json').read_text()}"
        for number, directory in enumerate(project.directories())
        if named(project.events(number), "epoch") and not (directory / "result.json").exists()
    ]


def all_train(project: Project, cluster: Slurm) -> bool:
    """Whether each job that Slurm runs has trained an epoch, and is not about to end."""
    under_way = [text.partition(" ")[0] for text in plans_under_way(project) if "1000000" in text]
    running = jobs_of(cluster, "RUNNING")
    return bool(running) and all(
        any(f"/{job.rpartition('_')[2]}/" in folder for folder in under_way) for job in running
    )


def test_a_job_that_needs_too_much_memory_is_killed_with_that_reason(
    on_slurm: Project, cluster: Slurm
) -> None:
    answer = on_slurm.run(
        *SLURM, *QUICK, "hydra.launcher.mem_gb=1", "data.samples=40000000", "seed=0", timeout=400
    )
    assert answer.returncode == 1, answer.stderr
    assert statuses(trained(on_slurm.tracked())) == ["KILLED"], answer.stdout + answer.stderr
    (note,) = notes(on_slurm)
    assert "the Slurm job used more memory than it was given (mem_gb)" in note
    assert on_slurm.nothing_runs(within=10)


def test_ctrl_c_cancels_the_jobs_of_slurm(on_slurm: Project, cluster: Slurm) -> None:
    begun = on_slurm.start(*SLURM, *ENDLESS, "seed=range(3)")
    assert reached(lambda: bool(plans_under_way(on_slurm)), within=100)
    begun.send_signal(signal.SIGINT)
    out, errors = begun.communicate(timeout=100)
    assert begun.returncode == 130, errors
    assert statuses(trained(on_slurm.tracked())) == ["KILLED"]
    assert "RUNNING" not in out
    assert jobs_of(cluster) == []
    assert on_slurm.nothing_runs(within=10)


def test_jobs_that_have_the_node_to_themselves_are_not_parallel(on_slurm: Project, cluster: Slurm) -> None:
    answer = on_slurm.run(*SLURM, *QUICK, "seed=0,1", timeout=200)
    assert answer.returncode == 0, answer.stderr
    runs = trained(on_slurm.tracked())
    assert statuses(runs) == ["FINISHED", "FINISHED"]
    assert not any("parallel" in run.data.tags for run in runs)
    # The names of the runs' jobs are on disk, and passwords are not.
    assert len(list(Path(on_slurm.folder).glob("multirun/*/*/.jobs/submitted.json"))) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("threads=null",), "threads is null, which means every core that a job may use"),
        (("hydra.launcher.partition=none",), "Slurm has no node in the partition 'none'"),
        (
            ("hydra.launcher.qos=nothing", "hydra.launcher.account=x", "hydra.launcher.mem_gb=900"),
            "Slurm does not take the jobs",
        ),
    ],
    ids=["threads", "partition", "sbatch"],
)
def test_what_slurm_cannot_run_is_refused_with_a_reason(
    on_slurm: Project, words: tuple[str, ...], said: str
) -> None:
    answer = on_slurm.run(*SLURM, *QUICK, *words, "seed=0,1", timeout=60)
    assert answer.returncode == 2, answer.stderr
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
    assert trained(on_slurm.tracked()) == []


def test_the_blocks_of_a_comparison_are_jobs_that_have_the_node_to_themselves(
    on_slurm: Project, cluster: Slurm
) -> None:
    by_steps = ("compare.by=training.steps_per_execution", "compare.values=[1,2]", "compare.blocks=3")
    answer = on_slurm.run(
        "experiment=compare", "hydra/launcher=slurm", "backend=theano", *by_steps, *QUICK, timeout=400
    )
    assert answer.returncode == 0, answer.stderr
    runs = trained(on_slurm.tracked())
    assert statuses(runs) == ["FINISHED"] * len(runs)
    assert sorted(r.data.tags["block"] for r in runs if r.data.tags["role"] == "timed") == [*"112233"]
    assert not any("parallel" in run.data.tags for run in runs)
    assert "ran beside others" not in answer.stdout
    assert summary_of(on_slurm.tracked()).data.params["compare.blocks"] == "3"
    assert on_slurm.nothing_runs(within=10)


def test_submitted_jobs_are_collected_later(on_slurm: Project, cluster: Slurm) -> None:
    answer = on_slurm.run(*SLURM, *QUICK, "hydra.launcher.detach=true", "seed=0,1", timeout=60)
    assert answer.returncode == 0, answer.stderr
    command = re.search(r"backendexp (conclude \S+)", answer.stdout)
    assert command is not None, answer.stdout
    early = on_slurm.run(*command[1].split())
    assert early.returncode == 1
    assert "2 of 2 jobs have not ended" in early.stderr, early.stdout + early.stderr
    assert reached(lambda: jobs_of(cluster) == [], within=100)
    late = on_slurm.run(*command[1].split())
    assert late.returncode == 0, late.stderr
    assert "2 of 2" in late.stdout
    assert summary_of(on_slurm.tracked()).info.status == "FINISHED"


# -- Ray ---------------------------------------------------------------------------------------------


@pytest.fixture
def on_ray(new_project: Callable[..., Project]) -> Iterator[Project]:
    """A project beside a Ray cluster of two cores, which was started from another directory."""
    ray = Path(sys.executable).with_name("ray")
    if not ray.exists():
        pytest.fail("a test of a Ray cluster needs Ray: pip install 'backendexp[ray]'")
    # Ray 2.60 lets only those into a cluster who have its token.
    project = new_project(store=False, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    # The processes of the cluster are not the project's own.
    environment = {**os.environ, **project.variables}
    quiet = ["--disable-usage-stats", "--include-dashboard=false"]
    start = [str(ray), "start", "--head", "--num-cpus=2", f"--port={PORT}", *quiet]
    subprocess.run(start, cwd="/", env=environment, check=True, capture_output=True, timeout=120)
    yield project
    subprocess.run([str(ray), "stop", "--force"], env=environment, capture_output=True, timeout=120)


PORT = 6399
ADDRESS = f"hydra.launcher.init.address=127.0.0.1:{PORT}"


def test_a_killed_worker_of_ray_is_tried_again_and_its_first_try_does_not_count(on_ray: Project) -> None:
    epochs = "training.epochs=3,3000"
    begun = on_ray.start(*RAY, ADDRESS, "tracking=none", *ENDLESS, epochs, "seed=0,1", "data.samples=2000")
    assert reached(lambda: bool(plans_under_way(on_ray)), within=100)
    for worker in workers_of_ray():
        worker.kill()
    out, errors = begun.communicate(timeout=400)
    assert begun.returncode == 0, out + errors
    assert out.count("FINISHED") == 4
    results = [path.read_text() for path in Path(on_ray.folder).glob("multirun/*/*/*/theano*/result.json")]
    assert sum('"FINISHED"' in text for text in results) == 4
    assert sum('"KILLED"' in text for text in results) >= 1
    assert "earlier runs were repeated" in out


def workers_of_ray() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.name().startswith("ray::") and "execute" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_ctrl_c_cancels_the_tasks_of_ray(on_ray: Project) -> None:
    begun = on_ray.start(*RAY, ADDRESS, "tracking=none", *ENDLESS, "seed=range(3)")
    assert reached(lambda: len(plans_under_way(on_ray)) == 2, within=100)
    begun.send_signal(signal.SIGINT)
    out, errors = begun.communicate(timeout=100)
    assert begun.returncode == 130, out + errors
    results = [path.read_text() for path in Path(on_ray.folder).glob("multirun/*/*/*/theano*/result.json")]
    assert len(results) == 2
    assert all('"KILLED"' in text for text in results)
    assert "RUNNING" not in out
    assert on_ray.nothing_runs(within=30)


def test_ray_refuses_a_store_that_several_machines_cannot_write(on_ray: Project) -> None:
    answer = on_ray.run(*RAY, ADDRESS, *QUICK, "seed=0,1", timeout=60)
    assert answer.returncode == 2
    assert "which several machines cannot write. Start a server" in answer.stderr
    assert not list(on_ray.folder.iterdir())
