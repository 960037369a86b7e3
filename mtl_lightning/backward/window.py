"""What the executor keeps while a step is under way."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mtl_lightning.backward.gradients import add_terms, vector
from mtl_lightning.backward.misuse import check_losses
from mtl_lightning.backward.passes import Again, Losses, Pass
from mtl_lightning.backward.processes import mean_over_processes
from mtl_lightning.backward.step import BatchTasks, Setup, Step, Tasks


@dataclass
class OptimizerStep:
    """What is kept until an optimizer step is known to be good.

    Attributes:
        losses: The tasks of each batch that the weighting was asked about, and their mean losses [T].
        terms: Names and values of the loss terms that are no task's, of each of these times.
        asked: Whether it was asked with the tasks' gradients.
        weights: What a Gramian method answered.
        before: The weighting's state before, if it changes before all is known to be finite.
        not_finite: What is known not to be.
        judged: Whether that is all.
        written: Whether gradients of a part of it are written.
    """

    losses: list[tuple[Tasks, Tensor]] = field(default_factory=list)
    terms: list[tuple[str, Tensor]] = field(default_factory=list)
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
        losses: Summed over batches, with their graph if the way has kept it.
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
        others: Mapping[str, Tensor],
    ) -> None:
        """Takes a batch; see ``Executor.add``."""
        if others:
            self.way.add_terms(others)
        terms = shared_out(setup, losses, shares)
        add_terms(self.losses, self.way.add(terms, BatchTasks(shares.keys(), complete), features))
        for task, share in shares.items():
            self.shares[task] = self.shares.get(task, 0.0) + share
            if task not in self.losses:
                self.losses[task] = setup.zero()

    def add_validation(self, setup: Setup, losses: Mapping[str, Tensor], given: Mapping[str, float] | None) -> None:
        """Takes validation data; see ``Executor.add_validation``."""
        shares = dict.fromkeys(losses, 1.0) if given is None else given
        check_losses(setup.weighting, losses, shares, setup.like.device)
        self.way.add_validation(shared_out(setup, losses, shares), tuple(shares))

    def add_perturbed(self, setup: Setup, again: Again) -> None:
        """Takes losses at perturbed parameters; see ``Executor.add_perturbed``."""

        def shared(task: str, probe: bool) -> Iterator[tuple[Losses, Mapping[str, float]]]:
            for losses, shares in again(task, probe):
                check_losses(setup.weighting, losses, shares, setup.like.device)
                chosen = {task: losses[task]} if task in losses else {}
                yield shared_out(setup, chosen, shares), shares

        self.way.add_perturbed(self.present(setup), shared)

    def end_step(self) -> None:
        """Counts the tasks of a step."""
        self.appearances.update(self.shares.keys())
        self.shares = {}
        self.way.end_step()

    def present(self, setup: Setup) -> Tasks:
        """Tasks that have labels in the step on any process, in the weighting's order."""
        return tuple(task for task in setup.weighting.tasks if task in self.losses)

    def ask(self, setup: Setup) -> tuple[Step, tuple[Tasks, Tensor]]:
        """Asks the weighting about the mean over the steps; the tasks present and their mean losses [T] come along."""
        tasks = self.present(setup)
        appearances = [self.appearances[task] for task in tasks]
        terms = torch.stack([self.losses[task] for task in tasks])
        losses = terms.detach()
        if max(appearances) > 1:
            losses /= vector(appearances, losses)
        others = [term / self.way.num_steps for term in self.way.terms.values.values()]
        found = mean_over_processes(torch.cat([losses, torch.stack(others)]) if others else losses)
        losses, others = found[: len(tasks)], list(found[len(tasks) :])
        with setup.full_precision():
            step = self.way.combine(tasks, terms, losses, appearances)
        if others:
            named = dict(zip(self.way.terms.values, others, strict=True))
            step = step._replace(objective=step.objective + sum(others), terms=named)
        return step, (tasks, losses)


def shared_out(setup: Setup, losses: Mapping[str, Tensor], shares: Mapping[str, float]) -> dict[str, Tensor]:
    """What this process adds to the losses of the tasks that it has labels of, differentiable."""
    dtype, device, found = setup.dtype, setup.like.device, {}
    for task, loss in losses.items():
        if task in shares:
            term = loss if loss.dtype == dtype and loss.device == device else loss.to(device, dtype)
            found[task] = term if shares[task] == 1 else term * shares[task]
    return found
