"""A Slurm cluster of one node on this machine, from Debian's packages slurm-wlm and munge."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

NEEDED = ("slurmctld", "slurmd", "sbatch", "scancel", "scontrol", "munged")
_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=2000
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
KillWait=5
UnkillableStepTimeout=300
OverTimeLimit=0
SchedulerParameters=sched_interval=2,batch_sched_delay=1,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=8000 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10
"""


class Slurm:
    """A running cluster.

    environment: the variable through which Slurm's commands find it.
    """

    def __init__(self, folder: Path, cpus: int = 2) -> None:
        self.folder = folder
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        conf = folder / "slurm.conf"
        host = socket.gethostname().partition(".")[0]
        facts = {"host": host, "folder": folder, "cpus": cpus, "controller": _port(), "node": _port()}
        conf.write_text(_CONF.format(**facts))
        self.environment = {"SLURM_CONF": str(conf)}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        # munged refuses folders and keys that others can read.
        folder.chmod(0o755)
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)
        self._start(
            "munged",
            "--foreground",
            "--force",
            f"--key-file={folder}/munge.key",
            f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munge.pid",
            f"--log-file={folder}/munge.log",
            f"--seed-file={folder}/munge.seed",
        )
        self.start_controller()
        self._start("slurmd", "-D", "-N", host)
        self._wait(lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%t", "--partition=debug"))

    def _start(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                [name, *arguments],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def start_controller(self) -> None:
        self._start("slurmctld", "-D")

    def stop_controller(self) -> None:
        self._processes["slurmctld"].terminate()
        self._processes["slurmctld"].wait(30)

    def ask(self, *command: str) -> str:
        """What a command of Slurm prints."""
        answer = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60
        )
        return answer.stdout

    def _wait(self, is_true: "object", within: float = 60) -> None:
        assert callable(is_true)
        last = time.monotonic() + within
        while not is_true():
            if time.monotonic() > last:
                logs = "\n".join(
                    f"{log.name}: {log.read_text(errors='replace')[-1500:]}"
                    for log in (*self.folder.glob("*.log"), *self.folder.glob("*.out"))
                )
                raise AssertionError(f"the cluster did not start\n{logs}")
            time.sleep(0.3)

    def stop(self) -> None:
        for name in ("slurmd", "slurmctld", "munged"):
            process = self._processes.get(name)
            if process is not None and process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def missing() -> list[str]:
    """The programs of Slurm that this machine lacks."""
    return [name for name in NEEDED if shutil.which(name) is None]
