"""Batch normalisation over a single example is refused before training, and never met where it can be avoided."""

import json
from pathlib import Path

import pytest
from lightning.pytorch import Trainer
from torch import nn

from mtl_lightning.data import FileSource, MultiTaskDataModule
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import SequenceClassification
from mtl_lightning.training.module import MultiTaskModule

QUIET = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


class Normed(PerceptronEncoder):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__(3, [8])
        self.layers = nn.Sequential(nn.Linear(3, 8), norm, nn.ReLU())


def train(folder: Path, size: int, batch_size: int, norm: nn.Module, drop_last: bool = False) -> MultiTaskModule:
    rows = [{"f": [i, 1, 2], "x": "pq"[i % 2]} for i in range(size)]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = FileSource({"train": "a.jsonl", "val": "a.jsonl"}, {"features": "f"}, {"x": "x"}, root=str(folder))
    model = MultiTaskModule(Normed(norm), {"x": SequenceClassification(labels=["p", "q"])})
    data = MultiTaskDataModule({"d": source}, batch_size=batch_size, drop_last=drop_last)
    trainer = Trainer(max_epochs=1, accelerator="cpu", num_sanity_val_steps=0, log_every_n_steps=1, **QUIET)
    trainer.fit(model, datamodule=data)
    return model


@pytest.mark.parametrize(
    ("size", "batch_size", "drop_last"), [(17, 8, False), (17, 4, True), (7, 3, False), (5, 2, True), (4, 2, False)]
)
def test_normalisation_trains(tmp_path: Path, size: int, batch_size: int, drop_last: bool) -> None:
    model = train(tmp_path, size, batch_size, nn.BatchNorm1d(8), drop_last)
    steps = size // batch_size + (size % batch_size > 0 and not drop_last)
    assert model.encoder.layers[1].num_batches_tracked == steps  # type: ignore[index, union-attr]


@pytest.mark.parametrize(("size", "batch_size"), [(5, 2), (3, 1), (1, 4)])
def test_one_line_before_training(tmp_path: Path, size: int, batch_size: int) -> None:
    message = rf"data\.batch_size: data set 'd', of size {size}, leaves a process a batch of one example, .*; set it"
    with pytest.raises(UserError, match=message):
        train(tmp_path, size, batch_size, nn.BatchNorm1d(8))


def test_other_normalisations_take_a_single_example(tmp_path: Path) -> None:
    model = train(tmp_path, 5, 2, nn.LayerNorm(8))
    assert model.trainer.global_step == 3
