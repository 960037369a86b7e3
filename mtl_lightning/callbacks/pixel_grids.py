"""Images with the labels and predictions of their pixels, to look at beside the scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from mtl_lightning.callbacks.validation_examples import ValidationExamples
from mtl_lightning.data import Batch
from mtl_lightning.encoders import Picture
from mtl_lightning.png import png
from mtl_lightning.tasks import DenseTask
from mtl_lightning.writing import replacing

_GAP = 2


class PixelGrids(ValidationExamples):
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

    kind = DenseTask
    needs = "labels pixels, such as DepthEstimation"

    def __init__(self, number: int = 4) -> None:
        super().__init__(number)

    def made(self, module: Any, task: str, batch: Batch) -> np.ndarray:
        """Its grid."""
        pictures = module.tasks[task].pictures(module.logits(batch, task).cpu(), batch.targets[task].cpu())
        shown = [module.encoder.processor.shown(batch.inputs, example) for example in range(len(pictures))]
        images = [[as_bytes(each.pixels) for each in found if isinstance(each, Picture)] for found in shown]
        return grid([[*image, *pair] for image, pair in zip(images, pictures, strict=True)])

    def keep(self, folder: Path, found: Mapping[str, np.ndarray], step: int) -> None:
        """``grids/<task>/<step>.png``."""
        for task, each in found.items():
            with replacing(folder / "grids" / task / f"{step}.png") as unfinished:
                unfinished.write_bytes(png(each))

    def show(self, logger: Any, found: Mapping[str, np.ndarray], step: int) -> None:
        """An image a task."""
        for task, each in found.items():
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(f"grids/{task}", each, step, dataformats="HWC")
            elif isinstance(logger, WandbLogger):
                logger.log_image(f"grids/{task}", [each], step=step)


def grid(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Pictures of one size, uint8 [H, W, 3], beside and below each other, with white between them.

    >>> grid([[np.zeros((4, 5, 3), np.uint8)] * 3] * 2).shape
    (10, 19, 3)
    """
    pad = ((0, _GAP), (0, _GAP), (0, 0))
    lines = [np.concatenate([np.pad(each, pad, constant_values=255) for each in row], 1) for row in rows]
    return np.ascontiguousarray(np.concatenate(lines)[:-_GAP, :-_GAP])


def as_bytes(pixels: np.ndarray) -> np.ndarray:
    """A picture [H, W] or [H, W, 3] in colours [H, W, 3]: the least number is black, the largest white."""
    low, high = float(pixels.min()), float(pixels.max())
    colours = ((pixels - low) / (high - low or 1.0) * 255).astype(np.uint8)
    return colours if colours.ndim == 3 else np.repeat(colours[..., None], 3, -1)
