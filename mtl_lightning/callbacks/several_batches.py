"""Optimizer steps of as many batches as the weighting compares."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler

from mtl_lightning.errors import UserError


class SeveralBatches(Callback):
    """Lets the trainer accumulate for a weighting that takes several batches a step.

    Each of these is as many of the data module's batches as ``trainer.accumulate_grad_batches`` says. While a run
    trains, that number is of all of them, so that steps, schedules, checkpoints and progress count as they do whenever
    gradients are accumulated. :class:`MultiTaskModule` installs it.

    Args:
        number: Batches that the weighting takes a step.
        of: The weighting's name.
    """

    def __init__(self, number: int, of: str) -> None:
        self.number = number
        self.of = of
        self._given: int | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begins to accumulate.

        Raises:
            UserError: If another callback changes how much is accumulated.
        """
        if stage != "fit":
            return
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, GradientAccumulationScheduler):
                raise UserError(
                    f"trainer.callbacks: GradientAccumulationScheduler does not go with {self.of}, which takes "
                    f"{self.number} batches a step; set trainer.accumulate_grad_batches to the batches of each of them"
                )
        self._given = trainer.accumulate_grad_batches
        trainer.accumulate_grad_batches *= self.number

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Gives the trainer back what it was given."""
        self._restore(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """The same."""
        self._restore(trainer)

    def _restore(self, trainer: Any) -> None:
        if self._given is not None:
            trainer.accumulate_grad_batches, self._given = self._given, None
