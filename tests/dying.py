"""``python tests/dying.py ARGUMENTS``: the command line, which gets a signal at a moment that is counted, not timed.

The variable DYING says when, in JSON: ``phase`` and ``occurrence`` (the n-th time that it begins), ``calls`` (of
functions, from there), ``signal``, ``to`` (``self``, ``group``: all processes of the run, ``child``: one that it has
started) and ``rank``. With ``measure``, a file, it only writes how many calls each phase has.
"""

import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

PHASES = {
    "reading": "mtl_lightning.data.sources.files:FileSource.load",
    "encoding": "mtl_lightning.data.encoding:Encoding.__call__",
    "sanity check": "lightning.pytorch.trainer.trainer:Trainer._run_sanity_check",
    "step": "mtl_lightning.callbacks.last_checkpoint:LastCheckpoint.on_train_batch_start",
    "validation": "mtl_lightning.checkpoints.best:BestCheckpoint.on_validation_start",
    "checkpoint": "mtl_lightning.checkpoints.io:AtomicCheckpointIO.save_checkpoint",
    "evaluation": "lightning.pytorch.trainer.trainer:Trainer.validate",
    "closing": "mtl_lightning.cli.trainer:Trainer._report",
}
"""Where each phase begins; ``start-up`` is there from the beginning."""


class Moment:
    """Counts calls from where a phase begins."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self.wanted = wanted
        self.calls = 0
        self.begun: list[tuple[str, int]] = []

    def begins(self, phase: str) -> None:
        """Takes note that a phase begins."""
        self.begun.append((phase, self.calls))
        occurrence = sum(begun == phase for begun, _ in self.begun)
        if "measure" in self.wanted or (phase, occurrence) == (self.wanted.get("phase"), self.wanted.get("occurrence")):
            sys.setprofile(self.count)

    def count(self, frame: Any, event: str, argument: Any) -> None:
        """Counts a call."""
        if event not in ("call", "c_call"):
            return
        self.calls += 1
        if self.calls == self.wanted.get("calls"):
            sys.setprofile(None)
            self.act()

    def act(self) -> None:
        """Sends the signal."""
        number, to = self.wanted["signal"], self.wanted["to"]
        Path(self.wanted["mark"]).touch()
        if to == "group":
            from_outside(lambda: os.killpg(0, number))
        elif to == "self":
            os.kill(os.getpid(), number)
        else:
            os.kill(min(child.pid or 0 for child in multiprocessing.active_children()), number)

    def lengths(self) -> list[tuple[str, int, int]]:
        """Of each phase that was there: name, its occurrence, number of calls."""
        ends = [calls for _, calls in self.begun[1:]] + [self.calls]
        names = [phase for phase, _ in self.begun]
        return [(p, names[: i + 1].count(p), ends[i] - start) for i, (p, start) in enumerate(self.begun)]


def from_outside(act: Callable[[], object]) -> None:
    """Lets another process act: workers tell who has sent a signal."""
    if (child := os.fork()) == 0:
        act()
        os._exit(0)
    os.waitpid(child, 0)


def watch(moment: Moment, phase: str, place: str) -> None:
    """Lets a function tell that a phase begins."""
    module, _, path = place.partition(":")
    owner: Any = import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original: Callable[..., Any] = getattr(owner, name)

    @wraps(original)
    def told(*args: Any, **kwargs: Any) -> Any:
        moment.begins(phase)
        return original(*args, **kwargs)

    setattr(owner, name, told)


def main() -> int:
    """Runs the command."""
    wanted = json.loads(os.environ["DYING"])
    moment = Moment(wanted)
    if concerned := int(os.environ.get("LOCAL_RANK", "0")) == wanted.get("rank", 0):
        if wanted.get("phase") != "start-up":
            for phase, place in PHASES.items():
                watch(moment, phase, place)
        moment.begins("start-up")
    from mtl_lightning.__main__ import main as command

    status = command(sys.argv[1:])
    sys.setprofile(None)
    if concerned and "measure" in wanted:
        Path(wanted["measure"]).write_text(json.dumps(moment.lengths()))
    return status


if __name__ == "__main__":
    if "MASTER_PORT" not in os.environ or "RANK" in os.environ:  # no process that Lightning starts for another one
        os.setpgid(0, 0)
    sys.exit(main())
