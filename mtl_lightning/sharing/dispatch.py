"""Rows to the experts that somebody chose for them, and back: what nobody chose is not computed."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten


class Dispatch:
    """Which rows each expert computes. To know how many they are, the host waits for the device once.

    Args:
        chosen: Whether somebody chose an expert for a row [N, E].

    Attributes:
        counts: How many rows each expert computes.

    >>> dispatch = Dispatch(torch.tensor([[True, False], [True, True], [False, False]]))
    >>> first, second = dispatch.split(torch.tensor([1.0, 2.0, 3.0]))
    >>> first, second
    (tensor([1., 2.]), tensor([2.]))
    >>> made = with_zeros(torch.cat([10 * first, -second]))
    >>> dispatch.pick(made, torch.tensor([[0], [1], [0]]))
    tensor([[10.],
            [-2.],
            [ 0.]])
    """

    def __init__(self, chosen: Tensor) -> None:
        number, num_experts = chosen.shape
        self.counts: list[int] = chosen.sum(0).tolist()
        total, flat = sum(self.counts), chosen.T.flatten()
        places = torch.where(flat, flat.cumsum(0) - 1, total)  # what is not computed: behind all that is
        rows = torch.arange(number, device=chosen.device).repeat(num_experts)
        self._rows = rows.new_empty(total + 1).scatter_(0, places, rows)[:total]
        self._places = places.view(num_experts, number).T

    def group(self, values: Tensor) -> Tensor:
        """The rows that the first expert reads, then those of the second, ... [M, ...].

        Args:
            values: All rows [N, ...].
        """
        return values.index_select(0, self._rows)

    def split(self, values: Any) -> list[Any]:
        """The rows that each expert reads.

        Args:
            values: Tensors [N, ...] in tuples, lists and dicts; what is no tensor goes to all experts.
        """
        leaves, structure = tree_flatten(values)
        parts = [
            torch.split(self.group(leaf), self.counts) if isinstance(leaf, Tensor) else [leaf] * len(self.counts)
            for leaf in leaves
        ]
        return [tree_unflatten(part, structure) for part in zip(*parts, strict=True)]

    def pick(self, made: Tensor, experts: Tensor) -> Tensor:
        """What some experts made of each row [N, k, ...], zero where nobody chose them.

        Args:
            made: What the experts made of their rows, one's behind another's, and a row of zeros [M + 1, ...].
            experts: Numbers of k experts for each row [N, k].
        """
        places = self._places.gather(1, experts)
        return made.index_select(0, places.flatten()).view(*places.shape, *made.shape[1:])


def with_zeros(made: Tensor) -> Tensor:
    """The same with a row of zeros behind it [M + 1, ...]."""
    return torch.cat([made, made.new_zeros(1, *made.shape[1:])])
