"""From logits to what is predicted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from mtl_lightning.encoders import Representation
from mtl_lightning.tasks import Task


def decodable(tasks: Mapping[str, Task], representation: Representation) -> dict[str, Task]:
    """The tasks whose heads can read a representation."""
    return {n: t for n, t in tasks.items() if t.level == "pooled" or representation.tokens is not None}


def decode(
    tasks: Mapping[str, Task],
    logits_of: Callable[[Sequence[str]], Mapping[str, Tensor]],
    representation: Representation,
) -> list[dict[str, Any]]:
    """Decoded predictions: for each example ``{task: {"label": …, "probability": …}}``.

    Args:
        tasks: By name; those are predicted whose heads can read the representation.
        logits_of: Computes logits of tasks.
        representation: What they are computed from.
    """
    possible = decodable(tasks, representation)
    logits = logits_of(list(possible))
    decoded = {name: task.decode(logits[name], representation.mask) for name, task in possible.items()}
    return [dict(zip(decoded, row, strict=True)) for row in zip(*decoded.values(), strict=True)]
