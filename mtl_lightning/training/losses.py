"""What a forward pass through labelled batches found."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from mtl_lightning.backward.gradients import add_terms


class Losses(NamedTuple):
    """What a forward pass through labelled batches found.

    Attributes:
        losses: Of each task that trains and has labels in them.
        shares: As :class:`mtl_lightning.data.Batch` has them, of the tasks that train.
        encoded: What the tasks have in common, as :meth:`mtl_lightning.sharing.Sharing.encode` returned it.
        terms: Those of sharing and chain, by name.
    """

    losses: Mapping[str, Tensor]
    shares: Mapping[str, float]
    encoded: Any
    terms: Mapping[str, Tensor]

    @property
    def features(self) -> list[Tensor]:
        """The differentiable tensors that the tasks have in common."""
        return [leaf for leaf in tree_leaves(self.encoded) if isinstance(leaf, Tensor) and leaf.requires_grad]


def zero_of(logits: Any) -> Tensor:
    """A loss of zero with a gradient of zero, whatever the logits are."""
    tensors = [leaf for leaf in tree_leaves(logits) if isinstance(leaf, Tensor)]
    parts = [tensor.flatten()[:0].sum() for tensor in tensors if tensor.is_floating_point()]
    return torch.stack(parts).sum()


def merged(parts: Sequence[Losses]) -> Losses:
    """The same of several batches as of one: a task's loss is the mean of its losses, by their shares in the step."""
    shares: dict[str, float] = {}
    for part in parts:
        for task, share in part.shares.items():
            shares[task] = shares.get(task, 0.0) + share
    losses: dict[str, Tensor] = {}
    terms: dict[str, Tensor] = {}
    for part in parts:
        add_terms(losses, {t: loss * (part.shares[t] / shares[t]) for t, loss in part.losses.items()})
        add_terms(terms, part.terms)
    return Losses(losses, shares, [part.encoded for part in parts], terms)
