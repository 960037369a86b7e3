"""``python failing.py ARGUMENTS``: the command line, of which one process fails at a chosen place.

The variable FAILING says how, in JSON: ``place``, ``rank``, ``how`` (``raise``, ``kill``, ``stop``: SIGSTOP, ``loop``,
or a command for a shell, after which the process goes on), ``call``, of the place, from 1, and ``mark``, a file that is
made then. Empty: none does.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

PLACES = {
    "forward": "mtl_lightning.encoders:PerceptronEncoder.forward",
    "convolution": "mtl_lightning.encoders:ConvolutionalEncoder.forward",
    "backward": "mtl_lightning.training.module:MultiTaskModule.backward",
    "reduction": "mtl_lightning.backward.processes:Sums.start",
    "saving": "mtl_lightning.callbacks.last_checkpoint:LastCheckpoint.on_save_checkpoint",
    "writing": "mtl_lightning.checkpoints.io:AtomicCheckpointIO.save_checkpoint",
    "synchronising": "mtl_lightning.writing:synchronise",
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
    if how in ("stop", "kill"):
        os.kill(os.getpid(), signal.SIGSTOP if how == "stop" else signal.SIGKILL)
    subprocess.run(how, shell=True, check=True)


def break_place(place: str, call: int, how: str, mark: str | None) -> None:
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
            if mark is not None:
                Path(mark).touch()
            fail(how)
        return original(*args, **kwargs)

    setattr(owner, name, broken)


def main() -> int:
    """Runs the command."""
    wanted = json.loads(os.environ["FAILING"] or "null")
    from mtl_lightning.__main__ import main as command

    rank = os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_PROCID") or "0"
    if wanted is not None and int(rank) == wanted["rank"]:
        break_place(wanted["place"], wanted["call"], wanted["how"], wanted.get("mark"))
    return command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
