"""How a step is differentiated for weightings that see the tasks' gradients at perturbed parameters."""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from mtl_lightning.backward.by_task import ByTask
from mtl_lightning.backward.compared import Compared
from mtl_lightning.backward.gradients import Gradients, add, add_terms, detached, flatten, split, vector, weighted
from mtl_lightning.backward.heads import Heads
from mtl_lightning.backward.moved import Moved
from mtl_lightning.backward.passes import Again
from mtl_lightning.backward.processes import mean_over_processes
from mtl_lightning.backward.step import BatchTasks, Setup, Step, Tasks
from mtl_lightning.backward.task_pass import Evidence, TaskPass
from mtl_lightning.errors import UserError
from mtl_lightning.weighting import SharpnessAware


class PerturbedPass(TaskPass):
    """Differentiates the losses of all batches to know where to move the parameters, then those at each task's place.

    The rows are the tasks' gradients at their places; of a weighting that ``sees_original``, the gradients at the
    original parameters, then their changes. Heads train with gradients at the places.

    Args:
        setup: What is trained.
        rows: An empty memory for the gradients that the weighting sees.

    Raises:
        UserError: If processes hold parts of parameters.
    """

    takes_perturbed = True

    def __init__(self, setup: Setup, rows: Compared) -> None:
        super().__init__(setup, rows)
        assert isinstance(setup.weighting, SharpnessAware)
        self._weighting = setup.weighting
        if setup.is_sharded:
            raise UserError(
                f"{self._name} moves whole parameters, of which each process holds a part (FSDP2); use `ddp`, or a "
                "method that sees gradients at the parameters as they are"
            )
        self._sum: Gradients = [None] * len(setup.shared)
        self._original_heads = Heads(setup)
        self._sums_of_losses: dict[str, Tensor] = {}

    @property
    def _name(self) -> str:
        return type(self._weighting).__name__

    def _row(self, task: str) -> str:
        return _here(task) if self.takes_perturbed else _there(task)

    # -- at the original parameters ----------------------------------------------------------------------------------
    def add(self, terms: Mapping[str, Tensor], batch: BatchTasks, features: Sequence[Tensor]) -> Mapping[str, Tensor]:
        if not self.takes_perturbed:
            raise UserError("all batches of the optimizer step come before `add_perturbed`")
        return super().add(terms, batch, features)

    def _differentiate(self, terms: Mapping[str, Tensor], batch: BatchTasks, features: Sequence[Tensor]) -> None:
        if self._weighting.sees_original or not self.takes_perturbed:
            super()._differentiate(terms, batch, features)
        elif terms:
            self._differentiate_sum(terms)

    def _differentiate_sum(self, terms: Mapping[str, Tensor]) -> None:
        """One backward pass through the sum of the losses."""
        values, ones = weighted(terms, dict.fromkeys(terms, 1.0))
        own = [self._setup.own[task] for task in terms]
        sources = [*self._setup.shared, *(parameter for head in own for parameter in head)]
        found, place = self._setup.differentiate(values, sources, ones), len(self._setup.shared)
        self._sum = add(self._sum, found[:place])
        for task, head in zip(terms, own, strict=True):
            self._heads.add(task, found[place : (place := place + len(head))])

    # -- at the tasks' places ----------------------------------------------------------------------------------------
    def add_perturbed(self, tasks: Tasks, again: Again) -> None:
        self.takes_perturbed = False
        self._original_heads, self._heads = self._heads, Heads(self._setup)
        with torch.no_grad(), self._setup.full_precision():
            gradients = self._known_gradients(tasks)
        moved = Moved([*self._setup.shared, *(parameter for task in tasks for parameter in self._setup.own[task])])
        for task in tasks:
            self._add_at_place(task, gradients[task], moved, again)
        with torch.no_grad():
            self._rows.gather(self._setup.like.device)
            if self._weighting.sees_original:
                values, places = self._gradients.values, self._rows.places
                for task in tasks:
                    values[places[_there(task)]] -= values[places[_here(task)]]

    def _known_gradients(self, tasks: Tasks) -> dict[str, list[Tensor]]:
        """For each task, a gradient of the shared parameters, of all processes."""
        shared, rows = self._setup.shared, self._gradients
        if self._weighting.sees_original:
            rows.gather(self._setup.like.device)
            return {task: split(rows.values[rows.places[_here(task)]], shared) for task in tasks}
        return dict.fromkeys(tasks, split(mean_over_processes(flatten(self._sum, shared)), shared))

    def _add_at_place(self, task: str, gradients: Sequence[Tensor], moved: Moved, again: Again) -> None:
        """Differentiates a task's loss at its place."""
        shared, own = self._setup.shared, self._setup.own[task]
        with torch.no_grad():
            of_head = self._original_heads.mean(task)
            with self._setup.full_precision():
                head = self._weighting.perturb_head(own, of_head)
            changes = self._weighting.perturb(shared, gradients, partial(self._loss_at, task, moved, again))
        self._rows.start_batch([self._row(task)])
        with moved.by([*shared, *own], [*changes, *head]):
            for terms, shares in again(task, False):
                if task in shares:
                    super().add(terms, BatchTasks([task], ()), ())
                    add_terms(self._sums_of_losses, detached(terms))
        self._rows.send(self._row(task))

    def _loss_at(self, task: str, moved: Moved, again: Again, changes: Sequence[Tensor]) -> Tensor:
        """A task's loss with the shared parameters moved, summed over batches: a scalar."""
        total = self._setup.zero()
        with moved.by(self._setup.shared, changes):
            for terms, _ in again(task, True):
                total = sum(detached(terms).values(), total)
        return mean_over_processes(total)

    # -- asking ------------------------------------------------------------------------------------------------------
    def combine(self, tasks: Tasks, terms: Tensor, losses: Tensor, appearances: Sequence[int]) -> Step:
        if self.takes_perturbed:
            raise UserError(
                f"{self._name} sees gradients at perturbed parameters: call `executor.add_perturbed(again)` before the "
                "last `combine` of an optimizer step, while `executor.takes_perturbed`"
            )
        return super().combine(tasks, terms, losses, appearances)

    def _compared(self, tasks: Tasks, losses: Tensor, appearances: Sequence[int]) -> Evidence:
        sums = torch.stack([self._sums_of_losses.get(task, self._setup.zero()) for task in tasks])
        there = mean_over_processes(sums / vector(appearances, sums))
        rows, counts = tuple(map(_there, tasks)), torch.tensor(appearances, dtype=torch.float64)
        if not self._weighting.sees_original:
            return Evidence(rows, tasks, there, counts)
        both = (*map(_here, tasks), *rows)
        return Evidence(both, (*tasks, *tasks), torch.cat([losses, there]), counts.repeat(2))

    def _called(self, evidence: Evidence) -> list[str]:
        names, number = super()._called(evidence), len(evidence.rows) // self._weighting.gradients_per_task
        return [*names[:number], *(f"{name} (at perturbed parameters)" for name in names[number:])]

    def _ask(
        self, tasks: Tasks, gramian: Tensor, evidence: Evidence, on_host: Tensor
    ) -> tuple[Mapping[str, Tensor], Tensor | None]:
        found = self._solve(tasks, gramian, on_host)
        self._weights_of_rows = dict(zip(evidence.rows, found.tolist(), strict=True))
        number = len(tasks)
        self._weights = dict(zip(tasks, found[:number].tolist(), strict=True))
        return ByTask(tasks, found[:number]), gramian[:number, :number]


def _here(task: str) -> str:
    """The name of the row of a task at the original parameters."""
    return f"here {task}"


def _there(task: str) -> str:
    """Of the row of a task at its place, or of the change there."""
    return f"there {task}"
