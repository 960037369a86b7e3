"""What the executor keeps while a step is under way."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mtl_lightning.backward.gradients import add_terms
from mtl_lightning.backward.passes import Pass
from mtl_lightning.backward.processes import mean_over_processes
from mtl_lightning.backward.step import BatchTasks, Setup, Step, Tasks


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
        written: Whether gradients of a part of it are written.
    """

    losses: list[dict[str, Tensor]] = field(default_factory=list)
    asked: bool = False
    weights: dict[str, float] = field(default_factory=dict)
    before: dict[str, Any] | None = None
    not_finite: tuple[str, ...] = ()
    judged: bool = True
    written: bool = False


@dataclass
class Window:
    """What is kept until the weighting is asked.

    Attributes:
        way: How it is differentiated.
        losses: Summed over batches.
        appearances: In how many steps tasks appeared.
        shares: Of the step under way, summed over its batches.
    """

    way: Pass
    losses: dict[str, Tensor] = field(default_factory=dict)
    appearances: Counter[str] = field(default_factory=Counter)
    shares: dict[str, float] = field(default_factory=dict)

    def add(
        self,
        setup: Setup,
        losses: Mapping[str, Tensor],
        shares: Mapping[str, float],
        features: Sequence[Tensor],
        complete: Collection[str],
    ) -> None:
        """Takes a batch; see ``Executor.add``."""
        terms = {t: loss if shares[t] == 1 else loss * shares[t] for t, loss in losses.items() if t in shares}
        add_terms(self.losses, shared_out(setup, losses, shares))
        self.shares = {**self.shares, **{t: self.shares.get(t, 0.0) + share for t, share in shares.items()}}
        batch = BatchTasks(tuple(shares), tuple(task for task in shares if task in complete))
        self.way.add(terms, batch, features)

    def end_step(self) -> None:
        """Counts the tasks of a step."""
        self.appearances.update(self.shares.keys())
        self.shares = {}

    def present(self, setup: Setup) -> Tasks:
        """Tasks that have labels in the step on any process, in the weighting's order."""
        return tuple(task for task in setup.weighting.tasks if task in self.losses)

    def ask(self, setup: Setup) -> Step:
        """Asks the weighting about the mean over the steps."""
        tasks = self.present(setup)
        appearances = torch.tensor([float(self.appearances[task]) for task in tasks], dtype=torch.float64)
        losses = torch.stack([self.losses[task] / self.appearances[task] for task in tasks])
        with setup.full_precision():
            return self.way.combine(tasks, mean_over_processes(losses), appearances)


def shared_out(setup: Setup, losses: Mapping[str, Tensor], shares: Mapping[str, float]) -> dict[str, Tensor]:
    """What this process adds to the tasks' losses, detached."""
    zero = setup.zero()
    return {t: losses[t].detach().to(zero) * share if t in losses else zero for t, share in shares.items()}
