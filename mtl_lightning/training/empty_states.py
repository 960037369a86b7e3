"""Metrics of a process that has seen no label of a task, while others have."""

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from mtl_lightning.data.collation import stack
from mtl_lightning.tasks import Task


def give_types(metrics: MetricCollection, task: Task) -> None:
    """Makes states that are empty lists empty tensors of the type that other processes have.

    torchmetrics takes float32 and one dimension for all of them. If others hold integers, or [N, C], processes would
    send each other what the receiver does not expect, which ends them or lets them wait for ever.

    Args:
        metrics: Of this process.
        task: Whose metrics they are, built.
    """
    if not any(_empty_lists(metric) for metric in metrics.values()):
        return
    device = next(metric.device for metric in metrics.values())
    sample = task.metrics().to(device)
    logits, targets = (tensor.to(device) for tensor in _example(task))
    task.update(sample, logits, targets)
    if task.group is not None:
        task.update_grouped(sample, logits, targets, torch.zeros(1, dtype=torch.int64, device=device))
    for name, metric in metrics.items():
        for state in _empty_lists(metric):
            found = sample[name].metric_state[state]
            if isinstance(found, list) and found:
                setattr(metric, state, [found[0][:0]])


def _empty_lists(metric: Metric) -> list[str]:
    return [name for name, state in metric.metric_state.items() if isinstance(state, list) and not state]


def _example(task: Task) -> tuple[Tensor, Tensor]:
    """Logits and a target that is present, of one example with one position."""
    example = {"num_words": 1, "word_starts": [0], "num_sequences": 2}
    fitted = task.fit(task.encode(None), example)
    missing = fitted if isinstance(fitted, bytes) else np.asarray(fitted)
    shape = {"pooled": (1, task.num_outputs), "tokens": (1, 1, task.num_outputs), "maps": (1, task.num_outputs, 1, 1)}
    return torch.zeros(shape[task.level]), torch.zeros_like(stack([missing], task.missing))
