"""The executor: gathers a step's evidence, asks the weighting, writes ``.grad``."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

from torch import Tensor, nn

from mtl_lightning.backward.compiled import keep_buffers
from mtl_lightning.backward.evidence import new_rows, num_values, prepare
from mtl_lightning.backward.features import tensors
from mtl_lightning.backward.finite import causes, clear, copied_state, overflowed, restore, take_back
from mtl_lightning.backward.further import Further
from mtl_lightning.backward.kept import KeptWeights
from mtl_lightning.backward.misuse import all_or_nothing, check_losses, check_total, factor_of
from mtl_lightning.backward.options import check_options, check_tasks
from mtl_lightning.backward.parameters import Candidates, GradientOf
from mtl_lightning.backward.passes import Losses
from mtl_lightning.backward.step import Setup, Step
from mtl_lightning.backward.window import OptimizerStep, Window
from mtl_lightning.errors import UserError
from mtl_lightning.weighting import GramianWeighting, JacobianWeighting, LossWeighting, Weighting


class Executor(Further):
    """Gathers a step's evidence, asks the weighting, and writes gradients.

    A step is ``add`` for each batch, then ``combine``, then ``backward``. Where several batches make up an optimizer
    step (accumulation, or one data set a step), each of them is such a step, and only the last one is told that it is
    ``last``: a Gramian or Jacobian method then sees the tasks' mean gradients over all of them. A loss weighting weighs
    each batch by the losses of that batch, so that nothing need be kept.

    Some weightings learn from more than that, and the executor raises where a loop leaves it out: the mean losses of an
    epoch (``start_epoch``), the losses after an optimizer step (``finish_step``), those of a validation
    (``finish_validation``), and the parameters of the weighting, which the optimizer must be given.

    A step in which an exception is raised is discarded, with the gradients that were written. Parameters' hooks after
    accumulation run once for each gradient that is written; hooks of tensors and full backward hooks of modules run in
    each pass, so that a method that compares gradients calls them once for each task. Sparse gradients, as those of
    ``nn.Embedding(sparse=True)``, are compared as dense ones and written as sparse ones. Several executors on one model
    each add to ``.grad``.

    Args:
        weighting: What balances the tasks.
        shared: Parameters that several tasks train.
        own: Parameters of each task's head. What several heads hold counts as shared.
        head_gradients: What a head receives from a Gramian or Jacobian method: the gradient of its own loss (``own``),
            or that multiplied by the task's weight (``weighted``, Gramian methods only). A loss weighting's heads
            receive the gradient of the objective.
        gradient_of: What a Gramian method sees the gradients of: all ``shared`` parameters, the encoder's ``features``,
            or some of the shared parameters. Any but the first costs one ordinary backward pass and little more. Of
            :class:`mtl_lightning.weighting.per_layer.PerLayer`: its layers, groups of the shared parameters.
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
        gradient_of: GradientOf = "shared",
        refresh_every: int | None = None,
    ) -> None:
        check_options(weighting, head_gradients, gradient_of, refresh_every)
        check_tasks(weighting, own)
        weighted = head_gradients == "weighted" or isinstance(weighting, LossWeighting)
        self._candidates = Candidates(shared, own, gradient_of, keep=isinstance(weighting, JacobianWeighting))
        super().__init__(Setup(weighting, *self._candidates.trained(), weighted, layers=self._candidates.layers))
        self.check_finite = True
        """Whether to look for numbers that are not finite where that takes a device synchronisation of its own."""
        self.overflow = False
        """Whether the last step's gradients overflowed under a gradient scaler, which skips it and lowers its scale."""
        self.not_finite: tuple[str, ...] = ()
        """After the last ``backward`` of a step: what was not finite, so that there are no gradients. Gradients that
        overflow under a gradient scaler are left to it: it skips the step and lowers its scale."""
        self._kept = KeptWeights(weighting, refresh_every)
        self._rows = new_rows(self.setup)
        prepare(self.setup)
        self._step = OptimizerStep()
        self._open: Window | None = None
        self._objective: Tensor | None = None
        self._last = self._ready = False
        if self._kept.asks:
            keep_buffers()

    @property
    def asks_every(self) -> int | None:
        """In every how manieth optimizer step the tasks' gradients are compared; null: never."""
        return self._kept.every

    # -- what trains -------------------------------------------------------------------------------------------------
    def use(
        self,
        shared: Iterable[nn.Parameter],
        own: Mapping[str, Iterable[nn.Parameter]],
        gradient_of: GradientOf = "shared",
    ) -> None:
        """Names the parameters there are, where some were added or replaced; see the class.

        Which of them train is asked whenever a step begins, so that nobody need say what is frozen or unfrozen.
        """
        self._candidates.replace(shared, own, gradient_of)
        self.setup.layers = self._candidates.layers

    def _follow(self) -> None:
        """Asks what trains, and starts anew with what depends on it if that has changed."""
        before = self.setup.shared
        if self.setup.follow(self._candidates.trained()):
            self._rows = new_rows(self.setup)
            prepare(self.setup, before)
            self._inspection.renew()

    # -- a step ------------------------------------------------------------------------------------------------------
    def discard(self) -> None:
        """Forgets a step that was begun and not ended."""
        self._step = OptimizerStep()
        self._objective = None
        self._contract.owes_losses = False
        self.setup.writer.call_hooks(wanted=False)
        self._close_window()
        self._rows = new_rows(self.setup)  # other processes may have joined

    @property
    def is_by_task(self) -> bool:
        """Whether the losses that are added next are differentiated one by one, task by task."""
        return self._window.way.is_by_task

    @property
    def is_sharded(self) -> bool:
        """Whether processes hold parts of parameters; each then adds a loss of every task that any of them has."""
        return self._candidates.is_sharded

    @all_or_nothing
    def add(
        self,
        losses: Losses,
        shares: Mapping[str, float] | None = None,
        features: Any = (),
        complete: Collection[str] = (),
        terms: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Takes what one batch contributes to a step.

        Args:
            losses: Mean loss of each task that has labels in this process's batch, differentiable scalars.
            shares: For each task that has labels in the step on any process, the weight of this batch in the step's
                mean; see :class:`mtl_lightning.data.Batch`. Null: 1 for each task of ``losses``.
            features: What the encoder made of the batch, if ``gradient_of`` is ``features``: a tensor, or sequences,
                mappings or dataclasses of tensors.
            complete: Tasks of which no further batch of this optimizer step has labels: their gradients are on their
                way to other processes while the next batch is worked on.
            terms: Loss terms that are no task's, with their coefficients, by name: their gradient is added as it is.
                They have the same names in each batch, and on each process.

        Raises:
            UserError: If the tasks of two batches have no features in common to compare gradients by, if the losses are
                none that can be trained, or if the step before was not written.
        """
        self._refuse_unwritten()
        window, sources = self._window, tensors(features) if self.setup.evidence is None else ()
        most, shares = (1, dict.fromkeys(losses, 1.0)) if shares is None else (self.setup.most_share, shares)
        if not (self.is_sharded or self._inspection.knows(losses)):
            self._inspection.look(self.setup, self._candidates.known, losses, shares, sources)
        if window.shares:
            check_total(window.shares, shares, most)
        try:
            window.add(self.setup, losses, shares, sources, complete, terms or {})
        except Exception:
            check_losses(self.setup.weighting, losses, shares, self.setup.like.device)
            raise

    @all_or_nothing
    def combine(self, last: bool = True) -> Step:
        """Asks the weighting.

        Args:
            last: Whether the optimizer step follows.

        Raises:
            RuntimeError: If the weighting finds no weights.
            UserError: If it was asked already.
        """
        self._refuse_unwritten()
        window, self._last = self._window, last
        window.end_step()
        self._ready = bool(window.losses) and (last or isinstance(self.setup.weighting, LossWeighting))
        if not self._ready:
            self._objective = self.setup.zero().requires_grad_()
            return Step(self._objective, {}, {})
        if self._step.before is None and self.check_finite and not window.way.judges:
            self._step.before = copied_state(self.setup)
        step, losses = window.ask(self.setup)
        self._objective = step.objective
        self._step.losses.append(losses)
        self._step.terms += (step.terms or {}).items()
        if step.gramian is not None:
            self._step.asked = True
            if isinstance(self.setup.weighting, GramianWeighting):
                self._step.weights = {task: float(weight) for task, weight in step.weights.items()}
        return step

    def _refuse_unwritten(self) -> None:
        if self._objective is not None and self._ready:
            raise UserError("a step was combined but not written; call `backward(step.objective)` after each `combine`")

    @all_or_nothing
    def backward(self, loss: Tensor) -> None:
        """Writes ``.grad``, adding to what is there.

        Args:
            loss: The objective that ``combine`` returned, times the trainer's factors (accumulation, gradient scaler).

        Raises:
            UserError: If it is another loss, or ``combine`` was not called.
        """
        if self._objective is None:
            raise UserError("`combine` comes before `backward`, once for each step")
        factor = factor_of(loss, self._objective)
        if self._ready:
            self._step.not_finite += self._window.way.not_finite
            self._step.judged &= self._window.way.judges
            if not self._window.way.not_finite or self.setup.scaler is not None:
                self._step.written = True
                self._window.way.write(self._window.present(self.setup), factor)
        if self._last:
            self._end_step()
        if self._last or isinstance(self.setup.weighting, LossWeighting):
            self._close_window()
        self._objective = None  # and with it the graph
        self.setup.writer.call_hooks(wanted=not (self._last and (self.not_finite or self.overflow)))

    def abandon(self) -> None:
        """Forgets a step in which an exception was raised, with the gradients and the state that it has changed."""
        if self._step.written:
            clear(self.setup)
        restore(self.setup, self._step)
        self.discard()

    def _end_step(self) -> None:
        """Counts an optimizer step, or takes it back if something was not finite."""
        bad = causes(self.setup, self._step, self.check_finite)
        self.overflow = overflowed(self.setup, bad)
        self.not_finite = () if self.overflow else bad
        if bad:
            take_back(self.setup)
            restore(self.setup, self._step)
        else:
            for losses in self._step.losses:
                self.means.add(*losses)
            self._kept.end_step(self._step)
            self._contract.end_step(self.setup)
        self._step = OptimizerStep()

    # -- state -------------------------------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold for training to go on exactly."""
        state = {"weights": dict(self._kept.weights), "age": self._kept.age, "means": self.means.state_dict()}
        return state | {"num_parameters": num_values(self.setup.shared), "validated": self._contract.validated}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a checkpoint."""
        self._kept.load(state["weights"], state["age"])
        self.means.load_state_dict(state["means"], self.setup.like.device)
        self._contract.validated = state.get("validated", True)
        prepare(self.setup, num_parameters=state.get("num_parameters"))
        self.discard()

    def __getstate__(self) -> dict[str, Any]:
        """For copies, which begin with a step of their own."""
        fresh = {"_step": OptimizerStep(), "_open": None, "_objective": None, "_rows": new_rows(self.setup)}
        return {**super().__getstate__(), **fresh}

    @property
    def _window(self) -> Window:
        if self._open is None:
            self._follow()
            self._contract.start_step(self.means.epoch)
            self._open = Window(self._kept.new_pass(self.setup, self._rows, self._step))
        return self._open

    def _close_window(self) -> None:
        self._rows.clear()
        self._open = None
