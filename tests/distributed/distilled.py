"""One step of a student whose labels are missing here and there: ``python distilled.py FOLDER``, on each process.

Each way reads all examples in one step of the optimizer. Results are pickled by process: the parameters after it.
"""

import pickle
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from lightning.pytorch import Trainer
from quiet import begin

from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.tasks import SequenceClassification, TokenClassification
from mtl_lightning.training.distilling import Distillation
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.weighting import EqualWeighting, UPGrad

BERT = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 40,
}
LENGTHS = [1, 9, 3, 2, 7, 1, 12, 5]
"""In words: a mean of means is no mean of these."""
WEIGHTINGS = {each.__name__: each for each in (EqualWeighting, UPGrad)}
WAYS = {"whole": 1, "accumulated": 2, "one by one": 4}
"""How many batches make a step of the optimizer; in some of them no tag is known."""


class Sentences(DataSource):
    """Letters for words; the first four sentences have no tags, and every other one no kind."""

    def __init__(self) -> None:
        super().__init__({"tokens": "words"}, {"tags": "tags", "kind": "kind"})

    def load(self) -> dict[str, Dataset]:
        words = [["abcdefgh"[(i * 3 + j) % 8] for j in range(n)] for i, n in enumerate(LENGTHS)]
        tags = [None if i < 4 else ["xy"[j % 2] for j in range(n)] for i, n in enumerate(LENGTHS)]
        kinds = [None if i % 2 else "ab"[n > 4] for i, n in enumerate(LENGTHS)]
        return {"train": Dataset.from_dict({"words": words, "tags": tags, "kind": kinds})}


def model(seed: int, weighting: Any = EqualWeighting, **options: Any) -> MultiTaskModule:
    torch.manual_seed(seed)
    encoder = TransformerEncoder(config=BERT, tokenizer="characters:ascii", max_length=32, dropout=0.0)
    tasks = {
        "tags": TokenClassification(labels=["x", "y"], dropout=0.0),
        "kind": SequenceClassification(["a", "b"], dropout=0.0),
    }
    return MultiTaskModule(encoder, tasks, weighting, optimizer=lambda p: torch.optim.SGD(p, lr=0.5), **options)


def save_teacher(path: Path) -> None:
    teacher = model(5)
    teacher.build()
    encoder = {"config": BERT, "tokenizer": "characters:ascii", "max_length": 32}
    tasks = {name: {"class_path": type(task).__name__} for name, task in teacher.tasks.items()}
    of = {"encoder": {"class_path": "TransformerEncoder", "init_args": encoder}, "tasks": tasks}
    teacher.keep_config({"model": of, "data": {}})
    teacher.save(path)


def train(weighting: Any, world: int, accumulated: int, teacher: Path) -> dict[str, Any]:
    """The parameters after a step."""
    distil = Distillation(str(teacher), temperature=2.0, weight=0.4, features=0.3)
    module = model(3, weighting, distil=distil)
    size = len(LENGTHS) // world // accumulated
    data = MultiTaskDataModule({"sentences": Sentences()}, batch_size=size, num_workers=0)
    trainer = Trainer(
        accelerator="cpu",
        devices=world,
        strategy="ddp" if world > 1 else "auto",
        precision="64-true",
        max_steps=1,
        accumulate_grad_batches=accumulated,
        limit_val_batches=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(module, datamodule=data)
    return {name: parameter.detach() for name, parameter in module.named_parameters()}


def main(folder: Path) -> None:
    """Trains in all ways."""
    world, rank = begin()
    torch.set_num_threads(1)
    disable_progress_bars()
    teacher = folder / str(world) / f"{rank}.ckpt"
    save_teacher(teacher)
    found = {
        name: {way: train(weighting, world, number, teacher) for way, number in WAYS.items()}
        for name, weighting in WEIGHTINGS.items()
    }
    (folder / str(world) / f"{rank}.pickle").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
