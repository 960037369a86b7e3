"""How a step is differentiated: once for each task, for weightings that compare the tasks' gradients."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mtl_lightning.backward.by_task import ByTask
from mtl_lightning.backward.compared import Compared
from mtl_lightning.backward.domain import undefined
from mtl_lightning.backward.finite import judge, quoted
from mtl_lightning.backward.gradients import add_terms, detached
from mtl_lightning.backward.heads import Heads
from mtl_lightning.backward.passes import Pass, SharedPass, ask_for_objective, train_weighting
from mtl_lightning.backward.processes import Sums, num_processes
from mtl_lightning.backward.rows import Rows, WholeRows
from mtl_lightning.backward.step import BatchTasks, Setup, Step, Tasks
from mtl_lightning.weighting import GramianWeighting, JacobianWeighting, LossWeighting
from mtl_lightning.weighting.solvers import SolverError


class Evidence(NamedTuple):
    """The gradients that are compared, R rows.

    Attributes:
        rows: Their names.
        tasks: Of each, the task.
        losses: Of each, the mean loss over all processes [R].
        appearances: Of each, in how many steps its task had labels [R], float64.
    """

    rows: Sequence[str]
    tasks: Tasks
    losses: Tensor
    appearances: Tensor


class TaskPass(Pass):
    """Differentiates the losses of one batch one by one, lets go of the batch, and asks the weighting at the end.

    Where the weighting sees the gradients of something else than all shared parameters, a second pass through the
    weighted sum of the losses follows.

    Args:
        setup: What is trained.
        rows: An empty memory for the gradients or their products.
    """

    is_by_task = True

    def __init__(self, setup: Setup, rows: Compared) -> None:
        super().__init__(setup)
        self._rows = rows
        self._heads = Heads(setup)
        self._second = None if setup.evidence is setup.shared else SharedPass(setup)
        self._losses: dict[str, Tensor] = {}
        self._weights: Mapping[str, Any] = {}
        self._weights_of_rows: Mapping[str, Any] = {}
        self._direction: Tensor | None = None
        self._objective: Tensor | None = None
        self._mean_appearances = 1.0
        self.judges = self._second is None and not isinstance(setup.weighting, LossWeighting)

    def add(self, terms: Mapping[str, Tensor], batch: BatchTasks, features: Sequence[Tensor]) -> Mapping[str, Tensor]:
        with self._setup.full_precision():
            self._differentiate(self._setup.scaled(terms), batch, features)
        return detached(terms)

    def _row(self, task: str) -> str:
        """The name of the row that a task's gradient is added to."""
        return task

    def _differentiate(self, terms: Mapping[str, Tensor], batch: BatchTasks, features: Sequence[Tensor]) -> None:
        self._rows.start_batch([*map(self._row, batch.present)])
        sources: Sequence[Tensor] = features if self._setup.evidence is None else self._setup.evidence
        remaining, one = len(terms), self._setup.one()
        for task in batch.present:
            if (term := terms.get(task)) is not None:
                remaining -= 1
                keep = self._second is not None or remaining > 0
                gradients = self._setup.differentiate(term, [*sources, *self._setup.own[task]], one, keep)
                self._rows.add(self._row(task), gradients[: len(sources)], sources)
                self._heads.add(task, gradients[len(sources) :])
            if task in batch.complete:
                self._rows.send(self._row(task))
        self._rows.end_batch()
        if self._second is not None:
            add_terms(self._losses, {self._row(task): term for task, term in terms.items()})

    def combine(self, tasks: Tasks, terms: Tensor, losses: Tensor, appearances: Sequence[int]) -> Step:
        self._objective, found = losses.sum().requires_grad_(), ByTask(tasks, losses)
        evidence = self._compared(tasks, losses, appearances)
        gramian, on_host = self._look(evidence)
        if gramian is None:
            self._weights = dict.fromkeys(tasks, 1.0)  # for a gradient scaler, which is to see what is not finite
            self._weights_of_rows = dict.fromkeys(evidence.rows, 1.0)
            if self._second is not None:
                self._second.add(self._losses, self._weights_of_rows)
            return Step(self._objective, found, {})
        seconds = time.perf_counter()
        weights, gramian = self._ask(tasks, gramian, evidence, on_host)
        seconds = time.perf_counter() - seconds
        if self._second is not None:
            self._second.add(self._losses, self._weights_of_rows)
        timed = isinstance(self._setup.weighting, GramianWeighting)
        return Step(self._objective, found, weights, gramian, seconds if timed else None)

    def _compared(self, tasks: Tasks, losses: Tensor, appearances: Sequence[int]) -> Evidence:
        """What is known of the rows without looking at them."""
        return Evidence(tasks, tasks, losses, torch.tensor(appearances, dtype=torch.float64))

    def _look(self, evidence: Evidence) -> tuple[Tensor | None, Tensor]:
        """The Gramian [R, R] and the losses [R], brought to the host together: a step's one device synchronisation.

        There is no Gramian if something is not finite, or the weighting is not defined for the losses.
        """
        rows, losses, size = self._rows, evidence.losses, len(evidence.rows)
        length, sums = self._heads.length(tuple(dict.fromkeys(evidence.tasks)), losses), Sums()
        length = length + self.terms.length(losses)
        sums.start(length)
        rows.gather(losses.device)
        sums.wait()
        products, scale = rows.gramian().to(losses.device), self._setup.scale(losses.device)
        numbers = torch.cat([part.double().flatten() for part in (losses, length, scale, products)]).cpu()
        on_host, length, scale, products = torch.split(numbers, [size, 1, 1, size * size])
        products = products.view(size, size)
        if not rows.is_accurate(products):
            products = rows.exact_gramian().cpu()
        unit = 1 / (evidence.appearances * scale * num_processes())
        if (order := self._order(evidence.rows)) is not None:
            products = products[order][:, order]
        gramian = products * torch.outer(unit, unit)
        sizes = gramian.diagonal()
        others = 0.0
        if not length.isfinite():
            norms = torch.cat([self._heads.norms(evidence.tasks, losses), self.terms.length(losses).view(1)])
            sums.start(norms)
            sums.wait()
            *of_heads, others = norms.tolist()
            sizes = sizes + torch.tensor(of_heads, dtype=sizes.dtype)
        self.not_finite = judge(self._called(evidence), on_host, sizes, others)
        if not (self.not_finite or isinstance(self._setup.weighting, LossWeighting)):
            self.not_finite = undefined(self._setup, evidence.tasks, on_host)
        return None if self.not_finite else gramian, on_host

    def _called(self, evidence: Evidence) -> list[str]:
        """What a message calls the rows."""
        return quoted(evidence.tasks)

    def _ask(
        self, tasks: Tasks, gramian: Tensor, evidence: Evidence, on_host: Tensor
    ) -> tuple[Mapping[str, Tensor], Tensor | None]:
        """Asks for the tasks' weights, or for the direction of a Jacobian method; the tasks' Gramian comes along."""
        weighting, losses = self._setup.weighting, evidence.losses
        if isinstance(weighting, JacobianWeighting):
            self._mean_appearances = float(evidence.appearances.mean())
            jacobian = self._jacobian(tasks, evidence.appearances)
            self._direction = weighting(jacobian, losses, self._setup.index(tasks, losses.device))
            if not self._direction.isfinite().all():
                raise SolverError(f"{type(weighting).__name__} gave a direction that is not finite")
            return {}, gramian
        if isinstance(weighting, LossWeighting):
            self._objective, weights = ask_for_objective(self._setup, tasks, losses)
            self._weights = self._weights_of_rows = ByTask(tasks, weights)
            return self._weights, gramian
        weights = self._solve(tasks, gramian, on_host)
        self._weights = self._weights_of_rows = dict(zip(tasks, weights.tolist(), strict=True))
        return ByTask(tasks, weights), gramian

    def _solve(self, tasks: Tasks, gramian: Tensor, losses: Tensor) -> Tensor:
        """What a Gramian method answers.

        Raises:
            SolverError: If it is not finite.
        """
        weighting = self._setup.weighting
        weights: Tensor = weighting(gramian, losses, self._setup.index(tasks, losses.device))
        if not weights.isfinite().all():
            name = type(weighting).__name__
            raise SolverError(f"{name} gave weights that are not finite, {weights.tolist()}, for {gramian.tolist()}")
        return weights

    def _order(self, wanted: Sequence[str]) -> list[int] | None:
        """The places of rows; null if they are all in their order."""
        rows = self._rows.tasks
        return None if list(wanted) == rows else [rows.index(row) for row in wanted]

    def _jacobian(self, tasks: Tasks, appearances: Tensor) -> Tensor:
        """The tasks' mean gradients [T, P], in their order."""
        rows, order, device = self._rows, self._order(tasks), self._setup.like.device
        assert isinstance(rows, WholeRows), "a Jacobian method sees all shared parameters, on each process"
        units = 1 / (appearances * num_processes())
        if self._setup.scaler is None and bool((units == 1).all()):
            return rows.jacobian(order)
        return rows.jacobian(order, units.to(device, non_blocking=True) / self._setup.scale(device))

    def write(self, tasks: Tasks, factor: Tensor) -> None:
        unscaled = self._setup.unscaled(factor)
        if self._second is not None:
            self._second.write(tasks, unscaled)
        elif self._direction is not None:
            self._write_shared(tasks, self._direction * (factor * self._mean_appearances))
        else:
            number = num_processes()
            in_order = [self._weights_of_rows[row] / number for row in self._rows.tasks]
            self._write_shared(tasks, self._gradients.combine(in_order, unscaled))
        self._heads.write(tasks, self._weights, unscaled)
        self.terms.write(unscaled)
        if isinstance(self._setup.weighting, LossWeighting) and self._objective is not None:
            train_weighting(self._setup, self._objective, factor)

    def _write_shared(self, tasks: Tasks, combined: Tensor) -> None:
        rows = self._gradients
        used = self._setup.writer.used(("rows", *tasks), rows.parameters, rows.used, combined)
        gradients = zip(rows.pieces(combined), used, strict=True)
        chosen = [gradient if is_used else None for gradient, is_used in gradients]
        self._setup.writer.accumulate(rows.parameters, chosen)

    @property
    def _gradients(self) -> Rows:
        """The rows, where no second pass is needed."""
        assert isinstance(self._rows, Rows), "the weighting sees the gradients of all shared parameters"
        return self._rows
