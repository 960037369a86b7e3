"""Which scores a run measures, known before it starts, so that a monitor of another name is refused."""

import logging
import re
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.tasks import Task
from mtl_lightning.training.evaluation import REPORT

_warn = rank_zero_only(logging.getLogger(__name__).warning)

_OF_TRAINING = ("train/", "lr-")
"""How names begin that come and go with the steps."""


def measured_names(module: Any) -> set[str]:
    """Names of all that a validation of a built model measures."""
    names = {"val/average"}
    for task, head in module.tasks.items():
        names |= {f"val/{task}/{name}" for name in [*head.metrics(), "loss"] if name != REPORT}
    right = {task for task, head in module.tasks.items() if type(head).correct is not Task.correct}
    sources = getattr(module.trainer.datamodule, "datasets", {})
    return names | {f"val/joint/{name}" for name, source in sources.items() if len(right & {*source.labels}) > 1}


def check_monitor(key: str, monitor: str, module: Any) -> None:
    """Refuses a monitor that nothing will measure.

    Args:
        key: Of the configuration, for the message.
        monitor: Name of a score.
        module: A built model, with its trainer.

    Raises:
        UserError: If no validation measures it. Where the model or a callback is a user's own, which may log more,
            it is a warning.
    """
    names = measured_names(module)
    if monitor in names:
        if not module.trainer.limit_val_batches:
            raise UserError(f"{key}: {monitor} is never measured, since trainer.limit_val_batches is 0")
    elif not monitor.startswith(_OF_TRAINING):
        message = f"{key}: nothing is logged as '{monitor}'; {did_you_mean(monitor, names)}"
        if not _may_log_more(module):
            raise UserError(message)
        _warn(f"{message} (unless a class of your own logs it)")


def check_monitors(module: Any) -> None:
    """Refuses monitors of callbacks, and scores in names of checkpoints, that nothing will measure.

    Raises:
        UserError: Of the first.
    """
    trainer: Trainer = module.trainer
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        key = getattr(callback, "config_key", f"trainer.callbacks.{type(callback).__name__}")
        monitor, filename = getattr(callback, "monitor", None), getattr(callback, "filename", None)
        if isinstance(monitor, str) and not (key == "checkpoint" and trainer.limit_val_batches == 0):
            check_monitor(f"{key}.monitor", monitor, module)
        for name in re.findall(r"{([^:}]*)", filename) if isinstance(filename, str) else ():
            if name not in ("epoch", "step"):
                check_monitor(f"{key}.filename", name, module)


def _may_log_more(module: LightningModule) -> bool:
    ours = ("lightning.", "mtl_lightning.")
    parts = [module, *module.trainer.callbacks]  # type: ignore[attr-defined]
    return any(not type(part).__module__.startswith(ours) for part in parts)
