"""Steps that were skipped because a number was not finite."""

import logging
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mtl_lightning.errors import UserError

_LOG = logging.getLogger(__name__)


class NotFiniteError(UserError):
    """A run whose losses or gradients are not finite any more has been given up."""


class StopWhenNotFinite(Callback):
    """Counts skipped steps, says why they were skipped, and ends a run that only skips.

    Logged: ``train/skipped``, the number of optimizer steps skipped so far. :class:`MultiTaskModule` installs it.

    Args:
        max_skipped: How many steps in a row may be skipped.
    """

    def __init__(self, max_skipped: int) -> None:
        if max_skipped < 1:
            raise UserError(f"`max_skipped` must be at least 1, found {max_skipped}")
        self.max_skipped = max_skipped
        self.skipped = self.in_a_row = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts, and gives up with a checkpoint of the last good parameters."""
        causes: tuple[str, ...] = pl_module.executor.not_finite  # type: ignore[assignment, union-attr]
        if trainer.fit_loop._should_accumulate():
            return
        if not causes:
            self.in_a_row = 0
        else:
            self.skipped += 1
            self.in_a_row += 1
            what = " and ".join(causes)
            _LOG.warning("Step %d is skipped: the %s is not finite.", trainer.global_step, what)
            if self.in_a_row >= self.max_skipped:
                path = self._save(trainer)
                raise NotFiniteError(
                    f"{self.in_a_row} steps in a row were skipped, because the {what} is not finite; the last good "
                    f"parameters are in {path}. Look at that task's data, lower the learning rate, clip gradients "
                    "(trainer.gradient_clip_val), or choose another weighting"
                )
        if self.skipped:
            pl_module.log("train/skipped", float(self.skipped), batch_size=1)

    def _save(self, trainer: Trainer) -> Path:
        folder = getattr(trainer.checkpoint_callback, "dirpath", None) or trainer.default_root_dir
        path = Path(folder, "not_finite.ckpt")
        trainer.save_checkpoint(path)
        return path

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"skipped": self.skipped, "in_a_row": self.in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.skipped, self.in_a_row = state_dict["skipped"], state_dict["in_a_row"]
