"""How often the weighting is asked with the tasks' gradients, and what it answered."""

import logging
from collections.abc import Mapping

from mtl_lightning.backward.batch_pass import BatchPass
from mtl_lightning.backward.compared import Compared
from mtl_lightning.backward.passes import KnownWeightsPass, ObjectivePass, Pass
from mtl_lightning.backward.perturbed_pass import PerturbedPass
from mtl_lightning.backward.processes import is_first
from mtl_lightning.backward.step import Setup
from mtl_lightning.backward.task_pass import TaskPass
from mtl_lightning.backward.window import OptimizerStep
from mtl_lightning.weighting import LossWeighting, Weighting

_LOG = logging.getLogger(__name__)


class KeptWeights:
    """The weights of a Gramian method between two times that it is asked.

    Args:
        weighting: What is asked.
        every: In every how manieth optimizer step; null: a loss weighting never, another always.

    Attributes:
        every: The same, null for never.
        weights: Of each of the K tasks; 1 until it has been seen.
        age: In optimizer steps.
    """

    def __init__(self, weighting: Weighting, every: int | None) -> None:
        self.every = 1 if every is None and not isinstance(weighting, LossWeighting) else every
        self.weights: dict[str, float] = dict.fromkeys(weighting.tasks, 1.0)
        self.age = self.every or 0
        self._number, self._name, self._said = weighting.batches_compared, type(weighting).__name__, False
        self._of_which = ", the last of validation data," if weighting.needs_validation_batch else ","

    @property
    def asks(self) -> bool:
        """Whether the weighting is ever asked with the tasks' gradients."""
        return self.every is not None

    def new_pass(self, setup: Setup, rows: Compared, step: OptimizerStep) -> Pass:
        """How the next step is differentiated.

        Args:
            setup: What is trained.
            rows: An empty memory for the gradients.
            step: The optimizer step under way, in which nobody is asked twice.
        """
        of_losses = isinstance(setup.weighting, LossWeighting)
        if (setup.compares or of_losses) and self.every is not None and self.age >= self.every and not step.asked:
            if setup.weighting.perturbs_parameters:
                return PerturbedPass(setup, rows)
            return TaskPass(setup, rows) if self._number == 1 else BatchPass(setup, rows, self.weights)
        return ObjectivePass(setup) if of_losses else KnownWeightsPass(setup, self.weights)

    def end_step(self, step: OptimizerStep) -> None:
        """Keeps what was answered in an optimizer step; says once where there has been nothing to ask of."""
        is_new = all(weight == 1 for weight in self.weights.values())
        if self._number > 1 and not step.asked and is_new and not self._said and is_first():
            self._said = True
            _LOG.warning(
                f"{self._name} compares {self._number} batches a step{self._of_which} but no task had labels in so "
                "many: all weigh 1. Give an epoch more batches (a smaller `data.batch_size`); where a step draws one "
                "data set, set `trainer.accumulate_grad_batches` to their number; a loop of your own ends a step by "
                "`combine(last=True)` after the last batch alone"
            )
        self.weights |= step.weights
        self.age = 1 if step.asked else self.age + 1

    def load(self, weights: Mapping[str, float], age: int) -> None:
        """From a checkpoint."""
        self.weights, self.age = dict(weights), age
