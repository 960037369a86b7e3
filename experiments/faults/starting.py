"""How runs of two processes are started, and what a run is."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import mtl_lightning.cli.command  # noqa: F401 - what takes time
from mtl_lightning.__main__ import main

ROOT = Path(__file__).parents[2]
_FAILING = str(ROOT / "tests/distributed/failing.py")
_SLURM = ROOT / "tests/slurm/private_slurm.py"
_PATIENCE = 300
_OPTIONS = (
    *("fit", "--trainer.accelerator=cpu", "--trainer.max_epochs=3", "--trainer.num_sanity_val_steps=0"),
    *("--data.datasets.digits.train=96", "--data.datasets.digits.val=32", "--data.datasets.digits.test=32"),
    *("--data.batch_size=8", "--data.num_workers=0", "--evaluate=none", "--model.weighting=UPGrad"),
    *("--trainer.enable_progress_bar=false", "--trainer.log_every_n_steps=1", "--save_every_n_steps=2"),
)
"""18 steps on two processes, a validation after every sixth, a checkpoint after every second."""

DEVICES, TORCHRUN, SRUN = "`--trainer.devices 2`", "`torchrun`", "`srun`"
_TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
_SRUN = ("srun", "--nodes=2", "--ntasks-per-node=1", "--wait=0", "--kill-on-bad-exit=0", sys.executable)
STARTERS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    DEVICES: ((sys.executable,), ("--trainer.devices=2",)),
    TORCHRUN: (_TORCHRUN, ()),
    SRUN: (_SRUN, ()),
}
"""By name: what comes before the program, and after its options."""


@dataclass(frozen=True)
class Output:
    """What a command has left.

    Attributes:
        status: Its exit status.
        text: What it has printed.
        ended: When its last process has, as :func:`time.time` has it.
        left: Number of its processes that had to be killed.
    """

    status: int
    text: str
    ended: float
    left: int


class Run:
    """A command that runs, with all processes that it has started.

    Args:
        line: To start.
        folder: Where.
        name: Of the file there that keeps what it prints.
        fault: What happens to it, for ``tests/distributed/failing.py``.
    """

    def __init__(self, line: Sequence[str], folder: Path, name: str, fault: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._mark, self._file = f"{folder}/{name}", folder / f"{name}.txt"
        own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "FAILING": fault, "FAULTS_RUN": self._mark}
        with self._file.open("w") as output:
            self._process = subprocess.Popen(
                line,
                cwd=folder,
                env={"WANDB_MODE": "offline", **os.environ, **own},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def is_running(self) -> bool:
        """Whether the command has not ended."""
        return self._process.poll() is None

    def processes(self) -> list[int]:
        """Numbers of all its processes but that of the starter."""
        mark = f"FAULTS_RUN={self._mark}\0".encode()
        found = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if mark in _environment(path)]
        return [pid for pid in found if pid != self._process.pid or b"failing" in _line(pid)]

    def finish(self) -> Output:
        """Waits for the end of all; kills what is still there five minutes later."""
        limit = time.time() + _PATIENCE
        while (self.is_running() or self.processes()) and time.time() < limit:
            time.sleep(0.05)
        ended, left = time.time(), self.processes()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        if self.is_running():
            self._process.kill()
        return Output(self._process.wait(), self._file.read_text(errors="replace"), ended, len(left))


def start(starter: str, options: Sequence[str], folder: Path, name: str, fault: str = "") -> Run:
    """Starts a run of two processes.

    Args:
        starter: Key of STARTERS.
        options: Of ``fit``, beside those of all.
        folder: Where.
        name: Of the file there that keeps what it prints.
        fault: What happens to it, for ``tests/distributed/failing.py``; by default nothing.
    """
    before, after = STARTERS[starter]
    return Run([*before, _FAILING, *_OPTIONS, *options, *after], folder, name, fault)


def train(options: Sequence[str], folder: Path, output: str) -> None:
    """Trains undisturbed in two processes that fork from this one, which has imported all that takes time."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    arguments = [*_OPTIONS, "--wandb=off", "--trainer.devices=2", *options]
    ranks = [os.fork() or _child(rank, port, arguments, folder, output) for rank in range(2)]
    for pid in ranks:
        os.waitpid(pid, 0)


def _child(rank: int, port: str, arguments: Sequence[str], folder: Path, output: str) -> NoReturn:
    os.chdir(folder)
    file = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "NODE_RANK": 0, "MASTER_PORT": port}
    os.environ |= {"MASTER_ADDR": "localhost", **{name: str(value) for name, value in numbers.items()}}
    sys.argv = ["mtl-lightning", *arguments]
    try:
        main(arguments)
    finally:
        os._exit(0)


@contextmanager
def slurm() -> Iterator[None]:
    """A private SLURM with two virtual nodes, of the project's tests; needs root, ``slurm-wlm`` and ``munge``."""
    with TemporaryDirectory(prefix="mtl-slurm-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        line = [sys.executable, str(_SLURM), folder, str(os.getpid())]
        keeper = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        assert keeper.stdout is not None
        if keeper.stdout.readline().strip() != "ready":
            raise SystemExit("the private SLURM does not start: leave out `--starter srun`")
        os.environ["SLURM_CONF"] = f"{folder}/slurm.conf"
        try:
            yield
        finally:
            keeper.terminate()
            keeper.wait()


def _environment(path: Path) -> bytes:
    try:
        return path.read_bytes() + b"\0"
    except OSError:
        return b""


def _line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
