"""What is done to a run."""

from dataclasses import dataclass

DISK = "$FAULTS_DISK"
"""The file system of the run's folder, to a shell."""

_FULL = f"cat /dev/zero > {DISK}/filler 2> /dev/null; true"
_READ_ONLY = f"mount --bind {DISK} {DISK} && mount -o remount,ro,bind {DISK}"
_SERVICE = (
    "for p in $(cat /proc/$PPID/task/*/children); do grep -q [w]andb-core /proc/$p/cmdline && kill -9 $p; done; true"
)


@dataclass(frozen=True)
class Fault:
    """One of them.

    Attributes:
        name: For the table.
        place: Key of ``PLACES`` in ``tests/distributed/failing.py``, where it comes.
        rank: Of the process.
        call: Of that place, from 1.
        how: See ``tests/distributed/failing.py``.
        options: Of ``fit``, beside those of all.
        goes_on: Whether the run is to go on as if nothing had been.
        on_disk: Whether the run's folder is on a small file system of its own.
    """

    name: str
    place: str
    rank: int
    call: int
    how: str = "kill"
    options: tuple[str, ...] = ()
    goes_on: bool = False
    on_disk: bool = False


KILLS = [
    Fault("killed in the forward pass", "convolution", 1, 12),
    Fault("killed in the backward pass", "backward", 1, 10),
    Fault("killed in a reduction", "reduction", 1, 20),
    Fault("killed while it writes a checkpoint", "synchronising", 0, 5),
    Fault("killed in validation", "validation", 1, 3),
    Fault("the first process is killed", "convolution", 0, 12),
]
"""A process is killed by SIGKILL; tried with each way of starting."""

ERRORS = [
    Fault("an error in the forward pass", "convolution", 1, 12, "raise"),
    Fault("a process is stopped (SIGSTOP)", "convolution", 1, 12, "stop", ("--rank_timeout=30",)),
    Fault("a data-loading worker is killed", "worker", 1, 5, options=("--data.num_workers=1",)),
    Fault("the disk is full", "writing", 0, 4, _FULL, on_disk=True),
    Fault("the folder becomes read-only", "writing", 0, 4, _READ_ONLY, on_disk=True),
    Fault("the service of W&B is killed", "convolution", 0, 5, _SERVICE, ("--wandb=offline",), goes_on=True),
]
"""All else; tried with processes that the command starts itself."""
