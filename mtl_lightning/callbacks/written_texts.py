"""What tasks write, to read beside their scores."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger

from mtl_lightning.callbacks.validation_examples import ValidationExamples
from mtl_lightning.data import Batch
from mtl_lightning.tasks.writing_task import WritingTask, Written
from mtl_lightning.writing import write_whole

COLUMNS = ("prompt", "written", "references")


class WrittenTexts(ValidationExamples):
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

    kind = WritingTask
    needs = "writes, such as CausalLM"

    def __init__(self, number: int = 8) -> None:
        super().__init__(number)

    def made(self, module: Any, task: str, batch: Batch) -> Sequence[Written]:
        """Its texts."""
        found: Sequence[Written] = module.written(batch, task)
        return found

    def keep(self, folder: Path, found: Mapping[str, Sequence[Written]], step: int) -> None:
        """``texts/<step>.jsonl``."""
        rows = [{"task": task, **_row(written)} for task, texts in found.items() for written in texts]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_whole(folder / "texts" / f"{step}.jsonl", lines)

    def show(self, logger: Any, found: Mapping[str, Sequence[Written]], step: int) -> None:
        """A table a task."""
        for task, texts in found.items():
            rows = [[each.prompt, each.text, "\n".join(each.references)] for each in texts]
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text(f"texts/{task}", _markdown(rows), step)
            elif hasattr(logger, "log_table"):
                logger.log_table(f"texts/{task}", columns=list(COLUMNS), data=rows, step=step)


def _row(written: Written) -> dict[str, Any]:
    return dict(zip(COLUMNS, (written.prompt, written.text, written.references), strict=True))


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table, in which line breaks and what would end a cell are written so that they do not."""
    cells = [[cell.replace("|", "\\|").replace("\n", "<br>") for cell in row] for row in (COLUMNS, *rows)]
    head, *body = (f"| {' | '.join(row)} |" for row in cells)
    return "\n".join([head, "|---" * len(COLUMNS) + "|", *body])
