"""One run, in a process of its own."""

import json
import multiprocessing
import os
import re
import shutil
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from mtl_lightning.compare.planning.names import wandb_group
from mtl_lightning.compare.running.records import (
    KEPT,
    RECORD,
    RESULT,
    SPENT,
    problem_of,
    read_object,
    read_result,
    read_seconds,
    write_result,
)
from mtl_lightning.compare.running.run.stopping import listening
from mtl_lightning.compare.running.store import FIT, LOCK, LOG, remove
from mtl_lightning.errors import UserError
from mtl_lightning.writing import write_whole, writing

SCORES = "scores.json"
_WAIT = 300.0  # seconds for a run of a comparison that was killed to notice and stop
_LOOK = 0.5  # seconds between two looks at what the first process of a job does


def execute(
    folder: str, threads: int, keep_checkpoints: bool, role: str, cores: Sequence[int] = (), wait: float = _WAIT
) -> None:
    """Fits and tests one run, and writes ``result.json``: ``status, message, seconds`` and what the run recorded.

    A run that is asked to stop keeps its checkpoints and resumes from them when it is executed again. In a job of
    SLURM, which stops it before its time limit, it also writes the status ``timeout``.

    Args:
        folder: With the run's config.
        threads: Of torch, on a CPU.
        keep_checkpoints: Whether the best checkpoint is kept.
        role: What the run is for; Weights & Biases calls it the job type.
        cores: To which the process keeps.
        wait: Seconds for another process that is at the same run to end it or stop; -1: however long it takes.
    """
    run_dir, job = Path(folder).resolve(), _job()
    start_processes_as_usual()
    with listening():
        _execute(run_dir, threads, keep_checkpoints, role, cores, wait, job)


def _execute(
    run_dir: Path, threads: int, keep_checkpoints: bool, role: str, cores: Sequence[int], wait: float, job: Any
) -> None:
    # Lightning starts the further processes of a run on several devices with the module that `__main__` seems to be.
    sys.modules["__main__"].__spec__ = find_spec("mtl_lightning.__main__")
    if cores:
        os.sched_setaffinity(0, cores)
    os.environ["WANDB_JOB_TYPE"] = role
    os.environ.setdefault("WANDB_RUN_GROUP", wandb_group(yaml.safe_load((run_dir / FIT).read_text("utf-8"))["name"]))
    if job is not None and job.global_rank:
        with output_to(run_dir / f"log-{job.global_rank}.txt"):
            _help(run_dir, threads, _started(run_dir, job))
        return
    with FileLock(run_dir / LOCK, timeout=wait), output_to(run_dir / LOG):
        if not _is_over(run_dir):
            if job is not None:
                _started(run_dir, job).touch()
            _run(run_dir, threads, keep_checkpoints, job)


def start_processes_as_usual() -> None:
    """Lets a process of :func:`.launchers.processes` start its own, such as those that load data, as any other does.

    ``multiprocessing`` hands its way of starting on to them: each of theirs would come from a further server, which
    imports everything again, and whatever they are given would have to be pickled.
    """
    multiprocessing.set_start_method(None, force=True)  # None: that of the platform


def _job() -> Any:
    """The job of submitit that this process was started by; None in a process of this machine's comparison."""
    if parent_process() is not None or "SUBMITIT_EXECUTOR" not in os.environ:
        return None
    import submitit

    return submitit.JobEnvironment()


def _started(run_dir: Path, job: Any) -> Path:
    """What the first process of a job leaves for the others, anew after each requeue."""
    return run_dir / f"started-{job.job_id}-{os.environ.get('SLURM_RESTART_COUNT', '0')}"


def _is_over(run_dir: Path) -> bool:
    result = read_result(run_dir / RESULT)
    return result is not None and result["status"] != "timeout"


