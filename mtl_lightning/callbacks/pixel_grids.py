"""Images with the labels and predictions of their pixels, to look at beside the scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.trainer.states import TrainerFn

from mtl_lightning.callbacks.careful_loggers import attempt
from mtl_lightning.data import Batch
from mtl_lightning.data.first_examples import labelled_batch
from mtl_lightning.encoders import Picture
from mtl_lightning.errors import UserError
from mtl_lightning.png import png
from mtl_lightning.tasks import DenseTask
from mtl_lightning.writing import replacing

_GAP = 2


class PixelGrids(Callback):
    """Shows in the log, at each validation, what tasks that label pixels make of the first validation images.

    From the command line::

        python -m mtl_lightning fit --trainer.callbacks+=PixelGrids --trainer.callbacks.number=4

    A grid has a row an image: the image as the model reads it, its label, and the prediction. Weights & Biases and
    TensorBoard get it as the image ``grids/<task>``. The run's folder has it as ``grids/<task>/<step>.png``, with the
    number of optimizer steps so far in its name. Pixels without a label are white in it; depth is grey between the
    nearest and the farthest pixel of the label.

    Args:
        number: How many images of each task.
    """

    def __init__(self, number: int = 4) -> None:
        if number < 1:
            raise UserError(f"`number` must be at least 1, found {number}")
        self.number = number
        self._batches: dict[str, Batch] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Starts anew, and refuses a run that has nothing to show."""
        self._batches = None
        if stage == "fit" and not _dense(pl_module):
            raise UserError(
                "trainer.callbacks: PixelGrids needs a task that labels pixels, such as DepthEstimation; take it out"
            )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lets the tasks predict, and logs it."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        if self._batches is None:
            self._batches = self._first(trainer.datamodule, pl_module)  # type: ignore[attr-defined]
        grids = {}
        for task, batch in self._batches.items():
            with trainer.precision_plugin.val_step_context():
                logits = pl_module.logits(move_data_to_device(batch, pl_module.device), task)  # type: ignore[operator]
            grids[task] = self._grid(pl_module, task, batch, logits)
        if trainer.is_global_zero:
            for task, found in grids.items():
                _keep(Path(trainer.default_root_dir, "grids", task, f"{trainer.global_step}.png"), found)
            for logger in trainer.loggers:
                with attempt(logger):
                    _log(logger, grids, trainer.global_step)

    def _first(self, data: Any, module: Any) -> dict[str, Batch]:
        batches = {task: labelled_batch(data, task, "val", self.number) for task in _dense(module)}
        return {task: batch for task, batch in batches.items() if batch is not None}

    def _grid(self, module: Any, task: str, batch: Batch, logits: Any) -> np.ndarray:
        pictures = module.tasks[task].pictures(logits.cpu(), batch.targets[task])
        shown = [module.encoder.processor.shown(batch.inputs, example) for example in range(len(pictures))]
        images = [[_bytes(each.pixels) for each in found if isinstance(each, Picture)] for found in shown]
        return grid([[*image, *pair] for image, pair in zip(images, pictures, strict=True)])


def grid(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Pictures of one size, uint8 [H, W, 3], beside and below each other, with white between them.

    >>> grid([[np.zeros((4, 5, 3), np.uint8)] * 3] * 2).shape
    (10, 19, 3)
    """
    pad = ((0, _GAP), (0, _GAP), (0, 0))
    lines = [np.concatenate([np.pad(each, pad, constant_values=255) for each in row], 1) for row in rows]
    return np.ascontiguousarray(np.concatenate(lines)[:-_GAP, :-_GAP])


def _keep(path: Path, found: np.ndarray) -> None:
    with replacing(path) as unfinished:
        unfinished.write_bytes(png(found))


def _dense(module: Any) -> list[str]:
    return [name for name, task in module.tasks.items() if isinstance(task, DenseTask)]


def _bytes(pixels: np.ndarray) -> np.ndarray:
    """A picture [H, W] or [H, W, 3] in colours [H, W, 3]: the least number is black, the largest white."""
    low, high = float(pixels.min()), float(pixels.max())
    colours = ((pixels - low) / (high - low or 1.0) * 255).astype(np.uint8)
    return colours if colours.ndim == 3 else np.repeat(colours[..., None], 3, -1)


def _log(logger: Any, grids: Mapping[str, np.ndarray], step: int) -> None:
    for task, found in grids.items():
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(f"grids/{task}", found, step, dataformats="HWC")
        elif isinstance(logger, WandbLogger):
            logger.log_image(f"grids/{task}", [found], step=step)
