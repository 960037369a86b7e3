"""DSelect-k: gates that are smooth in training and come to select k experts."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.arguments import above_zero, at_least
from mtl_lightning.sharing.contracts import Encoder, Representation
from mtl_lightning.sharing.expert_sharing import ExpertSharing


class DSelectK(ExpertSharing):
    r"""MMoE whose gates end up with at most k experts, by binary codes that a smooth step makes of real numbers.

    Task t reads :math:`\sum_e q_e f_e(x)` with :math:`q = \sum_{i=1}^k \mathrm{softmax}(\alpha)_i \, r(z_i)`. The
    selector :math:`r(z)_c = \prod_j S(z_j)^{c_j} (1 - S(z_j))^{1 - c_j}` gives each code c of
    :math:`m = \lceil \log_2 E \rceil` bits its share. S is a cubic from 0 at :math:`-\gamma / 2` to 1 at
    :math:`\gamma / 2` and constant beyond: a selector whose z are all there has one expert for good. The term
    ``selector_entropy`` drives them there: :math:`\lambda \sum_t \sum_i H(r(z_i))`, the mean over examples.

    Cost: that of :class:`MMoE`, with smaller gates: k (m + 1) numbers for each task, times D + 1 with ``per_example``.
    All experts are computed, chosen or not.

    Reference: Hazimeh et al., "DSelect-k: Differentiable Selection in the Mixture of Experts with Applications to
    Multi-Task Learning" (NeurIPS 2021), equations 3 to 6. Difference: where E is no power of two, a code that stands
    for no expert selects the one whose code is the same but for the first bit; the paper adds a term that keeps
    selectors away from such codes. Experts and gates read the features of an encoder.

    Helps: where each task needs few of the experts, and it should be plain which: selections can be read off. Fails:
    a selection is final, and may be made too early: lower ``entropy`` or raise ``gamma``.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's.
        num_experts: E, at least 2.
        k: How many experts a task, or an example of it, has in the end at most.
        per_example: Whether selections depend on the features, so that examples of a task may differ; those between
            two experts keep both for longer.
        entropy: Coefficient of the term; 0: there is none, and selections may stay open.
        gamma: How wide the smooth step is; positive. The wider, the later selections are final.
        expert_widths: Experts are perceptrons with layers of these widths, with ReLU after each; the heads read the
            last one's. Null: one layer as wide as the encoder's features.
        expert_stages: Experts are the encoder's last n stages and copies of them, and gates read what the stages before
            make, pooled; leave at least one stage before them where the input is raw, such as pixels. Null: they are
            perceptrons.

    Raises:
        UserError: If there are fewer than two experts or fewer than k, or another option is out of its range.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        num_experts: int = 4,
        k: int = 2,
        per_example: bool = False,
        entropy: float = 0.01,
        gamma: float = 1.0,
        expert_widths: Sequence[int] | None = None,
        expert_stages: int | None = None,
    ) -> None:
        at_least(2, "num_experts", num_experts)
        at_least(0, "entropy", entropy)
        if not 1 <= k <= num_experts:
            raise UserError(f"model.sharing: `k` must be from 1 to {num_experts}, the number of experts, found {k}")
        above_zero("gamma", gamma)
        make_gate = partial(SelectGate, k=k, per_example=per_example, gamma=gamma)
        super().__init__(tasks, encoder, num_experts, 0, expert_widths, expert_stages, make_gate=make_gate)
        self.entropy = entropy

    def share(self, encoded: Any, tasks: Sequence[str]) -> dict[str, Representation]:
        for gate in self._gates():
            gate.entropies.clear()
        return super().share(encoded, tasks)

    def terms(self) -> dict[str, Tensor]:
        if self.entropy == 0:
            return {}
        nothing = next(self.experts.parameters()).new_zeros(())
        found = [entropy for gate in self._gates() for entropy in gate.entropies]
        return {"selector_entropy": self.entropy * torch.stack([nothing, *found]).sum()}

    def _gates(self) -> list["SelectGate"]:
        return [module for module in self.modules() if isinstance(module, SelectGate)]


