"""The memory for a step's evidence, and what a weighting keeps of each parameter."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_lightning.backward.compared import Compared
from mtl_lightning.backward.feature_products import FeatureProducts
from mtl_lightning.backward.parameters import layout
from mtl_lightning.backward.processes import adds_up_parts_sooner
from mtl_lightning.backward.rows import WholeRows
from mtl_lightning.backward.scattered_rows import ScatteredRows
from mtl_lightning.backward.sharded_rows import ShardedRows
from mtl_lightning.backward.shards import is_sharded
from mtl_lightning.backward.step import Setup
from mtl_lightning.weighting import JacobianWeighting, LossWeighting


def new_rows(setup: Setup) -> Compared:
    """Memory for the gradients that the tasks are compared by, or their products."""
    num_tasks = len(setup.weighting.tasks) * setup.weighting.gradients_per_task
    if setup.evidence is None:
        return FeatureProducts(num_tasks)
    keep = not isinstance(setup.weighting, LossWeighting)  # which looks at the tasks' gradients only now and then
    if any(map(is_sharded, setup.evidence)):
        return ShardedRows(setup.evidence, num_tasks, keep)
    size, device = 4 * num_values(setup.evidence), setup.like.device
    needed = isinstance(setup.weighting, JacobianWeighting) or setup.weighting.perturbs_parameters
    whole = needed or not adds_up_parts_sooner(size, device)
    return (WholeRows if whole else ScatteredRows)(setup.evidence, num_tasks, keep)


def num_values(parameters: Sequence[nn.Parameter]) -> int:
    """How many numbers they hold."""
    return sum(parameter.numel() for parameter in parameters)


def prepare(setup: Setup, before: Sequence[nn.Parameter] | None = None, num_parameters: int | None = None) -> None:
    """Tells a Jacobian method how many numbers it sees, and of which layers.

    Args:
        setup: What is trained.
        before: The shared parameters until now: what the method keeps of them stays with them. Null: it keeps nothing.
        num_parameters: P; null: that of the shared parameters.
    """
    weighting = setup.weighting
    if not isinstance(weighting, JacobianWeighting):
        return
    old = dict(weighting.named_buffers())
    weighting.prepare(num_values(setup.shared) if num_parameters is None else num_parameters)
    for name, buffer in weighting.named_buffers():
        if (kept := old.get(name)) is None:
            buffer.data = buffer.to(setup.like.device, setup.dtype if buffer.is_floating_point() else None)
        else:
            buffer.data = buffer.to(kept)
            if before is not None:
                _carry_over(kept, buffer, before, setup.shared)
    if weighting.needs_layers:
        weighting.prepare_layers(len(setup.layers) + 1, layout(setup.layers, setup.shared))


def _carry_over(old: Tensor, new: Tensor, before: Sequence[nn.Parameter], now: Sequence[nn.Parameter]) -> None:
    """Copies what was kept of each parameter, in the last dimension, to where it stands now."""
    if old.dim() == 0 or old.shape[-1] != num_values(before) or new.shape[-1] != num_values(now):
        new.copy_(old)
        return
    values = torch.split(old, [parameter.numel() for parameter in before], dim=-1)
    kept = {id(parameter): value for parameter, value in zip(before, values, strict=True)}
    pieces = torch.split(new, [parameter.numel() for parameter in now], dim=-1)
    for parameter, piece in zip(now, pieces, strict=True):
        if (value := kept.get(id(parameter))) is not None and value.shape == piece.shape:
            piece.copy_(value)
