"""How a step is differentiated for weightings that compare several batches: once for each task and batch."""

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mtl_lightning.backward.by_task import ByTask
from mtl_lightning.backward.compared import Compared
from mtl_lightning.backward.gradients import add_terms, vector
from mtl_lightning.backward.processes import mean_over_processes
from mtl_lightning.backward.step import BatchTasks, Setup, Tasks
from mtl_lightning.backward.task_pass import Evidence, TaskPass
from mtl_lightning.errors import UserError


class BatchPass(TaskPass):
    """Keeps a row for each task and each of the b batches that an optimizer step of the weighting takes.

    A batch is ``Setup.num_accumulated`` of the steps that make up the optimizer step. Tasks that lack labels in one of
    the batches are not compared: they train by the weights that they had, as all do where there are fewer batches than
    b, at the end of an epoch. A batch of validation data has rows after all others, of weight 0.

    Args:
        setup: What is trained.
        rows: An empty memory for the gradients, one for each task and batch.
        before: The weight that each of the K tasks had.
    """

    def __init__(self, setup: Setup, rows: Compared, before: Mapping[str, float]) -> None:
        super().__init__(setup, rows)
        self._before = before
        self._number = setup.weighting.batches_per_step
        self._batches = range(setup.weighting.batches_compared)
        self.takes_validation = setup.weighting.needs_validation_batch
        self._losses_of_rows: dict[str, Tensor] = {}
        self._appearances: Counter[str] = Counter()
        self._in_step: set[str] = set()

    def _row(self, task: str) -> str:
        return _name(0 if self._number == 1 else self.num_steps // self._setup.num_accumulated, task)

    def add(self, terms: Mapping[str, Tensor], batch: BatchTasks, features: Sequence[Tensor]) -> Mapping[str, Tensor]:
        if self._number > 1 and self.num_steps >= (most := self._number * self._setup.num_accumulated):
            name = type(self._setup.weighting).__name__
            raise UserError(
                f"an optimizer step of {name} takes {self._number} batches, and all are in; end it by `combine` and "
                f"`backward` after every {most} of your batches"
            )
        kept = super().add(terms, batch, features)
        add_terms(self._losses_of_rows, {self._row(task): loss for task, loss in kept.items()})
        self._in_step.update(map(self._row, batch.present))
        return kept

    def add_validation(self, terms: Mapping[str, Tensor], present: Tasks) -> None:
        seen = self._appearances.keys() | self._in_step
        rows = {task: _name(self._number, task) for task in present if self._names(task) <= seen}
        found = {task: term for task, term in self._setup.scaled(terms).items() if task in rows}
        with self._setup.full_precision():
            self._compare(found, rows)
        add_terms(self._losses_of_rows, {rows[task]: terms[task].detach() for task in found})
        self._appearances.update({row: 1 for row in rows.values() if row not in self._appearances})

    def _names(self, task: str) -> set[str]:
        """Those of a task's rows of training data."""
        return {_name(batch, task) for batch in range(self._number)}

    def _compare(self, terms: Mapping[str, Tensor], rows: Mapping[str, str]) -> None:
        """Adds rows alone: no gradient of heads, none for a second pass."""
        sources, one, remaining = self._setup.evidence, self._setup.one(), len(terms)
        assert sources is not None, "the batches have features of their own"
        self._rows.start_batch([*rows.values()])
        for task, term in terms.items():
            remaining -= 1
            self._rows.add(rows[task], self._setup.differentiate(term, sources, one, remaining > 0), sources)
        self._rows.end_batch()

    def end_step(self) -> None:
        self._appearances.update(self._in_step)
        self._in_step = set()
        super().end_step()

    def _compared(self, tasks: Tasks, losses: Tensor, appearances: Sequence[int]) -> Evidence:
        pairs = [(_name(batch, task), task) for batch in self._batches for task in tasks]
        rows, of_tasks = zip(*((row, task) for row, task in pairs if row in self._appearances), strict=True)
        counts = [self._appearances[row] for row in rows]
        sums = torch.stack([self._losses_of_rows.get(row, self._setup.zero()) for row in rows])
        found = mean_over_processes(sums / vector(counts, sums))
        return Evidence(rows, of_tasks, found, torch.tensor(counts, dtype=torch.float64))

    def _called(self, evidence: Evidence) -> list[str]:
        beside = self._of_validation(evidence.tasks)
        pairs = zip(super()._called(evidence), evidence.rows, strict=True)
        return [f"{name} (validation data)" if row in beside else name for name, row in pairs]

    def _ask(
        self, tasks: Tasks, gramian: Tensor, evidence: Evidence, on_host: Tensor
    ) -> tuple[Mapping[str, Tensor], Tensor | None]:
        self._weights = weights = {task: self._before[task] for task in tasks}
        trained = [row not in self._of_validation(tasks) for row in evidence.rows]
        self._weights_of_rows = of_rows = {
            row: weights[task] * trains
            for row, task, trains in zip(evidence.rows, evidence.tasks, trained, strict=True)
        }
        common = tuple(task for task in tasks if evidence.tasks.count(task) == len(self._batches))
        if common:
            rows = [_name(batch, task) for batch in self._batches for task in common]
            order = [evidence.rows.index(row) for row in rows]
            found = self._solve(common, gramian[order][:, order], on_host[order])
            weights |= dict(zip(common, found.view(self._number, -1).sum(0).tolist(), strict=True))
            of_rows |= dict(zip(rows, (self._number * found).tolist(), strict=False))
        said = ByTask(tasks, torch.tensor([*weights.values()], dtype=torch.float64))
        return said, _of_means(gramian, evidence, tasks, trained) if common else None

    def _of_validation(self, tasks: Tasks) -> set[str]:
        """The names of their rows of validation data, if there are any."""
        return {_name(batch, task) for batch in self._batches[self._number :] for task in tasks}


def _name(batch: int, task: str) -> str:
    """Of the row of a task in a batch, which is counted from 0."""
    return f"{batch} {task}"


def _of_means(gramian: Tensor, evidence: Evidence, tasks: Tasks, trained: Sequence[bool]) -> Tensor:
    """The Gramian of the tasks' mean gradients over all batches that train [T, T]."""
    counts = evidence.appearances * torch.tensor(trained)
    shares = torch.stack([counts * torch.tensor([of == task for of in evidence.tasks]) for task in tasks])
    shares = shares / shares.sum(1, keepdim=True)
    return shares @ gramian @ shares.T
