"""The split that is evaluated when training is over."""

from lightning.pytorch import Callback, LightningModule, Trainer


class ClosingSplit(Callback):
    """Reads the test split before training, where the run ends with a test.

    A split that is not there, or has a label that nobody knows, is refused before hours of training and not after them.
    What is read is cached for the evaluation.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reads it."""
        if trainer.limit_test_batches != 0:
            trainer.datamodule.test_dataloader()  # type: ignore[attr-defined]
