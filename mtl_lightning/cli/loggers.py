"""Where a run is logged: Weights & Biases, a CSV file, TensorBoard."""

import netrc
import os
from contextlib import suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from mtl_lightning.checkpoints.contents import wandb_id_in
from mtl_lightning.cli.auto_resume import is_requeued
from mtl_lightning.cli.run_log import RunLog
from mtl_lightning.errors import UserError
from mtl_lightning.names import checked_name
from mtl_lightning.terminal import quoted_path
from mtl_lightning.writing import writing


def default_loggers(
    run_dir: Path, name: str, project: str, wandb_mode: str, tensorboard: bool, checkpoint: str | None = None
) -> list[Logger]:
    """The loggers of a run; the first one is the CSV file, whose folder is the run's.

    Args:
        run_dir: Folder of the run.
        name: Of the run.
        project: In Weights & Biases.
        wandb_mode: ``auto``, ``online``, ``offline`` or ``off``; the variable ``WANDB_MODE`` goes before ``auto``.
            Variables such as ``WANDB_NAME``, ``WANDB_RUN_GROUP`` and ``WANDB_TAGS`` go before what is chosen here.
        tensorboard: Whether to also log to TensorBoard.
        checkpoint: That the run is resumed from: then it stays one run in Weights & Biases, unless the user has it
            resumed in another folder.
    """
    loggers: list[Logger] = [csv_logger(run_dir)]
    wandb_mode = chosen_mode(wandb_mode)
    if wandb_mode != "off":
        _check_project(project)
        offline = wandb_mode == "offline"
        with writing(run_dir):
            run_dir.mkdir(parents=True, exist_ok=True)
        if os.environ.get("WANDB_DIR"):
            rank_zero_info("WANDB_DIR has no effect: what Weights & Biases writes is in the run's folder")
        folder = run_dir.resolve()  # wandb's service takes relative paths to be relative to where it was started
        run_id = None if checkpoint is None else wandb_id(run_dir) or _id_in(Path(checkpoint), run_dir)
        logger = WandbLogger(
            name=os.environ.get("WANDB_NAME") or f"{name}-{run_dir.name}",
            group=os.environ.get("WANDB_RUN_GROUP") or name,
            job_type=os.environ.get("WANDB_JOB_TYPE") or "fit",
            project=project,
            save_dir=folder,
            offline=offline,
            id=os.environ.get("WANDB_RUN_ID") or run_id,
        )
        logger._wandb_init.pop("anonymous")  # wandb warns of it, which Lightning alone could fix
        loggers.append(logger)
    if tensorboard:
        if find_spec("tensorboard") is None:
            raise UserError("`tensorboard` is not installed: pip install 'mtl-lightning[tensorboard]'")
        loggers.append(TensorBoardLogger(run_dir, name="", version="tensorboard"))
    return loggers


def _check_project(project: str) -> None:
    if found := sorted(set(checked_name("project", project)) & set("/\\#?%:")):
        raise UserError(
            f"project: '{project}' has {found[0]!r}, which Weights & Biases allows in no name; leave it out"
        )


def chosen_mode(given: str) -> Literal["online", "offline", "off"]:
    """What ``auto`` means here: ``online`` for those who are logged in, unless ``WANDB_MODE`` says something else.

    Args:
        given: ``auto``, ``online``, ``offline`` or ``off``.

    Returns:
        ``online``, ``offline`` or ``off``.

    Raises:
        UserError: If it is to be online and nobody is logged in.
    """
    mode = given
    if given == "auto":
        mode = os.environ.get("WANDB_MODE") or ("online" if logged_in() else "offline")
    if mode == "online" and not logged_in():
        raise UserError("you are not logged in to Weights & Biases: run `wandb login`, or give `--wandb offline`")
    if mode in ("off", "disabled"):
        return "off"
    if mode != "online":
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # or else an offline run reaches for the network
        os.environ.setdefault("WANDB_SILENT", "true")
    return "online" if mode == "online" else "offline"


def wandb_id(run_dir: Path) -> str | None:
    """The id under which Weights & Biases knows the run in a folder; None where it knows none."""
    runs = sorted(run_dir.glob("wandb/*run-*-*"), key=lambda folder: folder.stat().st_mtime)
    return runs[-1].name.rsplit("-", 1)[1] if runs else None


def _id_in(checkpoint: Path, run_dir: Path) -> str | None:
    """The id in the checkpoint of a run whose folder has lost it, or whose job was requeued and has another one."""
    is_own = checkpoint.resolve().is_relative_to(run_dir.resolve())
    return wandb_id_in(checkpoint) if is_own or is_requeued() else None


def csv_logger(run_dir: Path) -> RunLog:
    """Logs to ``metrics.csv``; a resumed run keeps what it logged before its checkpoint, as ``metrics.1.csv`` etc."""
    with writing(run_dir / "metrics.csv"):
        _keep_old_log(run_dir)
    return RunLog(run_dir, name="", version="", flush_logs_every_n_steps=10)


@rank_zero_only
def _keep_old_log(run_dir: Path) -> None:
    old = run_dir / "metrics.csv"
    for number in count(1):
        if not old.exists():
            return
        with suppress(FileExistsError):
            (run_dir / f"metrics.{number}.csv").touch(exist_ok=False)
            old.replace(run_dir / f"metrics.{number}.csv")


def logged_in() -> bool:
    """Whether Weights & Biases knows the user: a key in the environment or in ``~/.netrc``. Asks no network."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def sync_command(run_dir: Path) -> str | None:
    """The line that uploads an offline run later; None where there is none.

    A run that was resumed has a folder for each of its parts. Weights & Biases uploads them in order where one line
    names them all; a later part alone would take the place of the run.
    """
    parts = sorted(run_dir.glob("wandb/offline-run-*"))
    return " ".join(["wandb sync", *map(quoted_path, parts)]) if parts else None
