"""What tasks make of the first validation examples, at each validation."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from mtl_lightning.callbacks.careful_loggers import attempt
from mtl_lightning.data import Batch
from mtl_lightning.data.first_examples import labelled_batch
from mtl_lightning.errors import UserError


class ValidationExamples(Callback, ABC):
    """Shows them in the log and in the run's folder; each process makes them, and the first one shows them.

    Args:
        number: How many examples of each task.

    Attributes:
        kind: Of task that is shown.
        needs: What such a task does, for the message where there is none.
    """

    kind: ClassVar[type]
    needs: ClassVar[str]

    def __init__(self, number: int) -> None:
        if number < 1:
            raise UserError(f"`number` must be at least 1, found {number}")
        self.number = number
        self._batches: dict[str, Batch] | None = None

    @abstractmethod
    def made(self, module: Any, task: str, batch: Batch) -> Any:
        """What a task makes of its examples, which are on the module's device."""

    @abstractmethod
    def keep(self, folder: Path, found: Mapping[str, Any], step: int) -> None:
        """Writes what was made, by task, into the run's folder."""

    @abstractmethod
    def show(self, logger: Any, found: Mapping[str, Any], step: int) -> None:
        """Logs the same."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Starts anew, and refuses a run that has nothing to show."""
        self._batches = None
        if stage == "fit" and not self._shown(pl_module):
            raise UserError(f"trainer.callbacks: {type(self).__name__} needs a task that {self.needs}; take it out")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Has it made, kept and logged."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        if self._batches is None:
            self._batches = self._first(trainer.datamodule, pl_module)  # type: ignore[attr-defined]
        with trainer.precision_plugin.val_step_context():
            found = {
                task: self.made(pl_module, task, move_data_to_device(batch, pl_module.device))
                for task, batch in self._batches.items()
            }
        if trainer.is_global_zero:
            self.keep(Path(trainer.default_root_dir), found, trainer.global_step)
            for logger in trainer.loggers:
                with attempt(logger):
                    self.show(logger, found, trainer.global_step)

    def _first(self, data: Any, module: Any) -> dict[str, Batch]:
        batches = {task: labelled_batch(data, task, "val", self.number) for task in self._shown(module)}
        return {task: batch for task, batch in batches.items() if batch is not None}

    def _shown(self, module: Any) -> list[str]:
        return [name for name, task in module.tasks.items() if isinstance(task, self.kind)]