class SelectGate(nn.Module):
    """A mixture of k selectors, each of which comes to have one expert.

    Args:
        features: Width of what it reads.
        num_experts: E, at least 2.
        k: Number of selectors.
        per_example: Whether they depend on what it reads.
        gamma: How wide the smooth step is.

    Attributes:
        entropies: What the selectors' entropies add up to, the mean over examples or positions, a scalar for each
            forward pass in training until it is cleared.
    """

    def __init__(self, features: int, num_experts: int, k: int, per_example: bool, gamma: float) -> None:
        super().__init__()
        self.num_experts, self.k, self.gamma = num_experts, k, gamma
        self.bits = (num_experts - 1).bit_length()
        spans = [(k * self.bits, gamma / 100), (k, 0.05)]
        biases = torch.cat([torch.empty(size).uniform_(-bound, bound) for size, bound in spans])
        self.biases = nn.Parameter(biases)
        self.weights: nn.Parameter | None = None
        if per_example:
            rows = [torch.empty(size, features).uniform_(-bound, bound) for size, bound in spans]
            self.weights = nn.Parameter(torch.cat(rows))
        self.entropies: list[Tensor] = []

    def forward(self, vectors: Tensor, mask: Tensor | None = None) -> Tensor:
        """The weights of the experts [..., E], not negative and 1 in sum.

        Args:
            vectors: What it reads [..., D].
            mask: True where there is a real position [...]; null: everywhere.
        """
        found = self.biases if self.weights is None else linear(vectors, self.weights, self.biases)
        found = found.to(torch.promote_types(found.dtype, torch.float32))
        codes, parts = torch.split(found, [self.k * self.bits, self.k], -1)
        bits = smooth_step(codes.reshape(*codes.shape[:-1], self.k, self.bits) / self.gamma)
        selected = selectors(bits, self.num_experts)
        if self.training:
            self.entropies.append(_mean(-(selected * (selected + 1e-6).log()).sum((-2, -1)), mask))
        weights: Tensor = (parts.softmax(-1).unsqueeze(-2) @ selected).squeeze(-2)
        return weights.expand(*vectors.shape[:-1], self.num_experts)

    def __getstate__(self) -> dict[str, Any]:
        """What is copied and pickled: not the graph of the last step."""
        return {**self.__dict__, "entropies": []}


def smooth_step(values: Tensor) -> Tensor:
    """0 up to -1/2, 1 from 1/2 on, a cubic between, without a bend.

    >>> smooth_step(torch.tensor([-1.0, -0.5, 0.0, 0.25, 0.5]))
    tensor([0.0000, 0.0000, 0.5000, 0.8438, 1.0000])
    """
    values = values.clamp(-0.5, 0.5)
    return -2 * values**3 + 1.5 * values + 0.5


def selectors(bits: Tensor, num_experts: int) -> Tensor:
    """The share that codes give each expert [..., E].

    Args:
        bits: How much each bit is 1 [..., m], the lowest first.
        num_experts: E, above half the number of codes and at most all.

    >>> selectors(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, 0.5]]), 3)
    tensor([[0.0000, 1.0000, 0.0000],
            [0.0000, 0.0000, 1.0000],
            [0.0000, 1.0000, 0.0000],
            [0.2500, 0.5000, 0.2500]])
    """
    found = torch.ones_like(bits[..., :1])
    for bit in torch.split(bits, 1, -1):
        found = torch.cat([found * (1 - bit), found * bit], -1)
    half = found.shape[-1] // 2
    return found[..., :num_experts] + pad(found[..., num_experts:], (num_experts - half, num_experts - half))


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Over all positions that are real, a scalar, 0 where there is none."""
    if mask is None or values.dim() == 0:
        return values.sum() / max(values.numel(), 1)
    return (values * mask).sum() / mask.sum().clamp(min=1)
