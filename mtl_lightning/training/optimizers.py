"""The optimizer and its learning rate scheduler, made of what the config says."""

import logging
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from mtl_lightning.errors import UserError
from mtl_lightning.training.monitors import check_monitor

_warn = rank_zero_only(logging.getLogger(__name__).warning)

_NEVER = 2**62
"""As a number of epochs."""

MakeOptimizer = Callable[[Iterable[Any]], Optimizer]
MakeScheduler = Callable[[Optimizer], LRScheduler | ReduceLROnPlateau]


def configured(
    groups: list[dict[str, Any]],
    make: MakeOptimizer,
    make_scheduler: MakeScheduler | None,
    interval: str,
    trainer: Any,
) -> dict[str, Any]:
    """What ``configure_optimizers`` returns; see :func:`make_optimizer` and :func:`scheduler_settings`.

    Raises:
        UserError: If there is nothing to train, or a class refuses its arguments.
    """
    if not groups:
        raise UserError("nothing trains: all parameters of encoder, heads and weighting are frozen; leave some")
    optimizer = make_optimizer(make, groups)
    if make_scheduler is None:
        return {"optimizer": optimizer}
    rates = [group["lr"] for group in optimizer.param_groups]
    settings = scheduler_settings(make_scheduler, optimizer, interval, trainer)
    starts = {group.get("initial_lr") for group in optimizer.param_groups}
    if len(set(rates)) > 1 and len(starts) == 1 and None not in starts:
        _warn(
            f"model.lr_scheduler: {type(settings['scheduler']).__name__} sets one learning rate for all groups, so "
            "model.head_lr_factor and model.layer_decay have no effect; take another, such as WarmupDecay"
        )
    return {"optimizer": optimizer, "lr_scheduler": settings}


def make_optimizer(make: MakeOptimizer, groups: list[dict[str, Any]]) -> Optimizer:
    """The optimizer.

    Args:
        make: Of ``model.optimizer``.
        groups: See :class:`mtl_lightning.training.parameter_groups.Grouping`.
    """
    factors = {group["name"]: group.pop("lr_factor") for group in groups}
    optimizer: Optimizer = _made("model.optimizer", make, groups)
    for group in optimizer.param_groups:
        group["lr"] *= factors[group["name"]]
    if any(name.endswith("/no_decay") for name in factors) and not any(g.get("weight_decay") for g in groups):
        _warn(f"model.no_decay has no effect: {type(optimizer).__name__} has no weight decay")
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
        monitor = getattr(scheduler, "monitor", "val/average")
        check_monitor("model.lr_scheduler.monitor", monitor, trainer.lightning_module)
        # Lightning counts epochs, whether there is a new score or not; see step_on_scores
        frequency = _NEVER if _is_of_validation(monitor) else 1
        settings |= {"interval": "epoch", "frequency": frequency, "monitor": monitor}
        if settings["monitor"] == "val/average" and scheduler.mode != "max":
            raise UserError("model.lr_scheduler: val/average is better when higher: set `mode: max`")
    return settings


def check_length(trainer: Trainer) -> None:
    """Refuses a schedule that ends before the run does, where the scheduler would end the run with an error.

    Raises:
        UserError: Of such a schedule; one that is resumed has the length that it had.
    """
    steps = trainer.estimated_stepping_batches
    for config in trainer.lr_scheduler_configs:
        total = getattr(config.scheduler, "total_steps", None)
        if config.interval == "step" and isinstance(total, int) and isfinite(steps) and steps > total:
            name = type(config.scheduler).__name__
            raise UserError(
                f"model.lr_scheduler: {name} ends after {total} steps, but the run makes {int(steps)} with its "
                f"trainer.max_epochs or max_steps; set them or `total_steps` (a resumed run keeps that of its {name})"
            )


def step_on_scores(module: LightningModule) -> None:
    """Lets schedulers that wait for a plateau see what a validation has measured; its patience counts validations."""
    trainer = module.trainer
    if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
        for config in trainer.lr_scheduler_configs:
            score = trainer.callback_metrics.get(config.monitor or "")
            if config.reduce_on_plateau and _is_of_validation(config.monitor or "") and score is not None:
                module.lr_scheduler_step(config.scheduler, score)


def _is_of_validation(monitor: str) -> bool:
    return monitor.startswith("val/")


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
