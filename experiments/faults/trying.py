"""Tries a fault: what is said, what is kept, and whether the run resumes as if it had not been."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from experiments.faults.faults import Fault
from experiments.faults.starting import Output, start, train

_SAME = ("state_dict", "optimizer_states", "lr_schedulers", "global_step")
_OURS = re.compile(
    r"(?:\d: )?(?:\[rank\d\]: )?"
    r"((?:error|warning): .*|\w+(?:Error|Exception): .*|WARNING.*|Weights & Biases.*|Stopped by .*)"
)
_OF_TORCHRUN = re.compile(r"  traceback : (Signal .*)")


@dataclass(frozen=True)
class Found:
    """What a fault has led to.

    Attributes:
        fault: Its name.
        starter: How the run was started.
        said: The last line of the run itself that says what is wrong; what has started it may print more.
        status: Exit status.
        seconds: From the fault to the end of all processes; null: the command was refused.
        left: Number of processes that did not end in five minutes.
        kept: Step of the checkpoint that is left; null: there is none.
        resumed: Whether the run has come to the same parameters and optimizer, to the last bit, in the end.
    """

    fault: str
    starter: str
    said: str
    status: int
    seconds: float | None
    left: int
    kept: int | None
    resumed: bool


def found(name: str, starter: str, output: Output, begun: float | None, kept: Any, resumed: bool) -> Found:
    """What a command has come to that was not to succeed.

    Args:
        name: Of the fault.
        starter: How it was started.
        output: Of the command.
        begun: When the fault came; null: before the command was started.
        kept: The checkpoint that is left.
        resumed: See :class:`Found`.
    """
    step = None if kept is None else kept["global_step"]
    seconds = None if begun is None else round(output.ended - begun, 1)
    return Found(name, starter, said(output.text), output.status, seconds, output.left, step, resumed)


def said(text: str) -> str:
    """The last line of what was printed in which the run says what is wrong; else the last one of ``torchrun``."""
    lines = text.splitlines()
    for pattern in (_OURS, _OF_TORCHRUN):
        if matching := [line[1] for line in map(pattern.match, lines) if line]:
            return matching[-1].strip()
    return "nothing"


def whole(folder: Path) -> Any:
    """What a run comes to that nothing happens to."""
    train(["--trainer.default_root_dir=whole"], folder, "whole.txt")
    if (found := last(folder / "whole")) is None:
        raise SystemExit(f"error: the run that nothing happens to has failed: {folder}/whole.txt says why")
    return found


def attempt(fault: Fault, starter: str, folder: Path, expected: Any) -> Found:
    """Tries a fault in an empty folder.

    Args:
        fault: What happens.
        starter: Key of ``STARTERS``.
        folder: Where; what was printed stays there.
        expected: See :func:`whole`.
    """
    mark, disk = folder / "mark", folder / "disk"
    disk.mkdir(parents=True)
    how = {"place": fault.place, "rank": fault.rank, "call": fault.call, "how": fault.how, "mark": str(mark)}
    os.environ["FAULTS_DISK"] = str(disk)
    with _mounted(disk, fault.on_disk):
        options = ["--wandb=off", *fault.options, f"--trainer.default_root_dir={disk}"]
        output = start(starter, options, folder, "fault", json.dumps(how)).finish()
        shutil.copytree(disk / "checkpoints", folder / "run/checkpoints")
    assert mark.exists(), f"{fault.name} has not come: {output.text[-2000:]}"
    kept = end = last(folder / "run")
    if not fault.goes_on:
        train(["--ckpt_path=run", "--trainer.default_root_dir=run"], folder, "resumed.txt")
        end = last(folder / "run")
    return found(fault.name, starter, output, mark.stat().st_mtime, kept, same(end, expected))


def last(run: Path) -> Any:
    """The last checkpoint of a run; null: there is none."""
    file = run / "checkpoints/last.ckpt"
    return torch.load(file, weights_only=True) if file.exists() else None


def same(one: Any, other: Any) -> bool:
    """Whether two checkpoints hold the same state, to the last bit."""
    return one is not None and all(_equal(one[part], other[part]) for part in _SAME)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


@contextmanager
def _mounted(disk: Path, wanted: bool) -> Iterator[None]:
    """A file system of 64 MB, if it is wanted; whatever is mounted there in the end is taken away."""
    if wanted:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "faults", disk], check=True)
    try:
        yield
    finally:
        while disk.is_mount():
            subprocess.run(["umount", "--lazy", disk], check=True)
