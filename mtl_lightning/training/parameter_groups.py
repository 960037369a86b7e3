"""What the optimizer is given."""

from collections.abc import Iterable
from typing import Any

from torch import nn


def parameter_groups(encoder: nn.Module, heads: Iterable[nn.Module], weighting: nn.Module) -> list[dict[str, Any]]:
    """Groups of the parameters that train: ``encoder``, ``heads``, and ``weighting``, which must not decay.

    Args:
        encoder: The shared encoder; a parameter that stands elsewhere too is its.
        heads: What stands behind it.
        weighting: The weighting.
    """
    parts = {"encoder": [encoder], "heads": heads, "weighting": [weighting]}
    groups: list[dict[str, Any]] = []
    seen: set[nn.Parameter] = set()
    for name, modules in parts.items():
        found = dict.fromkeys(p for module in modules for p in module.parameters() if p.requires_grad and p not in seen)
        seen |= found.keys()
        groups.append({"name": name, "params": list(found), **({"weight_decay": 0.0} if name == "weighting" else {})})
    return [group for group in groups if group["params"]]
