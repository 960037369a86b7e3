"""Copies of stages that may differ at the start."""

from copy import deepcopy

import torch
from torch import nn


def copies_of(stage: nn.Module, number: int, different: bool) -> nn.ModuleList:
    """Copies of a stage, or of several in a list.

    Args:
        stage: The original.
        number: How many.
        different: Whether each has other weights, of the same distribution.
    """
    copies = [deepcopy(stage) for _ in range(number)]
    for i, copy in enumerate(copies if different else ()):
        redraw(copy, i + 1)
    return nn.ModuleList(copies)


@torch.no_grad()
def redraw(module: nn.Module, number: int) -> None:
    """Shuffles the values of each parameter of a copy.

    Where they were drawn independently, as the usual initialisations do, that is another draw of the same distribution,
    whatever it is; constants, such as the weights of normalisation, stay as they are.

    Args:
        module: The copy.
        number: Of the copy: two of them differ, and the same one is always the same.
    """
    generator = torch.Generator().manual_seed(number)
    for parameter in module.parameters():
        order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
        parameter.copy_(parameter.flatten()[order].view_as(parameter))
