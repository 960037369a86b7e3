"""Which batches of a step go through the encoder together, and how what it made of them is parted again."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from mtl_lightning.backward import synchronise_buffers
from mtl_lightning.data import Batch, StepBatch
from mtl_lightning.encoders import Encoder
from mtl_lightning.sharing.contracts import Representation

Parts = Sequence[Batch]
"""Batches of one step that go through the encoder together."""


def passes(module: Any, batch: StepBatch) -> list[Parts]:
    """Which batches go through the encoder together, if data module and executor let any.

    None do where each task's gradient is asked for apart, or where the model is sharded: whether batches can be joined
    may depend on what a process has read, and all must do the same. Nor with an inner loop, which has each for itself.

    Args:
        module: The MultiTaskModule.
        batch: Of one step.
    """
    allowed = getattr(module.trainer.datamodule, "joint_pass", "never") != "never"
    joins = allowed and not (module.executor.is_by_task or module.executor.is_sharded or module.inner_loop is not None)
    return together(batch, module.encoder) if joins else apart(batch)


def run_through(module: Any, batch: StepBatch) -> Tensor:
    """A step that only updates running statistics; its loss is zero.

    Args:
        module: The MultiTaskModule.
        batch: Of the step.
    """
    for parts in apart(batch):
        module.losses(parts)
    synchronise_buffers(module.forward_modules)
    return torch.zeros((), device=module.device)


def apart(batch: StepBatch) -> list[Parts]:
    """Each batch by itself."""
    return [[part] for part in batch.values()]


def together(batch: StepBatch, encoder: Encoder) -> list[Parts]:
    """The batches of a step, those whose inputs can be joined in one.

    One pass of several batches keeps an accelerator busier than several passes, and costs a CPU less besides. Each by
    itself, where the encoder mixes the examples of a batch.
    """
    if len(batch) == 1 or encoder.mixes_examples:
        return apart(batch)
    groups: list[list[Batch]] = []
    for part in batch.values():
        for group in groups:
            if encoder.processor.can_join([each.inputs for each in (*group, part)]):
                group.append(part)
                break
        else:
            groups.append([part])
    return list(groups)


def split(encoded: Any, sizes: Sequence[int]) -> list[Any]:
    """What was made of joined batches, for each of them: tensors that begin with all their examples are cut.

    Args:
        encoded: Tensors in tuples, lists and dicts.
        sizes: Numbers of examples.

    >>> split({"pooled": torch.arange(3), "bias": torch.zeros(1, 2)}, [2, 1])[1]
    {'pooled': tensor([2]), 'bias': tensor([[0., 0.]])}
    """
    total = sum(sizes)
    leaves, form = tree_flatten(encoded)
    columns = [
        torch.split(leaf, list(sizes))
        if isinstance(leaf, Tensor) and leaf.shape[:1] == (total,)
        else [leaf] * len(sizes)
        for leaf in leaves
    ]
    return [tree_unflatten(pieces, form) for pieces in zip(*columns, strict=True)]


def shortened(made: Mapping[str, Representation], num_positions: int) -> dict[str, Representation]:
    """What heads read of one of joined batches, by task, without the positions that only a longer one has.

    Args:
        made: What the sharing made for each task.
        num_positions: Label positions L of the batch alone.
    """
    return {task: _shortened(each, num_positions) for task, each in made.items()}


def _shortened(made: Representation, num_positions: int) -> Representation:
    if made.tokens is None or made.tokens.shape[1] == num_positions:
        return made
    mask = None if made.mask is None else made.mask[:, :num_positions]
    return made._replace(tokens=made.tokens[:, :num_positions], mask=mask)
