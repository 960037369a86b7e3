"""The optimizer and its learning rate scheduler, made of what the config says."""

from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any

from lightning.pytorch import Trainer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from mtl_lightning.errors import UserError

MakeOptimizer = Callable[[Iterable[Any]], Optimizer]
MakeScheduler = Callable[[Optimizer], LRScheduler | ReduceLROnPlateau]


def make_optimizer(make: MakeOptimizer, groups: list[dict[str, Any]], head_lr_factor: float) -> Optimizer:
    """The optimizer.

    Args:
        make: Of ``model.optimizer``.
        groups: See :func:`mtl_lightning.training.parameter_groups.parameter_groups`.
        head_lr_factor: Learning rate of the other groups, relative to the encoder's.
    """
    optimizer: Optimizer = _made("model.optimizer", make, groups)
    for group in optimizer.param_groups:
        if group["name"] != "encoder":
            group["lr"] *= head_lr_factor
    return optimizer


def scheduler_settings(make: MakeScheduler, optimizer: Optimizer, interval: str, trainer: Trainer) -> dict[str, Any]:
    """What Lightning wants to know of a scheduler.

    Args:
        make: Of ``model.lr_scheduler``.
        optimizer: Whose learning rates it changes.
        interval: ``step`` or ``epoch``.
        trainer: Of the run.
    """
    scheduler = _made("model.lr_scheduler", make, optimizer, **_total_steps(make, trainer))
    settings: dict[str, Any] = {"scheduler": scheduler, "interval": interval}
    if isinstance(scheduler, ReduceLROnPlateau):
        every = trainer.check_val_every_n_epoch or 1
        monitor = getattr(scheduler, "monitor", "val/average")
        settings |= {"interval": "epoch", "frequency": every, "monitor": monitor}
        if settings["monitor"] == "val/average" and scheduler.mode != "max":
            raise UserError("model.lr_scheduler: val/average is better when higher: set `mode: max`")
    return settings


def _total_steps(make: MakeScheduler, trainer: Trainer) -> dict[str, int]:
    """The run's number of optimizer steps, if the scheduler asks for it and the config does not say."""
    wanted = getattr(make, "keywords", {})
    if "total_steps" not in wanted or wanted["total_steps"] is not None:
        return {}
    steps = trainer.estimated_stepping_batches
    if not isfinite(steps):
        end = "set `total_steps`, trainer.max_epochs or trainer.max_steps"
        raise UserError(f"model.lr_scheduler: the run has no end: {end}")
    return {"total_steps": int(steps)}


def _made(key: str, make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a configured class makes of its arguments; what it refuses is said of its key."""
    try:
        return make(*args, **kwargs)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{key}: {error}") from error
