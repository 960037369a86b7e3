"""The scores of the best validation, in the summary of a run in Weights & Biases."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger

from mtl_lightning.callbacks.careful_loggers import attempt


class BestScores(Callback):
    """Writes ``best/val/<task>/<metric>``, ``best/epoch`` and ``best/step`` after each validation that is the best yet.

    Weights & Biases keeps the newest value of a metric in a run's summary; its tables compare runs by that.

    Args:
        monitor: The metric that says which validation is best.
        mode: ``max`` or ``min``.
    """

    config_key = "checkpoint"
    """Where the monitor is configured, for messages."""

    def __init__(self, monitor: str = "val/average", mode: str = "max") -> None:
        self.monitor = monitor
        self.sign = 1.0 if mode == "max" else -1.0
        self.best: float | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compares the validation with the best one before."""
        found = trainer.callback_metrics.get(self.monitor)
        if trainer.state.fn != "fit" or trainer.sanity_checking or found is None:
            return
        score = float(found)
        if score == score and (self.best is None or self.sign * score > self.sign * self.best):
            self.best = score
            self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        loggers = [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
        if loggers and trainer.is_global_zero:
            scores = {f"best/{k}": float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
            place = {"best/epoch": trainer.current_epoch, "best/step": trainer.global_step}
            for logger in loggers:
                with attempt(logger):
                    logger.experiment.summary.update({**scores, **place})

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.best = state_dict["best"]
