"""What it costs to feed images and tables: waiting for JPEG files to be decoded and changed, and the rows of a table.

``python -m experiments.benchmark.feeding`` prints these tables alone. Images and rows are made up.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from lightning.pytorch import Callback
from PIL import Image
from pyarrow import parquet
from torch.optim import AdamW

from experiments.benchmark.loops import LEARNING_RATE
from experiments.benchmark.reading import Waiting, trainer
from experiments.benchmark.rows import Row, print_tables, row
from experiments.benchmark.silence import silence
from mtl_lightning.data import FileSource, MultiTaskDataModule
from mtl_lightning.encoders import Images, TablePerceptron, UNetEncoder
from mtl_lightning.inputs.augmentation import Augmentation, ColorJitter, RandomHorizontalFlip, RandomResizedCrop
from mtl_lightning.tasks import DenseBinary, Regression, SemanticSegmentation, SequenceClassification, Task
from mtl_lightning.training.module import MultiTaskModule

READ = (96, 128)
"""Height and width of what the U-Net reads."""

NUMBERS, CATEGORIES = 6, (10, 10, 100, 100)
"""Numeric columns, and numbers of categories of the others."""

BATCHES = (1024, 4096)
"""Sizes of the batches of rows."""

_ROWS_A_SECOND = 100_000


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        images: Number of image files.
        stored: Their height and width.
        steps: Training steps on images.
        rows: Of the table; an epoch of it is timed for each size of batches.
    """

    images: int = 256
    stored: tuple[int, int] = (480, 640)
    steps: int = 60
    rows: int = 300_000


QUICK = Effort(images=32, stored=(48, 64), steps=2, rows=8 * max(BATCHES))


def measure(effort: Effort = Effort()) -> list[Row]:
    """The rows of the benchmark."""
    with TemporaryDirectory() as folder:
        return waiting(Path(folder, "images"), effort) + table(Path(folder, "rows.parquet"), effort)


# -- images ------------------------------------------------------------------------------------------------------------
def waiting(folder: Path, effort: Effort, workers: Sequence[int] = (0, 2)) -> list[Row]:
    """Wall time of a training step that is spent waiting for images, with a thread for every core."""
    _write_images(folder, effort)
    by = " x ".join(map(str, effort.stored))
    title = f"U-Net of 0.4 M, batches of 8 JPEG files of {by} with PNG labels: waiting for data"
    rows, threads = [row(title, "a training step", 2, 1.0)], torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    for num_workers in workers:
        clock = Waiting()
        ran = trainer(max_steps=clock.warm_up + effort.steps, limit_val_batches=0, callbacks=[clock])
        ran.fit(_unet(), datamodule=_images(folder, num_workers))
        rows.append(row(title, f"waiting, {num_workers} workers", 2, clock.waited / clock.seconds, 0.05))
    torch.set_num_threads(threads)
    return rows


def _write_images(folder: Path, effort: Effort) -> None:
    """Smooth noise as JPEG files, and labels of their pixels as PNG files."""
    folder.mkdir()
    draw, (height, width) = np.random.default_rng(0), effort.stored
    for i in range(effort.images):
        coarse = Image.fromarray(draw.integers(0, 256, (24, 32, 3), np.uint8))
        fine = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        pixels = np.clip(fine + draw.normal(0, 8, fine.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.jpg", quality=90)
        Image.fromarray((fine.max(-1) // 64).astype(np.uint8)).save(folder / f"{i}.png")
        Image.fromarray((fine[..., 0] > 128).astype(np.uint8)).save(folder / f"{i}-edge.png")
    lines = [f"{i}.jpg,{i}.png,{i}-edge.png" for i in range(effort.images)]
    (folder / "index.csv").write_text("\n".join(["image,classes,edge", *lines]) + "\n", "utf-8")


def _unet() -> MultiTaskModule:
    torch.manual_seed(0)
    changes: list[Augmentation] = [
        RandomHorizontalFlip(),
        RandomResizedCrop(scale=(0.4, 1.0)),
        ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2),
    ]
    tasks: dict[str, Task] = {"classes": SemanticSegmentation(classes=["a", "b", "c", "d"]), "edge": DenseBinary()}
    return MultiTaskModule(
        UNetEncoder(images=Images(size=READ, augment=changes)), tasks, optimizer=partial(AdamW, lr=LEARNING_RATE)
    )


def _images(folder: Path, num_workers: int) -> MultiTaskDataModule:
    labels = {"classes": "classes", "edge": "edge"}
    source = FileSource({"train": "index.csv"}, {"image": "image"}, labels, str(folder))
    return MultiTaskDataModule({"images": source}, 8, num_workers=num_workers)


# -- tables ------------------------------------------------------------------------------------------------------------
class Speed(Callback):
    """Rows a second of processor time, from the end of one step to the end of the last; the first do not count."""

    warm_up = 3

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Starts the clock, and reads it."""
        if batch_idx + 1 == self.warm_up:
            self._start, self._rows = time.process_time(), 0
        elif batch_idx + 1 > self.warm_up:
            self._rows += sum(len(part.examples) for part in batch.values())
            self.rows_a_second = self._rows / (time.process_time() - self._start)


def table(path: Path, effort: Effort) -> list[Row]:
    """Processor time of a row in an epoch of training in Lightning, beside what it may take."""
    _write_table(path, effort.rows)
    columns = f"{NUMBERS} numbers and {len(CATEGORIES)} categories"
    title = f"perceptron 64-64 on a table of {effort.rows:,} rows, {columns}: time of a row"
    rows = [row(title, f"{1_000_000 / _ROWS_A_SECOND:g} microseconds", 2, 1.0)]
    inputs = {"numeric": [f"n{i}" for i in range(NUMBERS)], "categorical": [f"c{i}" for i in range(len(CATEGORIES))]}
    for batch_size in BATCHES:
        torch.manual_seed(0)
        tasks = {"kind": SequenceClassification(), "size": Regression()}
        model = MultiTaskModule(TablePerceptron(hidden=[64, 64]), tasks, optimizer=partial(AdamW, lr=LEARNING_RATE))
        source = FileSource({"train": path.name}, inputs, {"kind": "kind", "size": "size"}, str(path.parent))
        data, speed = MultiTaskDataModule({"rows": source}, batch_size), Speed()
        trainer(max_epochs=1, limit_val_batches=0, callbacks=[speed]).fit(model, datamodule=data)
        rows.append(row(title, f"in batches of {batch_size:,}", 2, _ROWS_A_SECOND / speed.rows_a_second, 1.0))
    return rows


def _write_table(path: Path, number: int) -> None:
    draw = np.random.default_rng(0)
    columns: dict[str, np.ndarray] = {f"n{i}": draw.normal(size=number) for i in range(NUMBERS)}
    columns |= {f"c{i}": draw.integers(0, size, number) for i, size in enumerate(CATEGORIES)}
    columns |= {"kind": (columns["n0"] + columns["n1"] > 0).astype(int), "size": columns["n2"] * columns["n3"]}
    parquet.write_table(pa.table(columns), path)


if __name__ == "__main__":
    silence()
    torch.set_num_threads(1)
    print_tables(measure())
