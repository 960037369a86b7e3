"""What tasks make of episodes: predictions for query sets, given what support sets show."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from mtl_lightning.data import Batch
from mtl_lightning.tasks import Task


class Answers(NamedTuple):
    """What a model says of the query set of an episode, or of a batch that is none.

    Attributes:
        logits: By task.
        targets: By task.
        counts: Number of labels present by task.
    """

    logits: Mapping[str, Any]
    targets: Mapping[str, Tensor]
    counts: Mapping[str, int]


def label_loss(task: Task, logits: Any, targets: Tensor, batch: Batch) -> Tensor:
    """Mean loss over the labels of a batch; of a task that reads support sets, over those of the query sets.

    Args:
        task: The task.
        logits: What its head returned.
        targets: Its targets.
        batch: Of which they are.
    """
    if batch.form is None or not task.reads_support:
        return task.loss(logits, targets)
    parts = [(task.on_support(*each), labels) for *each, labels in _episodes(batch, logits, targets)]
    return torch.stack([task.loss(found, labels) for found, labels in parts]).mean()


def answers(module: Any, batch: Batch) -> Iterator[Answers]:
    """What a model says of a batch in an evaluation: of each episode's query set, or of all examples.

    Args:
        module: The MultiTaskModule.
        batch: The batch.
    """
    logits = module(batch.inputs, list(batch.targets))
    if batch.form is None:
        yield Answers(logits, batch.targets, batch.counts)
        return
    episodes = {name: list(_episodes(batch, logits[name], targets)) for name, targets in batch.targets.items()}
    for one in zip(*episodes.values(), strict=True):
        found = dict(zip(episodes, one, strict=True))
        yield Answers(
            {name: module.tasks[name].on_support(*each[:3]) for name, each in found.items()},
            {name: each[3] for name, each in found.items()},
            {name: num_labels(module.tasks[name], each[3]) for name, each in found.items()},
        )


def num_labels(task: Task, targets: Tensor) -> int:
    """Number of labels present in some targets."""
    missing = targets.isnan() if task.missing != task.missing else targets == task.missing
    return int((~missing).sum())


def rows_of(values: Any, rows: slice) -> Any:
    """Some rows of logits, which are tensors that begin with B."""
    return tree_map(lambda value: value[rows] if isinstance(value, Tensor) else value, values)


def _episodes(batch: Batch, logits: Any, targets: Tensor) -> Iterator[tuple[Any, Any, Tensor, Tensor]]:
    """Logits of queries and of the support set, and targets of the support set and of the queries, of each episode."""
    assert batch.form is not None
    for support, query in batch.form.parts(len(batch.examples)):
        yield rows_of(logits, query), rows_of(logits, support), targets[support], targets[query]
