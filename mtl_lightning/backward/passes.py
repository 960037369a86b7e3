"""How a step is differentiated: once, through a weighted sum of the losses."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from mtl_lightning.backward.by_task import ByTask
from mtl_lightning.backward.gradients import Gradients, accumulate, add, detached, differentiate, weighted
from mtl_lightning.backward.heads import Heads
from mtl_lightning.backward.processes import num_processes
from mtl_lightning.backward.step import BatchTasks, Setup, Step, Tasks
from mtl_lightning.backward.terms import Terms
from mtl_lightning.errors import UserError

Losses: TypeAlias = Mapping[str, Tensor]
"""Loss of each task, a scalar."""
Again: TypeAlias = Callable[[str, bool], Iterable[tuple[Losses, Mapping[str, float]]]]
"""Computes the losses of a task anew, in all batches of an optimizer step that have labels of it on any process, with
their shares. Told whether it is for a probe: in evaluation mode, and without a graph."""


class Pass(ABC):
    """The differentiation of one step: takes losses, finds weights, writes gradients.

    Args:
        setup: What is trained.

    Attributes:
        num_steps: How many of the steps that make up an optimizer step are in.
    """

    is_by_task: bool = False
    """Whether each task's loss is differentiated for itself."""
    takes_validation: bool = False
    """Whether ``add_validation`` has an effect."""
    takes_perturbed: bool = False
    """Whether ``add_perturbed`` has an effect, and is due before ``combine``."""
    judges: bool = False
    """Whether ``combine`` finds out if all gradients are finite."""
    not_finite: tuple[str, ...] = ()
    """What ``combine`` found not to be."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self.terms = Terms(setup)
        self.num_steps = 0

    def add_terms(self, terms: Mapping[str, Tensor]) -> None:
        """Takes the loss terms of one batch that are no task's, differentiable scalars, before ``add``."""
        self.terms.differentiate(terms)

    @abstractmethod
    def add(self, terms: Mapping[str, Tensor], batch: BatchTasks, features: Sequence[Tensor]) -> Mapping[str, Tensor]:
        """Takes the losses of one batch, each times its share in the step.

        Args:
            terms: Of the tasks with labels on this process, differentiable scalars.
            batch: The tasks with labels on any process.
            features: What the encoder made of the batch.

        Returns:
            What to keep of the terms until all batches of the step are in: detached if their graph is of no more use.
        """

    def add_validation(self, terms: Mapping[str, Tensor], present: Tasks) -> None:
        """Takes the losses of validation data, which train nothing.

        Args:
            terms: As of ``add``.
            present: The tasks with labels on any process.
        """
        del terms, present  # but where the weighting is asked, they are of no use

    def add_perturbed(self, tasks: Tasks, again: Again) -> None:
        """Takes the tasks' losses at perturbed parameters, after all batches of the optimizer step.

        Args:
            tasks: Those present.
            again: Computes the losses anew, under the parameters that there are.
        """
        del tasks, again

    def end_step(self) -> None:
        """Called when all batches of one of the steps that make up an optimizer step are in."""
        self.num_steps += 1

    @abstractmethod
    def combine(self, tasks: Tasks, terms: Tensor, losses: Tensor, appearances: Sequence[int]) -> Step:
        """Finds the weights.

        Args:
            tasks: The tasks present.
            terms: Sums over the batches of what ``add`` has returned [T].
            losses: Their mean losses over all processes [T].
            appearances: How many of the batches that make up the step had labels of each [T].
        """

    @abstractmethod
    def write(self, tasks: Tasks, factor: Tensor) -> None:
        """Writes the gradients.

        Args:
            tasks: The tasks present.
            factor: What the trainer multiplied the objective by.
        """


