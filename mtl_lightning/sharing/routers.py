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
    """The logits :math:`W x + b` of the experts, in float32 at least, whatever the precision is elsewhere.

    They start small, so that all experts are tried: Fedus et al., "Switch Transformers" (JMLR 2022), section 2.4.

    Args:
        features: Width of what it reads.
        num_experts: E.
        k: How many experts it chooses.
        noise: Standard deviation of noise on the logits in training, by which the choice is made, and nothing else.
    """

    def __init__(self, features: int, num_experts: int, k: int, noise: float) -> None:
        super().__init__()
        self.linear = PreciseLinear(features, num_experts)
        with torch.no_grad():
            self.linear.weight *= 0.1
            self.linear.bias.zero_()
        self.k, self.noise = k, noise

    def forward(self, vectors: Tensor) -> Tensor:
        """The logits [N, E].

        Args:
            vectors: What it reads [N, D].
        """
        logits: Tensor = self.linear(vectors)
        return logits

    def choose(self, logits: Tensor) -> Choice:
        """The k experts with the greatest logits, and their weights in the softmax over all.

        Args:
            logits: [N, E].
        """
        tried = logits.detach()
        if self.noise and self.training:
            tried = tried + self.noise * torch.randn_like(tried)
        experts = tried.topk(self.k).indices
        return Choice(logits.softmax(-1).gather(1, experts), experts)


class PreciseLinear(nn.Linear):
    """A linear map that computes in float32 at least, whatever the precision is elsewhere."""

    def forward(self, input: Tensor) -> Tensor:
        dtype = torch.promote_types(input.dtype, torch.float32)
        with torch.autocast(input.device.type, enabled=False):
            return linear(input.to(dtype), self.weight.to(dtype), self.bias.to(dtype))


@torch.no_grad()
def prefer_own(routers: Sequence[Router]) -> None:
    """Lets the i-th of K routers give three quarters of the weight to the i-th of K experts, for all rows."""
    for own, router in enumerate(routers):
        nn.init.zeros_(router.linear.weight)
        router.linear.bias[own] = log(3 * max(len(routers) - 1, 1))
