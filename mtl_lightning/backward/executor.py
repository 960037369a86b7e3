"""The executor: gathers a step's evidence, asks the weighting, writes ``.grad``."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mtl_lightning.backward.evidence import new_rows, num_values, prepare
from mtl_lightning.backward.finite import copied_state, judge_written, take_back
from mtl_lightning.backward.gradients import Writer, add_terms
from mtl_lightning.backward.means import EpochMeans
from mtl_lightning.backward.options import check_options
from mtl_lightning.backward.parameters import Candidates, same_parameters
from mtl_lightning.backward.passes import KnownWeightsPass, ObjectivePass, Pass
from mtl_lightning.backward.processes import mean_over_processes
from mtl_lightning.backward.step import BatchTasks, Setup, Step, Tasks
from mtl_lightning.backward.task_pass import TaskPass
from mtl_lightning.backward.window import OptimizerStep, Window
from mtl_lightning.weighting import GramianWeighting, JacobianWeighting, LossWeighting, Weighting


class Executor:
    """Gathers a step's evidence, asks the weighting, and writes gradients.

    A step is ``add`` for each batch, then ``combine``, then ``backward``. Where several batches make up an optimizer
    step (accumulation, or one data set a step), each of them is such a step, and only the last one is told that it is
    ``last``: a Gramian or Jacobian method then sees the tasks' mean gradients over all of them. A loss weighting weighs
    each batch by the losses of that batch, so that nothing need be kept.

    Args:
        weighting: What balances the tasks.
        shared: Parameters that several tasks train.
        own: Parameters of each task's head. What several heads hold counts as shared.
        head_gradients: What a head receives from a Gramian or Jacobian method: the gradient of its own loss (``own``),
            or that multiplied by the task's weight (``weighted``, Gramian methods only). A loss weighting's heads
            receive the gradient of the objective.
        gradient_of: What a Gramian method sees the gradients of: all ``shared`` parameters, the encoder's ``features``,
            or some of the shared parameters. Any but the first costs one ordinary backward pass and little more.
        refresh_every: A Gramian method's weights are computed in every n-th optimizer step and kept in between, at the
            cost of an ordinary backward pass; a task weighs 1 until it has been seen. For a loss weighting: how often
            the tasks' gradients are computed to see how they conflict, null for never.

    Raises:
        UserError: If an option has no meaning for the weighting.
    """

    def __init__(
        self,
        weighting: Weighting,
        shared: Iterable[nn.Parameter],
        own: Mapping[str, Iterable[nn.Parameter]],
        head_gradients: Literal["own", "weighted"] = "own",
        gradient_of: Literal["shared", "features"] | Sequence[nn.Parameter] = "shared",
        refresh_every: int | None = None,
    ) -> None:
        check_options(weighting, head_gradients, gradient_of, refresh_every)
        weighted = head_gradients == "weighted" or isinstance(weighting, LossWeighting)
        self._candidates = Candidates(shared, own, gradient_of, keep=isinstance(weighting, JacobianWeighting))
        self.setup = Setup(weighting, *self._candidates.trained(), weighted)
        self.check_finite = True
        """Whether to look for numbers that are not finite where that takes a device synchronisation of its own."""
        self.means = EpochMeans()
        """Mean losses of the epoch."""
        self.overflow = False
        """Whether the last step's gradients overflowed under a gradient scaler, which skips it and lowers its scale."""
        self.not_finite: tuple[str, ...] = ()
        """After the last ``backward`` of a step: what was not finite, so that there are no gradients. Gradients that
        overflow under a gradient scaler are left to it: it skips the step and lowers its scale."""
        self._refresh_every = 1 if refresh_every is None and not isinstance(weighting, LossWeighting) else refresh_every
        self._rows = new_rows(self.setup)
        prepare(self.setup)
        self._weights = dict.fromkeys(weighting.tasks, 1.0)
        self._age = self._refresh_every or 0
        self._step = OptimizerStep()
        self._open: Window | None = None
        self._objective: Tensor | None = None
        self._last = self._ready = False

    @property
    def scaler(self) -> Any:
        """The gradient scaler of fp16 training, an object like ``torch.amp.GradScaler``; none at first."""
        return self.setup.scaler

    @scaler.setter
    def scaler(self, scaler: Any) -> None:
        self.setup.scaler = scaler

    # -- what trains -------------------------------------------------------------------------------------------------
    def use(
        self,
        shared: Iterable[nn.Parameter],
        own: Mapping[str, Iterable[nn.Parameter]],
        gradient_of: Literal["shared", "features"] | Sequence[nn.Parameter] = "shared",
    ) -> None:
        """Names the parameters there are, where some were added or replaced; see the class.

        Which of them train is asked whenever a step begins, so that nobody need say what is frozen or unfrozen.
        """
        self._candidates.replace(shared, own, gradient_of)

    @property
    def compares(self) -> bool:
        """Whether there is anything that trains to compare the tasks' gradients by; without, known weights are kept."""
        shared, _, evidence = self._candidates.trained()
        return any(parameter.requires_grad for parameter in (shared if evidence is None else evidence))

    def _follow(self) -> None:
        """Asks what trains, and starts anew with what depends on it if that has changed."""
        trained = self._candidates.trained()
        if same_parameters(trained, (self.setup.shared, self.setup.own, self.setup.evidence)):
            return
        before = self.setup.shared
        self.setup.shared, self.setup.own, self.setup.evidence = trained
        self.setup.writer = Writer()
        self._rows = new_rows(self.setup)
        prepare(self.setup, before)

    # -- a step ------------------------------------------------------------------------------------------------------
    def discard(self) -> None:
        """Forgets a step that was begun and not ended."""
        self._step = OptimizerStep()
        self._close_window()

    def add(
        self,
        losses: Mapping[str, Tensor],
        shares: Mapping[str, float] | None = None,
        features: Sequence[Tensor] = (),
        complete: Collection[str] = (),
    ) -> None:
        """Takes what one batch contributes to a step.

        Args:
            losses: Mean loss of each task that has labels in this process's batch, differentiable scalars.
            shares: For each task that has labels in the step on any process, the weight of this batch in the step's
                mean; see :class:`mtl_lightning.data.Batch`. Null: 1 for each task of ``losses``.
            features: What the encoder made of the batch, if ``gradient_of`` is ``features``.
            complete: Tasks of which no further batch of this optimizer step has labels: their gradients are on their
                way to other processes while the next batch is worked on.

        Raises:
            UserError: If the tasks of two batches have no features in common to compare gradients by.
        """
        shares = dict.fromkeys(losses, 1.0) if shares is None else shares
        with self.setup.full_precision():
            self._add(losses, shares, features, complete)

    def _add(
        self,
        losses: Mapping[str, Tensor],
        shares: Mapping[str, float],
        features: Sequence[Tensor],
        complete: Collection[str],
    ) -> None:
        terms = {t: loss if shares[t] == 1 else loss * shares[t] for t, loss in losses.items() if t in shares}
        add_terms(self._window.losses, self._shared_out(losses, shares))
        self._window.current |= shares.keys()
        batch = BatchTasks(tuple(shares), tuple(task for task in shares if task in complete))
        self._window.way.add(terms, batch, features)

    def combine(self, last: bool = True) -> Step:
        """Asks the weighting.

        Args:
            last: Whether the optimizer step follows.

        Raises:
            RuntimeError: If the weighting finds no weights.
        """
        self._last = last
        self._window.appearances.update(self._window.current)
        self._window.current = set()
        tasks = self._present()
        self._objective = self.setup.zero().requires_grad_()
        self._ready = bool(tasks) and (last or isinstance(self.setup.weighting, LossWeighting))
        if not self._ready:
            return Step(self._objective, {}, {})
        if self._step.before is None and self.check_finite and not self._window.way.judges:
            self._step.before = copied_state(self.setup)
        appearances = torch.tensor([float(self._window.appearances[task]) for task in tasks], dtype=torch.float64)
        losses = torch.stack([self._window.losses[task] / self._window.appearances[task] for task in tasks])
        with self.setup.full_precision():
            step = self._window.way.combine(tasks, mean_over_processes(losses), appearances)
        self._objective = step.objective
        self._step.losses.append(step.losses)
        if step.gramian is not None:
            self._step.asked = True
            if isinstance(self.setup.weighting, GramianWeighting):
                self._step.weights = {task: float(weight) for task, weight in step.weights.items()}
        return step

    def backward(self, loss: Tensor) -> None:
        """Writes ``.grad``, adding to what is there.

        Args:
            loss: The objective that ``combine`` returned, times the trainer's factors (accumulation, gradient scaler).
        """
        assert self._objective is not None, "combine() comes first"
        (factor,) = torch.autograd.grad(loss, self._objective, retain_graph=True)
        if self._ready:
            self._step.not_finite += self._window.way.not_finite
            self._step.judged &= self._window.way.judges
            if not self._window.way.not_finite or self.setup.scaler is not None:
                self._window.way.write(self._present(), factor)
        if self._last:
            self._end_step()
        if self._last or isinstance(self.setup.weighting, LossWeighting):
            self._close_window()
        self._objective = None  # and with it the graph

    def _end_step(self) -> None:
        """Counts an optimizer step, or takes it back if something was not finite."""
        if self.check_finite and not self._step.not_finite and not self._step.judged:
            losses: dict[str, Tensor] = {}
            for step in self._step.losses:
                add_terms(losses, step)
            self._step.not_finite = judge_written(self.setup, tuple(losses), torch.stack(list(losses.values())))
        bad = tuple(dict.fromkeys(self._step.not_finite))
        scaler = self.setup.scaler
        gradients_only = bool(bad) and all(cause.startswith("gradient") for cause in bad)
        self.overflow = scaler is not None and gradients_only and scaler.get_scale() > 1
        self.not_finite = () if self.overflow else bad
        if bad:
            take_back(self.setup)
            if self._step.before is not None:
                self.setup.weighting.load_state_dict(self._step.before)
        else:
            for step in self._step.losses:
                self.means.add(step)
            self._weights |= self._step.weights
            self._age = 1 if self._step.asked else self._age + 1
        self._step = OptimizerStep()

    def finish_step(self, batches: Iterable[tuple[Mapping[str, Tensor], Mapping[str, float]]]) -> None:
        """Tells a weighting that ``needs_losses_after`` what the optimizer step has done.

        Args:
            batches: Losses and shares of the step's last batches, as for ``add``, under the new parameters.
        """
        totals: dict[str, Tensor] = {}
        for losses, shares in batches:
            add_terms(totals, self._shared_out(losses, shares))
        tasks = tuple(task for task in self.setup.weighting.tasks if task in totals)
        if tasks:
            after = mean_over_processes(torch.stack([totals[task] for task in tasks]))
            self.setup.weighting.on_step_end(after, self.setup.index(tasks, after.device))

    # -- state -------------------------------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold for training to go on exactly."""
        state = {"weights": dict(self._weights), "age": self._age, "means": self.means.state_dict()}
        return state | {"num_parameters": num_values(self.setup.shared)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a checkpoint."""
        self._weights, self._age = dict(state["weights"]), state["age"]
        self.means.load_state_dict(state["means"], self.setup.like.device)
        prepare(self.setup, num_parameters=state.get("num_parameters"))
        self.discard()

    @property
    def _window(self) -> Window:
        if self._open is None:
            self._follow()
            self._open = Window(self._new_pass())
        return self._open

    def _close_window(self) -> None:
        self._rows.clear()
        self._open = None

    def _new_pass(self) -> Pass:
        compares = self.compares or isinstance(self.setup.weighting, LossWeighting)
        if compares and self._refresh_every is not None and self._age >= self._refresh_every and not self._step.asked:
            return TaskPass(self.setup, self._rows)
        if isinstance(self.setup.weighting, LossWeighting):
            return ObjectivePass(self.setup)
        return KnownWeightsPass(self.setup, self._weights)

    def _shared_out(self, losses: Mapping[str, Tensor], shares: Mapping[str, float]) -> dict[str, Tensor]:
        """What this process adds to the tasks' losses, detached."""
        zero = self.setup.zero()
        return {t: losses[t].detach().to(zero) * share if t in losses else zero for t, share in shares.items()}

    def _present(self) -> Tasks:
        """Tasks that have labels in the step on any process, in the weighting's order."""
        return tuple(task for task in self.setup.weighting.tasks if task in self._window.losses)
