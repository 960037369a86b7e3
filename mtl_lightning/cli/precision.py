"""The precision that a device supports, where the configuration says ``auto``."""

from typing import Any

import torch


def chosen_precision(trainer: dict[str, Any]) -> None:
    """Replaces ``auto``: ``bf16-mixed`` on GPUs that compute in bfloat16, ``32-true`` elsewhere.

    It is resolved before the configuration is kept, so that a run is resumed in the precision that it has begun with.

    Args:
        trainer: Arguments of the Trainer, as given.
    """
    if trainer.get("precision") == "auto":
        gpu = trainer.get("accelerator", "auto") in ("auto", "gpu", "cuda") and torch.cuda.is_available()
        trainer["precision"] = "bf16-mixed" if gpu and torch.cuda.is_bf16_supported(False) else "32-true"
