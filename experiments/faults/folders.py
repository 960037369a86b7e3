"""Faults of a run's folder: two runs in one, what a kill has left, a checkpoint cut in half."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments.faults.starting import Run, start, train
from experiments.faults.trying import Found, found, last, same

_PATIENCE = 300
_RUN = ["--wandb=off", "--trainer.default_root_dir=run"]


def _two_runs(name: str, starter: str, folder: Path, expected: Any) -> Found:
    """A second run of two processes in the folder of one that trains, and goes on to train."""
    first = _begun(starter, folder, "--trainer.max_epochs=10000")
    second = start(starter, _RUN, folder, "fault").finish()
    before = last(folder / "run")["global_step"]
    _until(lambda: last(folder / "run")["global_step"] > before, first)
    goes_on = first.is_running()
    _kill(first)
    return found(name, starter, second, None, last(folder / "run"), goes_on)


def _all_killed(name: str, starter: str, folder: Path, expected: Any) -> Found:
    """All processes are killed at once, as by a machine that goes down: what locks the folder is left."""
    run = _begun(starter, folder)
    begun = time.time()
    killed = _kill(run)
    kept = last(folder / "run")
    train(["--ckpt_path=run", "--trainer.default_root_dir=run"], folder, "resumed.txt")
    return found(name, starter, killed, begun, kept, same(last(folder / "run"), expected))


def _cut(name: str, starter: str, folder: Path, expected: Any) -> Found:
    """The checkpoint to resume from is cut in half; the best one of the run is whole."""
    train(["--trainer.default_root_dir=run"], folder, "begun.txt")
    checkpoints = folder / "run/checkpoints"
    os.truncate(checkpoints / "last.ckpt", (checkpoints / "last.ckpt").stat().st_size // 2)
    refused = start(starter, [*_RUN, "--ckpt_path=run"], folder, "fault").finish()
    (checkpoints / "last.ckpt").unlink()
    (checkpoints / "best.ckpt").rename(checkpoints / "last.ckpt")
    kept = last(folder / "run")
    train(["--ckpt_path=run", "--trainer.default_root_dir=run"], folder, "resumed.txt")
    return found(name, starter, refused, None, kept, same(last(folder / "run"), expected))


def _begun(starter: str, folder: Path, *options: str) -> Run:
    """A run that has written its first checkpoint."""
    run = start(starter, [*_RUN, *options], folder, "first")
    _until(lambda: (folder / "run/checkpoints/last.ckpt").exists(), run)
    return run


def _kill(run: Run) -> Any:
    for pid in run.processes():
        os.kill(pid, signal.SIGKILL)
    return run.finish()


def _until(condition: Callable[[], bool], run: Run) -> None:
    limit = time.monotonic() + _PATIENCE
    while not condition() and run.is_running() and time.monotonic() < limit:
        time.sleep(0.05)


FOLDERS: Mapping[str, Callable[[str, str, Path, Any], Found]] = {
    "a second run in the same folder": _two_runs,
    "all processes are killed at once": _all_killed,
    "`last.ckpt` is cut in half": _cut,
}
"""By name."""
