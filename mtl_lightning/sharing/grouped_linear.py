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
        groups = zip(torch.split(rows, counts), weight.mT, bias, torch.split(found, counts), strict=True)
        for read, matrix, offset, made in groups:
            torch.addmm(offset, read, matrix, out=made)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        by_rows, by_weight, by_bias, _ = ctx.needs_input_grad
        of_rows = torch.empty_like(rows) if by_rows else None
        of_weight = torch.empty_like(weight) if by_weight else None
        of_bias = weight.new_empty(weight.shape[:2]) if by_bias else None
        above, read = torch.split(gradient, ctx.counts), torch.split(rows, ctx.counts)
        if of_rows is not None:
            for of_made, matrix, out in zip(above, weight, torch.split(of_rows, ctx.counts), strict=True):
                torch.mm(of_made, matrix, out=out)
        if of_weight is not None:
            for of_made, each, out in zip(above, read, of_weight, strict=True):
                torch.mm(of_made.T, each, out=out)
        if of_bias is not None:
            for of_made, out in zip(above, of_bias, strict=True):
                torch.sum(of_made, 0, out=out)
        return of_rows, of_weight, of_bias, None
