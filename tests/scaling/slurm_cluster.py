"""Slurm on this machine: a controller, one node, and munge, in a folder of the test."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.endtoend.conftest import wait_until
from tests.ports import free_port
from tests.requires import find_program

#: As root, so that neither daemon needs an account of its own.
_CONFIG = """
ClusterName=piwheels
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=10
SchedulerParameters=sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=8192 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True, slots=True)
class SlurmCluster:
    """A cluster that is up; its commands find it by the environment."""

    environ: dict[str, str]

    def run(self, *command: str) -> str:
        """Run a command of Slurm; gives its output."""
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, **self.environ}
        )
        return done.stdout

    def tasks(self) -> dict[str, str]:
        """The states of the tasks that are queued or run, by job's name and task."""
        lines = self.run("squeue", "-h", "-r", "-o", "%j %K %T").splitlines()
        return {f"{name}-{task}": state for name, task, state in map(str.split, lines)}


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[SlurmCluster]:
    """A cluster, until its daemons are stopped."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    config, key = folder / "slurm.conf", folder / "munge.key"
    config.write_text(
        _CONFIG.format(
            host=socket.gethostname().partition(".")[0],
            folder=folder,
            controller_port=free_port(),
            node_port=free_port(),
        )
    )
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    cluster = SlurmCluster({"SLURM_CONF": str(config)})
    munge = [
        *(find_program("munged"), "--foreground", "--force", f"--socket={folder}/munge.socket"),
        *(f"--key-file={key}", f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/seed"),
        f"--log-file={folder}/munged.log",
    ]
    with ExitStack() as stack:
        stack.enter_context(_daemon(munge, cluster, folder / "munge.out"))
        wait_until((folder / "munge.socket").exists, "munge answers", 30.0)
        for name in ("slurmctld", "slurmd"):
            command = [find_program(name), "-D", "-f", str(config)]
            stack.enter_context(_daemon(command, cluster, folder / f"{name}.out"))
        wait_until(lambda: "idle" in _nodes(cluster), "the node is up", 60.0)
        yield cluster
        cluster.run(shutil.which("scancel") or "scancel", "--user", "root")
        wait_until(lambda: not cluster.tasks(), "no job is left", 60.0)


def _nodes(cluster: SlurmCluster) -> str:
    try:
        return cluster.run("sinfo", "-h", "-o", "%t")
    except subprocess.CalledProcessError:
        return ""


@contextmanager
def _daemon(command: list[str], cluster: SlurmCluster, output: Path) -> Iterator[None]:
    environ = {**os.environ, **cluster.environ}
    with (
        output.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
