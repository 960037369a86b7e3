"""Gates, which say how much of each expert a task takes, and the mixture that they make."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class SoftmaxGate(nn.Module):
    r"""The weights :math:`\mathrm{softmax}(W x)`.

    Args:
        features: Width of what it reads.
        num_experts: E.
    """

    def __init__(self, features: int, num_experts: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, num_experts, bias=False)

    def forward(self, vectors: Tensor, mask: Tensor | None = None) -> Tensor:
        """The weights of the experts [..., E], 1 in sum.

        Args:
            vectors: What it reads [..., D].
            mask: True where there is a real position [...]; null: everywhere. It makes no difference here.
        """
        logits: Tensor = self.linear(vectors)
        return logits.softmax(-1)


def mixture(weights: Tensor, outputs: Sequence[Tensor]) -> Tensor:
    """The weighted sum of what experts made [N, ...].

    Args:
        weights: Of all experts [N, E]; N may be several dimensions.
        outputs: What groups of them made, in their order [N, E_g, ...].

    >>> mixture(torch.tensor([[0.5, 0.25, 0.25]]), [torch.tensor([[[2.0], [4.0]]]), torch.tensor([[[8.0]]])])
    tensor([[4.]])
    """
    sizes = [output.shape[weights.dim() - 1] for output in outputs]
    parts = [_weighted(*each) for each in zip(torch.split(weights, sizes, -1), outputs, strict=True)]
    return sum(parts[1:], parts[0])


def _weighted(weights: Tensor, output: Tensor) -> Tensor:
    flat = output.flatten(weights.dim()) if output.dim() > weights.dim() else output.unsqueeze(-1)
    found = weights.to(flat.dtype).unsqueeze(-2) @ flat
    return found.reshape(*weights.shape[:-1], *output.shape[weights.dim() :])
