"""Which linear maps of an encoder are adapted."""

import re
from collections.abc import Sequence
from typing import Any

from torch import nn

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.sharing.adapting.low_rank import AdaptedLinear

_ATTENTION = re.compile(r"att(e?n)", re.IGNORECASE)


def backbone_of(encoder: Any) -> nn.Module:
    """What the names of the linear maps are in: the model of the transformers library, or the encoder itself."""
    return getattr(encoder, "backbone", encoder)  # type: ignore[no-any-return]


def find_targets(backbone: nn.Module, targets: str | Sequence[str] | None) -> dict[str, nn.Linear]:
    """The linear maps that are meant, by name, in the order of the modules.

    Args:
        backbone: Where to look.
        targets: As peft's ``target_modules``: names or ends of names, such as ``query``; a regular expression for the
            whole name; or ``all-linear``. Null: the linear maps of attention, or all where there is no attention.

    Raises:
        UserError: If something matches none, or the backbone is adapted already.
    """
    if any(isinstance(module, AdaptedLinear) for module in backbone.modules()):
        raise UserError("model.sharing: this encoder has adapters already; give each model an encoder of its own")
    if hasattr(backbone, "peft_config"):
        raise UserError("model.sharing: this encoder has an adapter for all tasks; take `model.encoder.lora` out")
    linear = {name: module for name, module in backbone.named_modules() if type(module) is nn.Linear}
    if not linear:
        raise UserError(f"model.sharing: {type(backbone).__name__} has no linear maps to adapt; choose another sharing")
    if targets is None:
        return {name: module for name, module in linear.items() if _ATTENTION.search(name)} or linear
    if targets == "all-linear":
        return linear
    patterns = [targets] if isinstance(targets, str) else list(targets)
    found = [{name for name in linear if _matches(pattern, name, isinstance(targets, str))} for pattern in patterns]
    for pattern, names in zip(patterns, found, strict=True):
        if not names:
            raise _no_match(pattern, linear)
    if not found:
        raise UserError("model.sharing: `targets` is empty; name linear maps of the encoder, or leave it null")
    return {name: module for name, module in linear.items() if any(name in names for names in found)}


def _matches(pattern: str, name: str, regular: bool) -> bool:
    if name == pattern or name.endswith(f".{pattern}"):
        return True
    try:
        return regular and re.fullmatch(pattern, name) is not None
    except re.error as error:
        raise UserError(f"model.sharing: `targets` is no regular expression: '{pattern}' ({error})") from error


def _no_match(pattern: str, linear: dict[str, nn.Linear]) -> UserError:
    ends = {name.rpartition(".")[2] for name in linear}
    choices = linear if "." in pattern or not ends - {str(i) for i in range(len(linear))} else ends
    return UserError(f"model.sharing: `targets` '{pattern}' matches no linear map; {did_you_mean(pattern, choices)}")
