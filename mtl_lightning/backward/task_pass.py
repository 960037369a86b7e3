"""How a step is differentiated: once for each task, for weightings that compare the tasks' gradients."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mtl_lightning.backward.by_task import ByTask
from mtl_lightning.backward.compared import Compared
from mtl_lightning.backward.domain import undefined
from mtl_lightning.backward.finite import judge
from mtl_lightning.backward.gradients import add_terms, detached
from mtl_lightning.backward.heads import Heads
from mtl_lightning.backward.passes import Pass, SharedPass, ask_for_objective, train_weighting
from mtl_lightning.backward.processes import Sums, num_processes
from mtl_lightning.backward.rows import Rows, WholeRows
from mtl_lightning.backward.step import BatchTasks, Setup, Step, Tasks
from mtl_lightning.weighting import GramianWeighting, JacobianWeighting, LossWeighting
from mtl_lightning.weighting.solvers import SolverError


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
        self._direction: Tensor | None = None
        self._objective: Tensor | None = None
        self._mean_appearances = 1.0
        self.judges = self._second is None and not isinstance(setup.weighting, LossWeighting)

    def add(self, terms: Mapping[str, Tensor], batch: BatchTasks, features: Sequence[Tensor]) -> Mapping[str, Tensor]:
        with self._setup.full_precision():
            self._differentiate(self._setup.scaled(terms), batch, features)
        return detached(terms)

    def _differentiate(self, terms: Mapping[str, Tensor], batch: BatchTasks, features: Sequence[Tensor]) -> None:
        self._rows.start_batch(batch.present)
        sources: Sequence[Tensor] = features if self._setup.evidence is None else self._setup.evidence
        remaining, one = len(terms), self._setup.one()
        for task in batch.present:
            if (term := terms.get(task)) is not None:
                remaining -= 1
                keep = self._second is not None or remaining > 0
                gradients = self._setup.differentiate(term, [*sources, *self._setup.own[task]], one, keep)
                self._rows.add(task, gradients[: len(sources)], sources)
                self._heads.add(task, gradients[len(sources) :])
            if task in batch.complete:
                self._rows.send(task)
        self._rows.end_batch()
        if self._second is not None:
            add_terms(self._losses, terms)

    def combine(self, tasks: Tasks, terms: Tensor, losses: Tensor, appearances: Sequence[int]) -> Step:
        self._objective, found = losses.sum().requires_grad_(), ByTask(tasks, losses)
        counts = torch.tensor(appearances, dtype=torch.float64)
        gramian, on_host = self._evidence(tasks, losses, counts)
        if gramian is None:
            self._weights = dict.fromkeys(tasks, 1.0)  # for a gradient scaler, which is to see what is not finite
            if self._second is not None:
                self._second.add(self._losses, self._weights)
            return Step(self._objective, found, {})
        seconds = time.perf_counter()
        weights = self._ask(tasks, gramian, losses, on_host, counts)
        seconds = time.perf_counter() - seconds
        if self._second is not None:
            self._second.add(self._losses, self._weights)
        timed = isinstance(self._setup.weighting, GramianWeighting)
        return Step(self._objective, found, weights, gramian, seconds if timed else None)

    def _evidence(self, tasks: Tasks, losses: Tensor, appearances: Tensor) -> tuple[Tensor | None, Tensor]:
        """The Gramian [T, T] and the losses [T], brought to the host together: a step's one device synchronisation.

        There is no Gramian if something is not finite, or the weighting is not defined for the losses.
        """
        rows, size = self._rows, len(tasks)
        length, sums = self._heads.length(tasks, losses) + self.terms.length(losses), Sums()
        sums.start(length)
        rows.gather(losses.device)
        sums.wait()
        products, scale = rows.gramian().to(losses.device), self._setup.scale(losses.device)
        numbers = torch.cat([part.double().flatten() for part in (losses, length, scale, products)]).cpu()
        on_host, length, scale, products = torch.split(numbers, [size, 1, 1, size * size])
        products = products.view(size, size)
        if not rows.is_accurate(products):
            products = rows.exact_gramian().cpu()
        unit = 1 / (appearances * scale * num_processes())
        if (order := self._order(tasks)) is not None:
            products = products[order][:, order]
        gramian = products * torch.outer(unit, unit)
        sizes = gramian.diagonal()
        others = 0.0
        if not length.isfinite():
            norms = torch.cat([self._heads.norms(tasks, losses), self.terms.length(losses).view(1)])
            sums.start(norms)
            sums.wait()
            *of_heads, others = norms.tolist()
            sizes = sizes + torch.tensor(of_heads, dtype=sizes.dtype)
        self.not_finite = judge(tasks, on_host, sizes, others)
        if not (self.not_finite or isinstance(self._setup.weighting, LossWeighting)):
            self.not_finite = undefined(self._setup, tasks, on_host)
        return None if self.not_finite else gramian, on_host

    def _ask(
        self, tasks: Tasks, gramian: Tensor, losses: Tensor, on_host: Tensor, appearances: Tensor
    ) -> Mapping[str, Tensor]:
        """Asks for the tasks' weights, or for the direction of a Jacobian method."""
        weighting = self._setup.weighting
        if isinstance(weighting, JacobianWeighting):
            jacobian, self._mean_appearances = self._jacobian(tasks, appearances), float(appearances.mean())
            self._direction = weighting(jacobian, losses, self._setup.index(tasks, losses.device))
            if not self._direction.isfinite().all():
                raise SolverError(f"{type(weighting).__name__} gave a direction that is not finite")
            return {}
        if isinstance(weighting, LossWeighting):
            self._objective, weights = ask_for_objective(self._setup, tasks, losses)
            self._weights = ByTask(tasks, weights)
            return self._weights
        weights = weighting(gramian, on_host, self._setup.index(tasks, on_host.device))
        if not weights.isfinite().all():
            name = type(weighting).__name__
            raise SolverError(f"{name} gave weights that are not finite, {weights.tolist()}, for {gramian.tolist()}")
        self._weights = dict(zip(tasks, weights.tolist(), strict=True))
        return ByTask(tasks, weights)

    def _order(self, tasks: Tasks) -> list[int] | None:
        """The rows of tasks; null if they are all in their order."""
        rows = self._rows.tasks
        return None if list(tasks) == rows else [rows.index(task) for task in tasks]

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
            in_order = [self._weights[task] / number for task in self._rows.tasks]
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
