"""MTAN: a shared trunk, of whose features each task chooses by attention at every stage."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from mtl_lightning.sharing.arguments import at_least
from mtl_lightning.sharing.base import Sharing
from mtl_lightning.sharing.contracts import Compilable, Encoder, Inputs, Representation, State


class MTAN(Sharing):
    r"""One trunk for all tasks; at each stage, a task masks the trunk's features by a soft attention of its own.

    With the trunk's features :math:`p_j` behind stage j, the task attends to :math:`\hat{a}_j = m_j \odot p_j`,
    :math:`m_j = \sigma(h_j(\mathrm{ReLU}(g_j([p_j, f(\hat{a}_{j-1})]))))`, and its head reads :math:`\hat{a}_n`. Both
    :math:`g_j` and :math:`h_j` map the channels of each position by themselves (1x1 convolutions, or linear maps of
    vectors and tokens); f averages to the size of :math:`p_j`.

    Cost: the trunk runs once. A task adds about :math:`3 C^2 / r` parameters, and as many multiplications a position,
    to a stage of width C, r being ``reduction``: 6 % of a transformer's layer by default.

    Reference: Liu, Johns and Davison, "End-to-End Multi-Task Learning with Attention" (CVPR 2019), equations 1 and 2.
    Difference: the paper's f is a 3x3 convolution, shared by the tasks, and a pooling; here it has no parameters, as
    what stands between two stages differs from encoder to encoder: equal sizes are left as they are, maps are averaged
    to smaller ones, and to one vector where positions end. The mask is computed of the features that it masks, where
    the paper takes those of an earlier layer of the same block. There is no batch normalisation, so that examples do
    not mix.

    Helps: where tasks need different features of the same layers, at a small part of the cost of several encoders.
    Fails: a mask only weakens what the trunk has found: what no task has taught the trunk, no attention can read.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's, the trunk; it must be cut into stages.
        reduction: r: the width of a stage divided by that between :math:`g_j` and :math:`h_j`, at least 1.
    """

    def __init__(self, tasks: Sequence[str], encoder: Encoder, reduction: int = 4) -> None:
        super().__init__(tasks, encoder)
        at_least(1, "reduction", reduction)
        axis, widths = encoder.channel_axis, [0, *encoder.widths[1:]]
        self.attention = nn.ModuleDict(
            {
                task: nn.ModuleList(Attention(width, before, reduction, axis) for before, width in pairwise(widths))
                for task in tasks
            }
        )

    def encode(self, inputs: Inputs) -> list[State]:
        """The trunk's state behind each stage."""
        states = [self.encoder.begin(inputs)]
        for stage in self.encoder.stages:
            states.append(stage(states[-1]))
        return states[1:]

    def share(self, encoded: Sequence[State], tasks: Sequence[str]) -> dict[str, Representation]:
        return {task: self._attended(encoded, task) for task in tasks}

    def _attended(self, states: Sequence[State], task: str) -> Any:
        attended: list[State] = []
        modules: Any = self.attention[task]
        for state, attention in zip(states, modules, strict=True):
            attended.append(state._replace(hidden=attention(state.hidden, attended[-1].hidden if attended else None)))
        encoder: Any = self.encoder  # it is cut into stages
        return encoder.end_all(attended)

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        return list(self.attention[task].parameters())

    def compiled_parts(self) -> list[Compilable]:
        return list(self.encoder.stages)


class Attention(nn.Module):
    """A task's attention module at one stage.

    Args:
        width: C, of the stage.
        before: Width of the stage before; 0 at the first.
        reduction: C divided by the inner width.
        axis: Where hidden states have their channels.
    """

    def __init__(self, width: int, before: int, reduction: int, axis: int) -> None:
        super().__init__()
        inner = max(1, width // reduction)
        self._axis = axis
        self.g = nn.Linear(width + before, inner)
        self.h = nn.Linear(inner, width)

    def forward(self, hidden: Tensor, attended: Tensor | None) -> Tensor:
        """The features that the task attends to, of the shape of ``hidden``.

        Args:
            hidden: The trunk's [B, ..., C], or [B, C, ...].
            attended: The task's at the stage before.
        """
        parts = [hidden.movedim(self._axis, -1)]
        if attended is not None:
            positions = parts[0].shape[1:-1]
            parts.append(resized(attended.movedim(self._axis, 1), positions).movedim(1, -1))
        mask = torch.sigmoid(self.h(torch.relu(self.g(torch.cat(parts, -1)))))
        return hidden * mask.movedim(-1, self._axis)


def resized(features: Tensor, positions: torch.Size) -> Tensor:
    """Features averaged to other positions, as evenly as can be; to their mean where the dimensions are others.

    Args:
        features: Of any positions [B, C, ...].
        positions: The sizes wanted.

    >>> resized(torch.tensor([[[1.0, 3.0, 5.0, 7.0]]]), torch.Size([2]))
    tensor([[[2., 6.]]])
    >>> resized(torch.tensor([[[1.0, 3.0, 5.0, 7.0]]]), torch.Size([]))
    tensor([[4.]])
    """
    if features.shape[2:] == positions:
        return features
    pools = {1: nn.functional.adaptive_avg_pool1d, 2: nn.functional.adaptive_avg_pool2d}
    pool: Any = pools.get(len(positions))
    if pool is not None and features.dim() == 2 + len(positions):
        pooled: Tensor = pool(features, list(positions))
        return pooled
    mean = features.flatten(2).mean(2) if features.dim() > 2 else features
    return mean.view(*mean.shape, *[1] * len(positions)).expand(*mean.shape, *positions)
