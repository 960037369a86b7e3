"""Refuses weights of a few bits, which neither train nor are held by checkpoints here."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import PretrainedConfig

from mtl_lightning.errors import UserError

_ASKED = ("quantization_config", "load_in_4bit", "load_in_8bit")


def refuse_quantised(architecture: PretrainedConfig, settings: Mapping[str, Any]) -> None:
    """Refuses a model whose weights are quantised, or are to be.

    Args:
        architecture: Of the model.
        settings: What was asked for beside it.

    Raises:
        UserError: If they are.
    """
    asked = next((name for name in _ASKED if settings.get(name)), None)
    found = getattr(architecture, "quantization_config", None)
    if asked is None and not found:
        return
    method = found.get("quant_method", "unknown") if isinstance(found, Mapping) else "unknown"
    what = f"`config.{asked}`" if asked else f"the model's weights are quantised ({method}), and"
    why = "asks for" if asked else "need"
    lack = "kernels that this project does not use" if torch.cuda.is_available() else "CUDA, which this machine lacks"
    cure = "load unquantised weights with `lora`, or a GGUF file, which is made whole when it is loaded"
    raise UserError(f"{what} {why} {lack}; {cure}")
