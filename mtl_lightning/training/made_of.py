"""What a run is made of, and which of its parameters are frozen, by names that a checkpoint can hold."""

from collections.abc import Collection, Mapping
from typing import Any

from torch import nn

from mtl_lightning.errors import UserError


def made_of(weighting: Any, optimizer: Any = None, lr_scheduler: Any = None) -> dict[str, str | None]:
    """Names of the classes that a resumed run must have again; null where there is none."""
    parts = {"weighting": weighting, "optimizer": optimizer, "lr_scheduler": lr_scheduler}
    return {name: None if part is None else type(part).__name__ for name, part in parts.items()}


def refuse_another(part: str, was: Mapping[str, str | None], now: Mapping[str, str | None]) -> None:
    """Refuses a part of another class than the checkpoint's.

    Raises:
        UserError: Of such a part.
    """
    if part in was and was[part] != now[part]:
        raise UserError(
            f"model.{part}: the run to resume has {was[part] or 'none'}, found {now[part] or 'none'}; set it back, or "
            "start anew with the run's weights: `--init_from` instead of `--ckpt_path`"
        )


def named_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters by name; one that is pruned has the name that it had before."""
    return {name.removesuffix("_orig"): parameter for name, parameter in module.named_parameters()}


def frozen(module: nn.Module) -> list[str]:
    """Names of the parameters that do not train."""
    return [name for name, parameter in named_parameters(module).items() if not parameter.requires_grad]


def thaw(module: nn.Module, saved: Mapping[str, Collection[str]], at_start: Collection[str]) -> None:
    """Freezes and unfreezes what callbacks had, but for parameters that the resumed run itself treats otherwise.

    A callback that unfreezes the encoder in its third epoch freezes it again when the run is resumed in the fifth.

    Args:
        module: The model.
        saved: What was frozen when the run ``at_start``, and when it was saved (``now``).
        at_start: What is frozen now that the resumed run starts.
    """
    for name, parameter in named_parameters(module).items():
        if (name in saved["at_start"]) == (name in at_start):
            parameter.requires_grad_(name not in saved["now"])
