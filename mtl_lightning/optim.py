"""How the learning rates change over a run."""

import math
from functools import partial
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

__all__ = ["WarmupDecay"]


class WarmupDecay(LambdaLR):
    """Linear warm-up from 0, then decay to ``final``, as fractions of the optimizer's learning rate.

    Args:
        optimizer: Whose learning rates are multiplied.
        total_steps: Optimizer steps of the run; null: the trainer's estimate.
        warmup: Fraction of the steps for the warm-up.
        decay: Shape of the decay.
        final: What the factor ends at.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int | None = None,
        warmup: float = 0.1,
        decay: Literal["linear", "cosine", "constant"] = "linear",
        final: float = 0.0,
    ) -> None:
        if total_steps is None:
            raise ValueError("total_steps is missing; outside MultiTaskModule it must be given")
        if not 0 <= warmup <= 1:
            raise ValueError(f"warmup must be a fraction of the steps, found {warmup}")
        super().__init__(optimizer, partial(_factor, total=total_steps, warmup=warmup, decay=decay, final=final))


def _factor(step: int, total: int, warmup: float, decay: str, final: float) -> float:
    rise = warmup * total
    if step < rise:
        return step / rise
    progress = min(1.0, (step - rise) / max(1.0, total - rise))
    left = {"linear": 1 - progress, "cosine": 0.5 * (1 + math.cos(math.pi * progress)), "constant": 1.0}[decay]
    return final + (1 - final) * left