class ObjectivePass(Pass):
    """A loss weighting's step: the weights are the derivatives of its objective by the losses."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._losses = self._weights = torch.zeros(0)
        self._others: list[Tensor] = []
        self._objective: Tensor | None = None

    def add_terms(self, terms: Mapping[str, Tensor]) -> None:
        self._others.append(self.terms.sum(terms))

    def add(self, terms: Mapping[str, Tensor], batch: BatchTasks, features: Sequence[Tensor]) -> Mapping[str, Tensor]:
        return terms

    def combine(self, tasks: Tasks, terms: Tensor, losses: Tensor, appearances: Sequence[int]) -> Step:
        self._losses = terms
        self._objective, self._weights = ask_for_objective(self._setup, tasks, losses)
        return Step(self._objective, ByTask(tasks, losses), ByTask(tasks, self._weights))

    def write(self, tasks: Tasks, factor: Tensor) -> None:
        assert self._objective is not None, "combine() comes first"
        train_weighting(self._setup, self._objective, factor)
        values, weights = self._losses, self._weights * factor
        if self._others:
            values = torch.cat([values, *(term.view(1) for term in self._others)])
            weights = torch.cat([weights, factor.to(weights).expand(len(self._others))])
        if num_processes() > 1:
            heads = self._setup.own if self._others else tasks
            parameters = self._setup.shared + [p for task in heads for p in self._setup.own[task]]
            gradients = self._setup.differentiate(values, parameters, weights)
            self._setup.writer.write_mean(("all", *tasks), parameters, gradients, None)
        elif values.requires_grad:
            accumulate(values, weights)


class KnownWeightsPass(Pass):
    """A step of a Gramian method between two times that it is asked: the weights are those of the last time.

    Args:
        setup: What is trained.
        weights: Weight of each of the K tasks.
    """

    def __init__(self, setup: Setup, weights: Mapping[str, float]) -> None:
        super().__init__(setup)
        self._weights = weights
        self._heads = Heads(setup)
        self._shared = SharedPass(setup)

    def add(self, terms: Mapping[str, Tensor], batch: BatchTasks, features: Sequence[Tensor]) -> Mapping[str, Tensor]:
        scaled = self._setup.scaled(terms)
        with self._setup.full_precision():
            one = self._setup.one()
            for task, term in scaled.items():
                self._heads.add(task, self._setup.differentiate(term, self._setup.own[task], one, keep_graph=True))
            self._shared.add(scaled, self._weights)
        return detached(terms)

    def combine(self, tasks: Tasks, terms: Tensor, losses: Tensor, appearances: Sequence[int]) -> Step:
        weights = {task: torch.tensor(self._weights[task], dtype=torch.float64) for task in tasks}
        return Step(losses.sum().requires_grad_(), ByTask(tasks, losses), weights)

    def write(self, tasks: Tasks, factor: Tensor) -> None:
        unscaled = self._setup.unscaled(factor)
        self._shared.write(tasks, unscaled)
        self._heads.write(tasks, self._weights, unscaled)
        self.terms.write(unscaled)


class SharedPass:
    """A backward pass through a weighted sum of losses, as far as the shared parameters."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._gradients: Gradients = [None] * len(setup.shared)

    def add(self, terms: Mapping[str, Tensor], weights: Mapping[str, Any]) -> None:
        """Adds the gradients of the weighted losses, and lets go of their graph."""
        if terms:
            values, factors = weighted(terms, weights)
            self._gradients = add(self._gradients, self._setup.differentiate(values, self._setup.shared, factors))

    def write(self, tasks: Tasks, factor: Tensor) -> None:
        """Writes their mean over processes, times a factor."""
        self._setup.writer.write_mean(("shared", *tasks), self._setup.shared, self._gradients, factor)


def ask_for_objective(setup: Setup, tasks: Tasks, losses: Tensor) -> tuple[Tensor, Tensor]:
    """A loss weighting's objective, and the weights, its derivatives by the losses [T].

    Raises:
        UserError: If they do not follow from each other.
    """
    evidence = losses.detach().requires_grad_()
    objective = setup.weighting(evidence, setup.index(tasks, losses.device))
    (weights,) = differentiate(objective, [evidence], torch.ones_like(objective), keep_graph=True)
    if weights is None:
        raise UserError(f"the objective of {type(setup.weighting).__name__} does not depend on the losses")
    return objective, weights.detach()


def train_weighting(setup: Setup, objective: Tensor, factor: Tensor) -> None:
    """Writes the gradients of a loss weighting's own parameters."""
    if next(setup.weighting.parameters(), None) is not None:
        torch.autograd.backward(objective, factor)
