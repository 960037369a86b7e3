"""Routers, which choose a few experts for each row."""

from collections.abc import Sequence
from math import log
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class Choice(NamedTuple):
    """What a router chose.

    Attributes:
        gates: Weights of the k experts [N, k].
        experts: Their numbers [N, k].
    """

    gates: Tensor
    experts: Tensor

    def counts(self, num_experts: int) -> Tensor:
        """1 for experts that were chosen, 0 for others [N, E]."""
        zeros = self.gates.detach().new_zeros(len(self.gates), num_experts)
        return zeros.scatter_(1, self.experts, 1.0)


class Router(nn.Module):
    """The logits :math:`W x + b`, in training with noise; in float32 at least, whatever the precision is elsewhere.

    Args:
        features: Width of what it reads.
        num_experts: E.
        noise: Standard deviation of the noise.
    """

    def __init__(self, features: int, num_experts: int, noise: float) -> None:
        super().__init__()
        self.linear = nn.Linear(features, num_experts)
        self.noise = noise

    def forward(self, vectors: Tensor) -> Tensor:
        """The logits of the experts [N, E].

        Args:
            vectors: What it reads [N, D].
        """
        dtype = torch.promote_types(vectors.dtype, torch.float32)
        with torch.autocast(vectors.device.type, enabled=False):
            logits = linear(vectors.to(dtype), self.linear.weight.to(dtype), self.linear.bias.to(dtype))
        return logits + self.noise * torch.randn_like(logits) if self.noise and self.training else logits


@torch.no_grad()
def prefer_own(routers: Sequence[Router]) -> None:
    """Lets the i-th of K routers give half of the weight to the i-th of K experts, for all rows."""
    for own, router in enumerate(routers):
        nn.init.zeros_(router.linear.weight)
        nn.init.zeros_(router.linear.bias)
        router.linear.bias[own] = log(max(len(routers) - 1, 1))
