"""Which scores a run measures, known before it starts, so that a monitor of another name is refused."""

import logging
from collections.abc import Set
from string import Formatter
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.tasks import Task
from mtl_lightning.training.evaluation import REPORT, labelled_tasks, labelling

_warn = rank_zero_only(logging.getLogger(__name__).warning)

_OF_TRAINING = ("train/", "lr-")
"""How names begin that come and go with the steps."""
_OF_SHARING = ("train/term/", "train/expert/", "train/gate_entropy/")
"""How names begin whose ends only sharing and chain know."""
_COUNTS = ("epoch", "step")
_STEPS = (
    *("loss", "examples_per_second", "tokens_per_second", "data_wait", "skipped", "solver_seconds"),
    *("bytes_sent", "exchanges"),
)


def measured_names(module: Any) -> set[str]:
    """Names of all that a validation of a built model measures."""
    names, datasets = {"val/average"}, labelling(module)
    for task, head in labelled_tasks(module).items():
        scores = {f"val/{task}/{name}" for name in [*head.metrics(), "loss"] if name != REPORT}
        names |= scores | {f"{score}/{dataset}" for score in scores for dataset in datasets.get(task, ())}
    right = {task for task, head in module.tasks.items() if type(head).correct is not Task.correct}
    sources = getattr(module.trainer.datamodule, "datasets", {})
    return names | {f"val/joint/{name}" for name, source in sources.items() if len(right & {*source.labels}) > 1}


def check_monitor(key: str, monitor: str, module: Any, names: Set[str] | None = None) -> None:
    """Refuses a monitor that nothing will measure.

    Args:
        key: Of the configuration, for the message.
        monitor: Name of a score.
        module: A built model, with its trainer.
        names: Its :func:`measured_names`, where they are known already.

    Raises:
        UserError: If no validation measures it. Where the model or a callback is a user's own, which may log more,
            it is a warning.
    """
    names = measured_names(module) if names is None else names
    if monitor in names:
        if not module.trainer.limit_val_batches:
            raise UserError(f"{key}: {monitor} is never measured, since trainer.limit_val_batches is 0")
        return
    training = {f"train/{name}" for name in _STEPS}
    training |= {f"train/{kind}/{task}" for kind in ("loss", "weight") for task in module.trained_tasks}
    hint = did_you_mean(monitor, names | training)
    in_training = monitor in training or monitor.startswith(_OF_SHARING)
    in_training |= monitor.startswith(_OF_TRAINING) and not hint.startswith("did you mean")
    if not in_training:
        message = f"{key}: nothing is logged as '{monitor}'; {hint}"
        if not _may_log_more(module):
            raise UserError(message)
        _warn(f"{message} (unless a class of your own logs it)")


def check_monitors(module: Any) -> None:
    """Refuses monitors of callbacks, and scores in names of checkpoints, that nothing will measure.

    Raises:
        UserError: Of the first.
    """
    trainer: Trainer = module.trainer
    names = measured_names(module)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        key = getattr(callback, "config_key", f"trainer.callbacks.{type(callback).__name__}")
        monitor, filename = getattr(callback, "monitor", None), getattr(callback, "filename", None)
        if isinstance(monitor, str) and not (key == "checkpoint" and trainer.limit_val_batches == 0):
            check_monitor(f"{key}.monitor", monitor, module, names)
        for name in _fields(f"{key}.filename", filename) if isinstance(filename, str) else ():
            check_monitor(f"{key}.filename", name, module, names)


def _fields(key: str, filename: str) -> list[str]:
    """The scores that are part of the name of a checkpoint.

    Raises:
        UserError: If it is not a format of Python.
    """
    try:
        fields = [(name, spec) for _, name, spec, _ in Formatter().parse(filename) if name is not None]
        for name, spec in fields:
            format(0 if name in _COUNTS else 0.0, spec or "")
    except ValueError as error:
        raise UserError(f"{key}: '{filename}' is not a format: {error}; write it like '{{val/average:.2f}}'") from error
    return [name for name, _ in fields if name not in _COUNTS]


def _may_log_more(module: LightningModule) -> bool:
    ours = ("lightning.", "mtl_lightning.")
    parts = [module, *module.trainer.callbacks]  # type: ignore[attr-defined]
    return any(not type(part).__module__.startswith(ours) for part in parts)
