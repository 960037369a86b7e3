"""``python failing.py ARGUMENTS``: the command line, of which one process fails at a chosen place.

The variable FAILING says how, in JSON: ``place``, ``rank``, ``how`` (``raise``, ``kill``, ``stop``: SIGSTOP, ``loop``)
and ``call``, of the place, from 1.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

PLACES = {
    "forward": "mtl_lightning.encoders:PerceptronEncoder.forward",
    "backward": "mtl_lightning.training.module:MultiTaskModule.backward",
    "reduction": "mtl_lightning.backward.processes:Sums.start",
    "saving": "mtl_lightning.callbacks.last_checkpoint:LastCheckpoint.on_save_checkpoint",
    "writing": "mtl_lightning.checkpoints.io:AtomicCheckpointIO.save_checkpoint",
    "validation": "mtl_lightning.training.evaluating:EvaluatedModule.validation_step",
    "worker": "mtl_lightning.data.collation:StepDataset.__getitem__",
}


def fail(how: str) -> None:
    """What becomes of the process."""
    if how == "raise":
        raise LookupError("this cannot be computed")
    if how == "loop":
        while True:
            sum(range(1000))
    os.kill(os.getpid(), signal.SIGSTOP if how == "stop" else signal.SIGKILL)


def break_place(place: str, call: int, how: str) -> None:
    """Lets a function fail when it is called the n-th time."""
    module, _, path = PLACES[place].partition(":")
    owner: Any = import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    @wraps(original)
    def broken(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            fail(how)
        return original(*args, **kwargs)

    setattr(owner, name, broken)


def main() -> int:
    """Runs the command."""
    wanted = json.loads(os.environ["FAILING"])
    from mtl_lightning.__main__ import main as command

    if int(os.environ.get("LOCAL_RANK", "0")) == wanted["rank"]:
        break_place(wanted["place"], wanted["call"], wanted["how"])
    return command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
