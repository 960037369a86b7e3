"""Average pooling to a grid, as a graph computes it of images of any size."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn


@contextmanager
def pooling_of_any_size(model: nn.Module) -> Iterator[None]:
    """Lets ``AdaptiveAvgPool2d`` compute by matrix products, within.

    torch's exporter takes its windows from how the size of the traced image divides by the grid: with another
    remainder, the graph fails or, worse, averages over the wrong pixels.
    """
    pools = [module for module in model.modules() if isinstance(module, nn.AdaptiveAvgPool2d)]
    for pool in pools:
        pool.forward = partial(grid_means, size=pool.output_size)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for pool in pools:
            del pool.forward


def grid_means(images: Tensor, size: int | tuple[int | None, int | None] | None) -> Tensor:
    """Means over a grid [..., Y, X] of images [..., H, W]; see ``torch.nn.AdaptiveAvgPool2d``.

    Args:
        images: Of any size.
        size: Y and X, or both; null: as the image has it.
    """
    rows, columns = size if isinstance(size, tuple) else (size, size)
    if rows is not None:
        images = _shares(images.shape[-2], rows, images) @ images
    return images if columns is None else images @ _shares(images.shape[-1], columns, images).transpose(0, 1)


def _shares(length: int, parts: int, like: Tensor) -> Tensor:
    """The share of each place in the mean of each part [parts, length]; parts may have a place in common."""
    part, place = torch.arange(parts, device=like.device), torch.arange(length, device=like.device)
    starts, ends = part * length // parts, ((part + 1) * length + parts - 1) // parts
    inside = (place >= starts[:, None]) & (place < ends[:, None])
    return inside.to(like.dtype) / (ends - starts)[:, None].to(like.dtype)
