"""What is logged of a sharing's experts."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_lightning.sharing.observing import UNUSED, ExpertUse

_MOST = 64
"""Numbers of task and expert: a name costs 0.4 ms to log."""


def expert_log(levels: Sequence[ExpertUse]) -> dict[str, float]:
    """What each task took of each expert in its newest batch, the entropy of its gate, and the share of dead experts.

    The device is waited for once.

    Args:
        levels: What the sharing notes of its experts.

    Returns:
        ``expert/<task>/<expert>`` of up to 64 pairs; ``gate_entropy/<task>`` in nats; and ``dead_experts``, the share
        of experts of which every task takes less than 1 %. A sharing with several levels has the level's name after
        the task's.
    """
    values: dict[str, Tensor] = {}
    most: dict[tuple[str, str], list[str]] = {}  # names of all that is taken of an expert
    for use in levels:
        level = f"/{use.name}" if use.name else ""
        for task in use.tasks:
            taken, entropy = use.newest(task), use.entropy(task)
            if taken is not None and entropy is not None:
                names = {expert: f"expert/{task}{level}/{expert}" for expert in use.experts_of(task)}
                values |= dict(zip(names.values(), taken.unbind(), strict=True))
                values[f"gate_entropy/{task}{level}"] = entropy
                for expert, name in names.items():
                    most.setdefault((use.name, expert), []).append(name)
    if not values:
        return {}
    found = dict(zip(values, torch.stack(list(values.values())).tolist(), strict=True))
    dead = sum(max(found[name] for name in names) < UNUSED for names in most.values()) / len(most)
    pairs = [name for name in found if name.startswith("expert/")]
    return {name: found[name] for name in found if name not in pairs[_MOST:]} | {"dead_experts": dead}
