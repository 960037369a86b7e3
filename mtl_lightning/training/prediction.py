"""From logits to what is predicted."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mtl_lightning.encoders import Representation
from mtl_lightning.tasks import Task


def decodable(tasks: Mapping[str, Task], representation: Representation) -> dict[str, Task]:
    """The tasks whose heads can read a representation."""
    return {n: t for n, t in tasks.items() if t.level == "pooled" or representation.tokens is not None}


def decode(
    tasks: Mapping[str, Task], logits: Mapping[str, Tensor], representation: Representation
) -> list[dict[str, Any]]:
    """Decoded predictions: for each example ``{task: {"label": …, "probability": …}}``.

    Args:
        tasks: That were predicted, by name.
        logits: Of each task.
        representation: What they were computed from.
    """
    decoded = {name: task.decode(logits[name], representation.mask) for name, task in tasks.items()}
    return [dict(zip(decoded, row, strict=True)) for row in zip(*decoded.values(), strict=True)]
