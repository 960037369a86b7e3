"""What tasks write, to read beside their scores."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn

from mtl_lightning.callbacks.careful_loggers import attempt
from mtl_lightning.data import Batch
from mtl_lightning.data.first_examples import labelled_batch
from mtl_lightning.errors import UserError
from mtl_lightning.tasks.writing_task import WritingTask, Written
from mtl_lightning.writing import write_whole

COLUMNS = ("prompt", "written", "references")


class WrittenTexts(Callback):
    """Shows in the log, at each validation, what each task that writes makes of the first validation examples.

    From the command line::

        python -m mtl_lightning fit --trainer.callbacks+=WrittenTexts --trainer.callbacks.number=8

    Weights & Biases gets a table ``texts/<task>`` with prompt, written text and references, as does any logger with
    ``log_table``; TensorBoard gets a text of that name. Beside them, ``texts/<step>.jsonl`` in the run's folder has the
    texts of all tasks, with the number of optimizer steps so far in its name. The texts are those that the task's
    metrics would see. They are written whether a metric needs them or not, on each process the same.

    Args:
        number: How many examples of each task.
    """

    def __init__(self, number: int = 8) -> None:
        if number < 1:
            raise UserError(f"`number` must be at least 1, found {number}")
        self.number = number
        self._batches: dict[str, Batch] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Starts anew, and refuses a run that has nothing to show."""
        self._batches = None
        tasks: Mapping[str, Any] = pl_module.tasks  # type: ignore[assignment]
        if stage == "fit" and not any(isinstance(task, WritingTask) for task in tasks.values()):
            raise UserError("trainer.callbacks: WrittenTexts needs a task that writes, such as CausalLM; take it out")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lets the tasks write, and logs it."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        if self._batches is None:
            self._batches = self._first(trainer.datamodule, pl_module)  # type: ignore[attr-defined]
        with trainer.precision_plugin.val_step_context():
            found = {
                task: pl_module.written(move_data_to_device(batch, pl_module.device), task)  # type: ignore[operator]
                for task, batch in self._batches.items()
            }
        if trainer.is_global_zero:
            _keep(Path(trainer.default_root_dir, "texts", f"{trainer.global_step}.jsonl"), found)
            for logger in trainer.loggers:
                with attempt(logger):
                    _log(logger, found, trainer.global_step)

    def _first(self, data: Any, module: Any) -> dict[str, Batch]:
        tasks = [name for name, task in module.tasks.items() if isinstance(task, WritingTask)]
        batches = {task: labelled_batch(data, task, "val", self.number) for task in tasks}
        return {task: batch for task, batch in batches.items() if batch is not None}


def _keep(path: Path, found: Mapping[str, Sequence[Written]]) -> None:
    rows = [{"task": task, **_row(written)} for task, texts in found.items() for written in texts]
    write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _row(written: Written) -> dict[str, Any]:
    return dict(zip(COLUMNS, (written.prompt, written.text, written.references), strict=True))


def _log(logger: Any, found: Mapping[str, Sequence[Written]], step: int) -> None:
    for task, texts in found.items():
        rows = [[each.prompt, each.text, "\n".join(each.references)] for each in texts]
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text(f"texts/{task}", _markdown(rows), step)
        elif hasattr(logger, "log_table"):
            logger.log_table(f"texts/{task}", columns=list(COLUMNS), data=rows, step=step)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table, in which line breaks and what would end a cell are written so that they do not."""
    cells = [[cell.replace("|", "\\|").replace("\n", "<br>") for cell in row] for row in (COLUMNS, *rows)]
    head, *body = (f"| {' | '.join(row)} |" for row in cells)
    return "\n".join([head, "|---" * len(COLUMNS) + "|", *body])
