"""One run, in a process of its own."""

import json
import os
import re
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

from filelock import FileLock

from mtl_lightning.compare.store import FIT, KEPT, LOG, RECORD, RESULT, read_json, write_text

SCORES = "scores.json"
_WAIT = 300.0  # seconds for a run of a comparison that was killed to notice and stop


def execute(
    folder: str, threads: int, keep_checkpoints: bool, role: str, cores: Sequence[int] = (), wait: float = _WAIT
) -> None:
    """Fits and tests one run, and writes ``result.json``: ``status, message, seconds`` and what the run recorded.

    Args:
        folder: With the run's config.
        threads: Of torch, on a CPU.
        keep_checkpoints: Whether the best checkpoint is kept.
        role: What the run is for; Weights & Biases calls it the job type.
        cores: To which the process keeps.
        wait: Seconds for another process that is at the same run to end it or stop; -1: however long it takes.
    """
    run_dir = Path(folder).resolve()
    _follow_parent()
    if cores:
        os.sched_setaffinity(0, cores)
    os.environ["WANDB_JOB_TYPE"] = role
    if rank := int(os.environ.get("SLURM_PROCID", 0)):
        with output_to(run_dir / f"log-{rank}.txt"):
            _help(run_dir, threads)
        return
    with FileLock(run_dir / ".lock", timeout=wait), output_to(run_dir / LOG):
        if not (run_dir / RESULT).exists():
            started = time.time()
            result = _outcome(run_dir, threads)
            result["seconds"] = time.time() - started
            write_text(run_dir / RESULT, json.dumps(result, indent=1))
            _clean(run_dir, keep_checkpoints)


def _help(run_dir: Path, threads: int) -> None:
    """What the further processes of a run on several devices do: all but writing down what came of it."""
    if not (run_dir / RESULT).exists():
        _fit(run_dir, threads)


def _outcome(run_dir: Path, threads: int) -> dict[str, Any]:
    code, raised = 1, ""
    try:
        code = _fit(run_dir, threads)
    except Exception as error:
        traceback.print_exc()
        raised = f"{type(error).__name__}: {error}"
    record = read_json(run_dir / RECORD) or {}
    scores = read_json(run_dir / SCORES)
    if code > 2:
        sys.exit(code)  # it was asked to stop, and has a checkpoint to go on from
    if code == 0 and scores is not None:
        broken = scores["average"] is None
        what = {"status": "diverged", "message": "its scores are not finite"} if broken else {"status": "finished"}
        return {"message": "", **record, "scores": scores, **what}
    if code == 0:
        return {**record, "status": "failed", "message": f"it chose no checkpoint by validation; see {run_dir / LOG}"}
    status = record.get("status") if record.get("status") in KEPT[1:] else "failed"
    return {**record, "status": status, "message": record.get("message") or raised or _last_error(run_dir / LOG)}


def _fit(run_dir: Path, threads: int) -> int:
    import torch

    from mtl_lightning.cli import run

    torch.set_num_threads(threads)
    goes_on = (run_dir / "checkpoints" / "last.ckpt").exists()
    if not goes_on:
        shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)
    arguments = ["fit", "--config", str(run_dir / FIT), "--trainer.default_root_dir", str(run_dir)]
    arguments += ["--json", str(run_dir / SCORES)] + (["--ckpt_path", str(run_dir)] if goes_on else [])
    return run(arguments)


def _last_error(log: Path) -> str:
    lines = re.findall(r"^error: (.*)$", log.read_text("utf-8", errors="replace"), re.MULTILINE)
    return lines[-1] if lines else f"see {log}"


def _clean(run_dir: Path, keep_checkpoints: bool) -> None:
    if not keep_checkpoints:
        shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)
    else:
        (run_dir / "checkpoints" / "last.ckpt").unlink(missing_ok=True)


@contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Sends all that the process prints to a file."""
    with log.open("a", buffering=1, encoding="utf-8") as file:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        yield
        sys.stdout.flush()
        sys.stderr.flush()


def _follow_parent() -> None:
    """Stops the run, with a checkpoint, when the comparison's own process dies."""
    parent = parent_process()
    if parent is not None:

        def watch() -> None:
            connection.wait([parent.sentinel])
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=watch, daemon=True).start()
