"""Meta-SGD: MAML whose inner learning rates are learnt."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mtl_lightning.inner_loops.base import Parameters
from mtl_lightning.inner_loops.maml import MAML


class MetaSGD(MAML):
    r"""MAML with inner learning rates that are learnt: :math:`\phi = \theta - \alpha \circ \nabla L(\theta)`.

    The rates train with the model, by the same optimizer and through the same weighting, and are part of the
    checkpoint. They may become negative.

    Cost: that of MAML, and with ``element`` as many parameters again as adapt.

    Reference: Li, Zhou, Chen and Li, "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning" (2017), algorithm 1;
    with ``tensor``, the layer-wise rates of Antoniou, Edwards and Storkey, "How to Train Your MAML" (ICLR 2019),
    section 4, the same in each step. Difference: one start for all rates.

    Args:
        lr: What all rates start from, above 0.
        steps: Number of inner steps, at least 1.
        eval_steps: The same in an evaluation; null: as many.
        parameters: Pattern of the names of the parameters that adapt.
        first_order: Whether inner gradients count as constants; the rates are learnt all the same.
        of: Whether each ``element`` of a parameter has a rate of its own, or each ``tensor``.
        vectorized: Whether the episodes of a batch adapt at once; see :class:`.InnerLoop`.
        head_lr: What the rates of the heads start from, above 0; null: ``lr``.
    """

    def __init__(
        self,
        lr: float = 0.01,
        steps: int = 1,
        eval_steps: int | None = None,
        parameters: str = "*",
        first_order: bool = False,
        of: Literal["element", "tensor"] = "element",
        vectorized: bool = False,
        head_lr: float | None = None,
    ) -> None:
        super().__init__(lr, steps, eval_steps, parameters, first_order, vectorized, head_lr)
        self.of = of
        self.rates = nn.ParameterDict()

    def build(self, named: Parameters) -> None:
        for name, value in self.chosen(named).items():
            like = value.detach() if self.of == "element" else value.detach().new_empty(())
            self.rates[_key(name)] = nn.Parameter(torch.full_like(like, self.fixed_rate(name)))

    def learnt_with(self, name: str) -> Sequence[nn.Parameter]:
        return [self.rates[_key(name)]] if _key(name) in self.rates else []

    def rate(self, name: str) -> float | Tensor:
        found: Tensor = self.rates[_key(name)]
        return found


def _key(name: str) -> str:
    """A parameter's name as that of a member, which has no dots."""
    return name.replace(".", "/")
