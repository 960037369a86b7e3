"""What a run found out about sharing: which experts its tasks used, and how alike its task embeddings are."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from torch.nn.functional import cosine_similarity

from mtl_lightning.callbacks import ExpertWatch

GateRow = tuple[str, str, str, float]
"""Level, task, expert, and what the task took of it."""


def gates(callbacks: Sequence[Any]) -> list[GateRow]:
    """The mean weights of the last epoch; none where the sharing has no experts, or there is one task.

    Args:
        callbacks: Of the trainer.
    """
    levels = [level for found in callbacks if isinstance(found, ExpertWatch) for level in found.newest]
    return [
        (level.level, task, expert, share)
        for level in levels
        if len(level.shares) > 1
        for task, shares in level.shares.items()
        for expert, share in shares.items()
    ]


def similarity(module: Any) -> list[tuple[str, str, float]]:
    """The cosine between the embeddings of each two tasks; none where the sharing has no embeddings.

    Args:
        module: The trained one.
    """
    found = module.sharing.observe().embeddings
    if found is None:
        return []
    cosines = cosine_similarity(found.double().unsqueeze(1), found.double().unsqueeze(0), dim=-1).tolist()
    pairs = combinations(range(len(cosines)), 2)
    return [(module.sharing.tasks[i], module.sharing.tasks[j], cosines[i][j]) for i, j in pairs]
