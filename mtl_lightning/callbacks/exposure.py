"""How often each data set was seen."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mtl_lightning.data import StepBatch


class Exposure(Callback):
    """Logs ``train/epochs/<data set>``: examples seen so far, divided by the data set's size.

    :class:`MultiTaskModule` installs it. It counts examples of all processes, and counts on in a resumed run.
    """

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: StepBatch, batch_idx: int
    ) -> None:
        """Counts a batch and, when the trainer logs, reports."""
        self.seen.update({name: part.step_size for name, part in batch.items()})
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and trainer.global_step % every == 0:
            sizes: Mapping[str, int] = getattr(trainer.datamodule, "sizes", {})  # type: ignore[attr-defined]
            for name, size in sizes.items():
                pl_module.log(f"train/epochs/{name}", self.seen[name] / size, batch_size=1)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"seen": dict(self.seen)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.seen = Counter(state_dict["seen"])
