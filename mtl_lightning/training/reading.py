"""What the heads read of what was made of the inputs."""

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

from mtl_lightning.sharing.contracts import Representation
from mtl_lightning.tasks import Task

R = TypeVar("R", bound=Representation)


def read_by_heads(made: Mapping[str, R], tasks: Mapping[str, Task], inputs: Mapping[str, Tensor]) -> dict[str, R]:
    """What the sharing made for each task, with the inputs, and example by example where one is several sequences.

    Args:
        made: By task, of R sequences: R = B where each example is one.
        tasks: All, by name.
        inputs: The encoder's, each [R, ...]; with ``sequences`` [B, N] where an example is several.

    Returns:
        By task, what its head reads; see :class:`mtl_lightning.tasks.Task`.
    """
    sequences = inputs.get("sequences")
    return {
        name: (each if sequences is None else _by_example(each, sequences, tasks[name].by_sequence))._replace(
            given=inputs
        )
        for name, each in made.items()
    }


def _by_example(made: R, sequences: Tensor, apart: bool) -> R:
    index, present = sequences.clamp(min=0), sequences >= 0
    pooled = None if made.pooled is None else made.pooled[index]
    if not apart:
        return made._replace(pooled=None if pooled is None else _mean(pooled, present), tokens=None, mask=None)
    tokens = None if made.tokens is None else made.tokens[index]
    mask = None if made.mask is None else made.mask[index] & present.unsqueeze(-1)
    return made._replace(pooled=pooled, tokens=tokens, mask=mask)


def _mean(pooled: Tensor, present: Tensor) -> Tensor:
    """Means [B, D] of those of the vectors [B, N, D] that are there."""
    weights = present.unsqueeze(-1).to(pooled.dtype)
    return (pooled * weights).sum(1) / weights.sum(1)
