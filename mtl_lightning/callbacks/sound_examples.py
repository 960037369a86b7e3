"""Spectrograms of recordings with their labels and predictions, to look at beside the scores."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from mtl_lightning.callbacks.pixel_grids import as_bytes, grid
from mtl_lightning.callbacks.validation_examples import ValidationExamples
from mtl_lightning.data import Batch
from mtl_lightning.encoders import Picture
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.recordings import SOUND
from mtl_lightning.png import png
from mtl_lightning.tasks import Task
from mtl_lightning.writing import replacing, write_whole


class Heard(NamedTuple):
    """A recording.

    Attributes:
        picture: Its spectrogram in grey, low frequencies below, uint8 [H, W, 3].
        label: What it is.
        prediction: What the task says that it is.
    """

    picture: np.ndarray
    label: str
    prediction: str

    @property
    def caption(self) -> str:
        """Both in a line."""
        return f"label {self.label}, predicted {self.prediction}"


class SoundExamples(ValidationExamples):
    """Shows in the log, at each validation, what tasks make of the first validation recordings.

    From the command line::

        python -m mtl_lightning fit --trainer.callbacks+=SoundExamples --trainer.callbacks.number=4

    Weights & Biases gets spectrograms ``sounds/<task>`` with label and prediction below each, TensorBoard an image and
    a text of that name. The run's folder has ``sounds/<task>/<step>.png``, the spectrograms one below the other, and
    ``sounds/<task>/<step>.jsonl`` with a line for each, ``step`` being the number of optimizer steps so far.

    Args:
        number: How many recordings of each task.
    """

    kind = Task
    needs = "says something of a recording"

    def __init__(self, number: int = 4) -> None:
        super().__init__(number)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Starts anew, and refuses a run without recordings."""
        super().setup(trainer, pl_module, stage)
        encoder: Any = pl_module.encoder
        if stage == "fit" and SOUND not in encoder.processor.inputs:
            raise UserError(
                f"trainer.callbacks: {type(self).__name__} needs an encoder of sounds, and {type(encoder).__name__} "
                "reads none; take it out"
            )

    def made(self, module: Any, task: str, batch: Batch) -> list[Heard]:
        """Its recordings; none of a batch that has no spectrograms."""
        of_task, processor = module.tasks[task], module.encoder.processor
        predictions = of_task.decode(module.logits(batch, task), None)
        found = []
        for number, (prediction, target) in enumerate(zip(predictions, batch.targets[task].cpu(), strict=True)):
            pictures = [each for each in processor.shown(batch.inputs, number) if isinstance(each, Picture)]
            if pictures:
                label = str(of_task.in_words(target))
                found.append(Heard(as_bytes(pictures[0].pixels), label, _in_words(prediction)))
        return found

    def keep(self, folder: Path, found: Mapping[str, Sequence[Heard]], step: int) -> None:
        """``sounds/<task>/<step>.png`` and ``.jsonl``."""
        for task, heard in ((task, heard) for task, heard in found.items() if heard):
            path = folder / "sounds" / task / f"{step}.png"
            with replacing(path) as unfinished:
                unfinished.write_bytes(png(_below_each_other(heard)))
            rows = [{"label": each.label, "prediction": each.prediction} for each in heard]
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            write_whole(path.with_suffix(".jsonl"), lines)

    def show(self, logger: Any, found: Mapping[str, Sequence[Heard]], step: int) -> None:
        """Spectrograms with captions."""
        for task, heard in ((task, heard) for task, heard in found.items() if heard):
            captions = [each.caption for each in heard]
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(f"sounds/{task}", _below_each_other(heard), step, dataformats="HWC")
                logger.experiment.add_text(f"sounds/{task}", "\n".join(f"1. {each}" for each in captions), step)
            elif isinstance(logger, WandbLogger):
                logger.log_image(f"sounds/{task}", _of_one_size(heard), step=step, caption=captions)

    def _shown(self, module: Any) -> list[str]:
        return [name for name in super()._shown(module) if module.tasks[name].level == "pooled"]


def _of_one_size(heard: Sequence[Heard]) -> list[np.ndarray]:
    """Pictures, with white behind the shorter ones."""
    pictures = [each.picture for each in heard]
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    return [
        np.pad(p, ((0, height - p.shape[0]), (0, width - p.shape[1]), (0, 0)), constant_values=255) for p in pictures
    ]


def _below_each_other(heard: Sequence[Heard]) -> np.ndarray:
    return grid([[each] for each in _of_one_size(heard)])


def _in_words(prediction: Mapping[str, Any]) -> str:
    """A prediction as a caption has it."""
    if "label" in prediction:
        return f"{prediction['label']} ({prediction['probability']:.2f})"
    if "labels" in prediction:
        return ", ".join(map(str, prediction["labels"])) or "none"
    return f"{prediction['value']:g}" if "value" in prediction else json.dumps(prediction, ensure_ascii=False)
