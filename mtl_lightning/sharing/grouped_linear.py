"""A linear map for each group of rows, into memory that is not copied again."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def grouped_linear(rows: Tensor, weight: Tensor, bias: Tensor, counts: Sequence[int]) -> Tensor:
    """What :math:`W_e x + b_e` is of each row x of group e [M, O].

    A group without rows has gradients of zero. Autograd would compute a gradient for each group and then copy them all
    into that of ``weight``, which takes longer than computing them where groups are small.

    Args:
        rows: Those of the first group, then those of the second, ... [M, I].
        weight: [E, O, I].
        bias: [E, O].
        counts: How many rows each of the E groups has.

    >>> grouped_linear(torch.ones(3, 1), torch.tensor([[[2.0]], [[5.0]]]), torch.zeros(2, 1), [1, 2]).T
    tensor([[2., 5., 5.]])
    """
    device = rows.device.type
    if torch.is_autocast_enabled(device):
        rows, weight, bias = (tensor.to(torch.get_autocast_dtype(device)) for tensor in (rows, weight, bias))
    found: Tensor = _GroupedLinear.apply(rows, weight, bias, list(counts))  # type: ignore[no-untyped-call]
    return found


class _GroupedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, counts: list[int]) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.counts = counts
        found = rows.new_empty(len(rows), weight.shape[1])
        for e, (read, made) in enumerate(zip(torch.split(rows, counts), torch.split(found, counts), strict=True)):
            torch.addmm(bias[e], read, weight[e].T, out=made)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        by_rows, by_weight, by_bias, _ = ctx.needs_input_grad
        of_rows = torch.empty_like(rows) if by_rows else None
        of_weight = torch.empty_like(weight) if by_weight else None
        of_bias = weight.new_empty(weight.shape[:2]) if by_bias else None
        start = 0
        for e, count in enumerate(ctx.counts):
            group = slice(start, start := start + count)
            if of_rows is not None:
                torch.mm(gradient[group], weight[e], out=of_rows[group])
            if of_weight is not None:
                torch.mm(gradient[group].T, rows[group], out=of_weight[e])
            if of_bias is not None:
                torch.sum(gradient[group], 0, out=of_bias[e])
        return of_rows, of_weight, of_bias, None
