"""How often the weighting is asked with the tasks' gradients, and what it answered."""

from collections.abc import Mapping

from mtl_lightning.backward.compared import Compared
from mtl_lightning.backward.passes import KnownWeightsPass, ObjectivePass, Pass
from mtl_lightning.backward.step import Setup
from mtl_lightning.backward.task_pass import TaskPass
from mtl_lightning.backward.window import OptimizerStep
from mtl_lightning.weighting import LossWeighting, Weighting


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
            return TaskPass(setup, rows)
        return ObjectivePass(setup) if of_losses else KnownWeightsPass(setup, self.weights)

    def end_step(self, step: OptimizerStep) -> None:
        """Keeps what was answered in an optimizer step."""
        self.weights |= step.weights
        self.age = 1 if step.asked else self.age + 1

    def load(self, weights: Mapping[str, float], age: int) -> None:
        """From a checkpoint."""
        self.weights, self.age = dict(weights), age
