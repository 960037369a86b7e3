"""What is said of processes that have died."""

import re
import signal

from mtl_lightning.errors import led_to
from mtl_lightning.stopping.watch import name_of

_WORKER = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed by signal: (\w[^.]*)|exited unexpectedly)"
)
_ENCODER = "One of the subprocesses has abruptly died during map"
_PEER = re.compile(
    r"(?:closed|reset) by peer|remote process exited|Broken pipe.*gloo|Socket closed|Timed out waiting \d+ms for",
    re.IGNORECASE,
)
_ABSENT = re.compile(r"clients joined|wait timeout after \d+ms, keys|client socket has (?:timed out|failed)")


class ProcessDiedError(RuntimeError):
    """A process has died without which a command cannot be finished; the message says which, and of what."""


class PeerFailedError(ProcessDiedError):
    """Another process of this run has failed, and says itself why: what this one meets is a consequence.

    Args:
        message: Which process, and of what.
        said: Whether the user is told already, so that nothing is to be said here.
    """

    def __init__(self, message: str, said: bool) -> None:
        super().__init__(message)
        self.said = said


def of_what(status: int) -> str:
    """What a process has come to.

    Args:
        status: Its exit status; negative: the signal that killed it.
    """
    if status >= 0:
        return f"ended with status {status}"
    memory = ", as the system does when memory runs out" if status == -signal.SIGKILL else ""
    return f"was killed by {name_of(-status)}{memory}"


def death(error: BaseException) -> str | None:
    """Which process has died, and of what, if that is what an error or one that led to it means; else null."""
    found = list(led_to(error))
    known = [str(each) for each in found if isinstance(each, ProcessDiedError)]
    return next(filter(None, [*known, *map(_death, found)]), None)


def peer_failure(error: BaseException) -> PeerFailedError | None:
    """What another process of this run has said of its failure, if an error is a consequence of that; else null."""
    return next((each for each in led_to(error) if isinstance(each, PeerFailedError)), None)


def peer_is_gone(error: BaseException) -> bool:
    """Whether an error means that another process of this run is gone, or does not answer."""
    return any(isinstance(each, RuntimeError | OSError) and _PEER.search(str(each)) for each in led_to(error))


def _death(error: BaseException) -> str | None:
    text = str(error)
    if not isinstance(error, RuntimeError | OSError):
        return None
    if worker := _WORKER.search(text):
        how = f"was killed ({worker[2].strip()})" if worker[2] else "ended unexpectedly"
        memory = "; memory may have run out" if worker[2] in ("Killed", None) else ""
        return f"a worker that loads data (process {worker[1].strip()}) {how}{memory}"
    if _ENCODER in text:
        return "a process that encodes data has died; memory may have run out"
    if _ABSENT.search(text):
        return "another process of this run has met the others and not joined them in time; what it printed says why"
    return "another process of this run has died; what it printed says why" if _PEER.search(text) else None