def _help(run_dir: Path, threads: int, started: Path) -> None:
    """What the further processes of a job do, once the first one has begun: all but writing down what came of it."""
    while not (begun := started.exists()) and not _is_over(run_dir):
        time.sleep(_LOOK)
    if begun:
        _fit(run_dir, threads)


def _run(run_dir: Path, threads: int, keep_checkpoints: bool, job: Any) -> None:
    if not _goes_on(run_dir):
        shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)
        (run_dir / SPENT).unlink(missing_ok=True)
    started = time.time()
    try:
        started -= read_seconds(run_dir / SPENT)
        result = _outcome(run_dir, threads)
    except UserError as error:
        result = {"status": "failed", "message": str(error)}
    except SystemExit:  # it was asked to stop, and has a checkpoint to resume from
        write_whole(run_dir / SPENT, json.dumps(time.time() - started))
        if job is None:
            raise
        message = f"job {job.job_id} was stopped, at its time limit or by SLURM; the same command resumes it"
        result = {"status": "timeout", "message": message}
    result["seconds"] = max(0.0, time.time() - started)
    if problem := problem_of(result):
        kept = {"status": "failed", "message": f"what it came to is no result: {problem}"}
        result = {**kept, "seconds": result["seconds"]}
    write_result(run_dir / RESULT, result)
    if result["status"] != "timeout":
        _clean(run_dir, keep_checkpoints)


def _outcome(run_dir: Path, threads: int) -> dict[str, Any]:
    code, raised = 1, ""
    try:
        code = _fit(run_dir, threads)
    except Exception as error:
        traceback.print_exc()
        raised = f"{type(error).__name__}: {error}"
    if code > 2:
        sys.exit(code)
    record, scores = (read_object(run_dir / name) for name in (RECORD, SCORES))
    asked = scores.pop("by_preference", None)
    if code == 0 and scores == {"average": None}:
        return {
            **record,
            "status": "failed",
            "message": "it has no scores: no task is labelled in what it is scored on",
        }
    if code == 0 and scores:
        broken = scores.get("average") is None
        what = {"status": "diverged", "message": "its scores are not finite"} if broken else {"status": "finished"}
        return {"message": "", **record, "scores": scores, **what, **({"by_preference": asked} if asked else {})}
    if code == 0:
        return {**record, "status": "failed", "message": f"it chose no checkpoint by validation; see {run_dir / LOG}"}
    status = record.get("status") if record.get("status") in KEPT[1:] else "failed"
    return {**record, "status": status, "message": record.get("message") or raised or _last_error(run_dir / LOG)}


def _fit(run_dir: Path, threads: int) -> int:
    import torch

    from mtl_lightning.cli.command import run

    torch.set_num_threads(threads)
    arguments = ["fit", "--config", str(run_dir / FIT), "--trainer.default_root_dir", str(run_dir), "--requeue=never"]
    arguments += ["--json", str(run_dir / SCORES)] + (["--ckpt_path", str(run_dir)] if _goes_on(run_dir) else [])
    return run(arguments)


def _goes_on(run_dir: Path) -> bool:
    return (run_dir / "checkpoints" / "last.ckpt").exists()


def _last_error(log: Path) -> str:
    lines = re.findall(r"^error: (.*)$", log.read_text("utf-8", errors="replace"), re.MULTILINE)
    return lines[-1] if lines else f"see {log}"


def _clean(run_dir: Path, keep_checkpoints: bool) -> None:
    """Removes what nobody needs any more; the last good parameters of a run that diverged are in its message."""
    for path in (run_dir / "checkpoints").glob("*"):
        if path.name == "last.ckpt" or not (keep_checkpoints or path.name == "not_finite.ckpt"):
            remove(path)
    with suppress(OSError):  # something is in it, or it was never there
        (run_dir / "checkpoints").rmdir()


@contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Sends all that the process prints to a file."""
    with writing(log):
        file = log.open("a", buffering=1, encoding="utf-8")
    with file:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        yield
        sys.stdout.flush()
        sys.stderr.flush()
