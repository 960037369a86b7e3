"""What the executor keeps while a step is under way."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mtl_lightning.backward.passes import Pass


@dataclass
class OptimizerStep:
    """What is kept until an optimizer step is known to be good.

    Attributes:
        losses: Found losses of each batch that the weighting was asked about.
        asked: Whether it was asked with the tasks' gradients.
        weights: What a Gramian method answered.
        before: The weighting's state before, if it changes before all is known to be finite.
        not_finite: What is known not to be.
        judged: Whether that is all.
    """

    losses: list[dict[str, Tensor]] = field(default_factory=list)
    asked: bool = False
    weights: dict[str, float] = field(default_factory=dict)
    before: dict[str, Any] | None = None
    not_finite: tuple[str, ...] = ()
    judged: bool = True


@dataclass
class Window:
    """What is kept until the weighting is asked: losses summed over batches, and in how many steps tasks appeared."""

    way: Pass
    losses: dict[str, Tensor] = field(default_factory=dict)
    appearances: Counter[str] = field(default_factory=Counter)
    current: set[str] = field(default_factory=set)
