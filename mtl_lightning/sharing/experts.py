"""Experts, several at a time: perceptrons on features, or copies of stages of the encoder."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from mtl_lightning.sharing.contracts import Encoder, State
from mtl_lightning.sharing.dispatch import Dispatch
from mtl_lightning.sharing.grouped_linear import grouped_linear
from mtl_lightning.sharing.redrawing import copies_of
from mtl_lightning.sharing.stages import through


class PerceptronExperts(nn.Module):
    """Perceptrons of the same widths that read the same: linear layers with ReLU after each, computed together.

    Each starts as its own ``nn.Linear`` layers would, so that no two are the same.

    Args:
        num_experts: E.
        features: Width of what they read.
        widths: Of their layers, in order.
    """

    def __init__(self, num_experts: int, features: int, widths: Sequence[int]) -> None:
        super().__init__()
        shapes = list(pairwise([features, *widths]))
        self.weights = nn.ParameterList(_uniform(fan_in, num_experts, out, fan_in) for fan_in, out in shapes)
        self.biases = nn.ParameterList(_uniform(fan_in, num_experts, out) for fan_in, out in shapes)

    def forward(self, features: Tensor) -> Tensor:
        """What each makes of the features [..., E, D'].

        Args:
            features: What they read [..., D].
        """
        layers = list(zip(self.weights, self.biases, strict=True))
        weight, bias = layers[0]
        hidden = linear(features, weight.flatten(0, 1), bias.flatten())
        hidden = hidden.reshape(*features.shape[:-1], *bias.shape).relu()
        for weight, bias in layers[1:]:
            hidden = torch.einsum("...ei,eoi->...eo", hidden, weight)
            hidden = (hidden + bias.to(hidden.dtype)).relu()
        return hidden

    def routed(self, values: Tensor, dispatch: Dispatch) -> Tensor:
        """What each makes of rows of its own, one expert's behind another's [M, D'].

        Args:
            values: All rows [N, D].
            dispatch: Which of them each expert reads; there may be none for one.
        """
        hidden = dispatch.group(values)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            hidden = grouped_linear(hidden, weight, bias, dispatch.counts).relu()
        return hidden

    def copies(self) -> list[tuple[nn.Module, nn.Module]]:
        """None."""
        return []

    def trained(self) -> list[nn.Parameter]:
        """Their parameters."""
        return list(self.parameters())


class StageExperts(nn.Module):
    """Some successive stages of an encoder, several times, which read the same state.

    Copies of a pretrained encoder's stages start from its parameters: gates that differ make them differ. Those of
    another encoder are made anew, each parameter with its values in random order, which keeps their distribution.

    Args:
        encoder: It keeps what is its own: only copies are registered.
        span: The stages.
        num_experts: E.
        with_original: Whether the first expert is the encoder's own stages, so that these are not left without a use.
    """

    def __init__(self, encoder: Encoder, span: slice, num_experts: int, with_original: bool) -> None:
        super().__init__()
        self._original = (nn.ModuleList(encoder.stages[span]),)
        self._with_original = with_original
        self.copied = copies_of(self._original[0], num_experts - with_original, different=not encoder.pretrained)

    @property
    def experts(self) -> list[nn.ModuleList]:
        """Each one's stages."""
        return [*(self._original if self._with_original else ()), *self.copied]

    def forward(self, state: State) -> Tensor:
        """What ``hidden`` becomes in each expert [B, E, ...].

        Args:
            state: What they read.
        """
        return torch.stack([through(stages, state).hidden for stages in self.experts], 1)

    def routed(self, values: State, dispatch: Dispatch) -> Tensor:
        """What ``hidden`` becomes in each expert, of examples of its own, one expert's behind another's [M, ...].

        One without examples is not run, as many layers cannot be; its parameters have a gradient of zero. Of no
        examples at all, the first one makes what the encoder would.

        Args:
            values: What they read, with all examples.
            dispatch: Which of them each expert reads.
        """
        parts, busy = dispatch.split(values), [e for e, count in enumerate(dispatch.counts) if count] or [0]
        found = {e: through(self.experts[e], parts[e]).hidden for e in busy}
        idle = [_nothing(stages) for e, stages in enumerate(self.experts) if e not in found]
        return torch.cat(list(found.values())) + sum(idle)

    def trained(self) -> list[nn.Parameter]:
        """Their parameters, also those of the encoder."""
        return [parameter for stages in self.experts for parameter in stages.parameters()]

    def copies(self) -> list[tuple[nn.Module, nn.Module]]:
        """Each copy with its original."""
        return [(copy, self._original[0]) for copy in self.copied]


def _uniform(fan_in: int, *shape: int) -> nn.Parameter:
    bound = fan_in**-0.5
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def _nothing(module: nn.Module) -> Tensor:
    """Zero, with a gradient of zero by each of its parameters."""
    return torch.cat([parameter.flatten()[:0] for parameter in module.parameters()]).sum()
