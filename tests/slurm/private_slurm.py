"""A SLURM of the tests' own: a controller and two virtual nodes on loopback, which end with the process they serve.

``python private_slurm.py FOLDER PID`` starts it, prints one line, and takes it down when the process PID is gone.
"""

import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NODES = ("mtlnode0", "mtlnode1")
"""Names that Lightning's rendezvous looks up; :func:`_named` adds them to ``/etc/hosts``."""

CPUS = 4
"""Per node, whatever the machine has."""

GPUS = 4
"""Per node, by SLURM's count; there are none."""

_HOSTS = Path("/etc/hosts")
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo")
_READY = "ready"
_PATIENCE = 60.0  # seconds


def missing() -> str | None:
    """Why there can be no SLURM here; None where there can."""
    if sys.platform != "linux":
        return "a private SLURM needs Linux"
    if os.geteuid() != 0:
        return "a private SLURM needs root, which starts jobs"
    if lacking := [name for name in _PROGRAMS if shutil.which(name, path=_path()) is None]:
        return f"no {', '.join(lacking)}: apt-get install slurm-wlm munge"
    return None if os.access(_HOSTS, os.W_OK) else f"{_HOSTS} cannot be written: the nodes need names"


def start(serving: int) -> Path:
    """Starts one that lives as long as the process ``serving``; returns its ``slurm.conf``."""
    folder = Path(tempfile.mkdtemp(prefix="mtl-slurm-", dir="/tmp"))  # a socket's path is at most 107 characters
    with tempfile.TemporaryFile("w+") as errors:
        keeper = subprocess.Popen(
            [sys.executable, "-S", __file__, str(folder), str(serving)],
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
        assert keeper.stdout is not None
        with keeper.stdout as answer:
            if answer.readline().strip() != _READY:
                keeper.wait()
                errors.seek(0)
                raise RuntimeError(f"the private SLURM does not start:\n{errors.read()}")
    keeper.returncode = 0  # left to itself: no warning that it still runs
    return folder / "slurm.conf"


def _keep(folder: Path, serving: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    os.environ["PATH"] = _path()
    process = os.pidfd_open(serving)
    try:
        _bring_up(folder)
        print(_READY, flush=True)
        select.select([process], [], [])
    finally:
        _take_down(folder)


def _bring_up(folder: Path) -> None:
    run, log = folder / "run", folder / "log"
    for place in (run, log, folder / "state", *(folder / "spool" / node for node in NODES)):
        place.mkdir(parents=True)
    _named(_hostname(), *NODES)
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    for gpu in range(GPUS):
        (folder / f"gpu{gpu}").touch()  # counted and handed out, like the real ones
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-{GPUS - 1}]\n")
    (folder / "slurm.conf").write_text(_configuration(folder))
    files = {"socket": run / "munge.sock", "pid-file": run / "munged.pid", "log-file": log / "munged.log"}
    files |= {"seed-file": run / "munged.seed", "key-file": folder / "munge.key"}
    _daemon("munged", "--force", *(f"--{name}={file}" for name, file in files.items()))  # /tmp is everybody's
    _daemon("slurmctld", "-c")
    for node in NODES:
        _daemon("slurmd", "-N", node)
    _until(lambda: _states() == {"idle"}, "nodes that are idle")


def _take_down(folder: Path) -> None:
    for pid in _left(folder):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        subprocess.run(["scancel", "--signal=KILL", "--user=root", "--full"], capture_output=True, timeout=_PATIENCE)
        subprocess.run(["scancel", "--user=root"], capture_output=True, timeout=_PATIENCE)
        break
    for pid in _left(folder):
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            continue
    time.sleep(1)  # they write into the folder until they end
    shutil.rmtree(folder, ignore_errors=True)


def _left(folder: Path) -> list[int]:
    names = [*(f"slurmd.{node}" for node in NODES), "slurmctld", "munged"]
    files = [folder / "run" / f"{name}.pid" for name in names]
    return [int(file.read_text()) for file in files if file.exists() and file.read_text().strip()]


def _configuration(folder: Path) -> str:
    ports = _free_ports(1 + len(NODES))
    host = _hostname()
    lines = _SETTINGS.format(folder=folder, host=host, port=ports[0])
    for node, port in zip(NODES, ports[1:], strict=True):
        at = f"NodeHostname={host} NodeAddr=127.0.0.1 Port={port}"
        lines += f"NodeName={node} {at} CPUs={CPUS} RealMemory=8000 Gres=gpu:{GPUS} State=UNKNOWN\n"
    return lines + "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO\n"


_SETTINGS = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.sock,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort={port}
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
GresTypes=gpu
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=100000,bf_interval=1,sched_interval=1,batch_sched_delay=0,requeue_delay=1
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
JobRequeue=1
MinJobAge=3600
KillWait=5
SlurmctldTimeout=30
SlurmdTimeout=60
InactiveLimit=0
PropagateResourceLimits=NONE
"""
# cred_expire: a job that is requeued waits for its old credential to expire, two minutes by default.


def _free_ports(number: int) -> list[int]:
    """Ports below those that the system hands out, so that no connection takes one before it is used."""
    ports: list[int] = []
    while len(ports) < number:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if port not in ports and probe.connect_ex(("127.0.0.1", port)) != 0:
                ports.append(port)
    return ports


def _hostname() -> str:
    return socket.gethostname().split(".")[0]


def _named(*names: str) -> None:
    for name in names:
        try:
            socket.gethostbyname(name)
        except OSError:
            with _HOSTS.open("a") as hosts:
                hosts.write(f"127.0.0.1 {name}\n")


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _daemon(*line: str) -> None:
    subprocess.run(line, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=True, timeout=_PATIENCE)


def _states() -> set[str]:
    line = ["sinfo", "-h", "-o", "%t"]
    return set(subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True, timeout=_PATIENCE).stdout.split())


def _until(holds, what: str) -> None:
    limit = time.monotonic() + _PATIENCE
    while not holds():
        if time.monotonic() > limit:
            raise TimeoutError(f"waited {_PATIENCE:g} seconds for {what}")
        time.sleep(0.05)


if __name__ == "__main__":
    _keep(Path(sys.argv[1]), int(sys.argv[2]))
