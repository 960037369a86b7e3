"""AITM: a tower per task, each of which is told by the tower of the step before."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.sharing.arguments import at_least
from mtl_lightning.sharing.base import Sharing
from mtl_lightning.sharing.contracts import Encoder, Representation
from mtl_lightning.sharing.observing import Part


class AITM(Sharing):
    r"""The tasks are steps, such as click → cart → buy: each weighs its own features against those of the step before.

    Step t has a tower :math:`q_t = f_t(x)` on the encoder's features x, and reads
    :math:`z_t = \sum_u w_u h_1(u)` over :math:`u \in \{g_t(z_{t-1}), q_t\}`, with
    :math:`w_u = \mathrm{softmax}_u(\langle h_2(u), h_3(u) \rangle / \sqrt{D})`; the first one reads :math:`z_1 = q_1`.
    Here :math:`h_1, h_2, h_3` are linear maps of each step, and :math:`g_t` is one with ReLU. The paper's calibrator is
    a link: ``model.chain: {buy: {class_path: Calibrator, init_args: {after: click}}}``.

    Cost: K towers, by default of a :math:`D \times D` matrix each, and K - 1 transfers of four such. A task that is
    asked for alone needs the steps before it.

    Reference: Xi et al., "Modeling the Sequential Dependence among Audience Multi-step Conversions with Multi-task
    Learning in Targeted Display Advertising" (KDD 2021), the adaptive information transfer module of section 3.
    Difference: tasks that are no steps may stand beside them, with a tower alone; token features are transferred
    position by position. There is no dropout in the towers.

    Helps: where each step comes after the one before and has fewer positive labels, which it makes up for by what the
    earlier one knows. Fails: where the order is another one, since nothing flows back; a later step's loss trains all
    towers before it, so that its conflicts reach them.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's.
        order: The steps, first to last; tasks that are left out stand alone. Null: all tasks, in their order.
        tower_widths: Widths of the towers' layers, with ReLU after each; the heads read the last one's. Null: one layer
            as wide as the encoder's features.
        transfer: Whether steps are told by the one before; without it, this is hard sharing with towers.

    Attributes:
        taken: By task, how much it took from the step before, 0 to 1: the mean over the newest batch in training.

    Raises:
        UserError: If the order names an unknown task or one twice, or a width is below 1.
    """

    carries_maps = False

    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        order: Sequence[str] | None = None,
        tower_widths: Sequence[int] | None = None,
        transfer: bool = True,
    ) -> None:
        super().__init__(tasks, encoder)
        widths = [encoder.features] if tower_widths is None else list(tower_widths)
        for width in widths:
            at_least(1, "tower_widths", width)
        steps = _steps(self.tasks if order is None else order, self.tasks)
        self._before = dict(pairwise(reversed(steps))) if transfer else {}
        self.towers = nn.ModuleDict({task: _tower([encoder.features, *widths]) for task in self.tasks})
        self.features = [encoder.features, *widths][-1]
        self.transfers = nn.ModuleDict({task: Transfer(self.features) for task in steps if task in self._before})
        self.taken: dict[str, Tensor] = {}

    def share(self, encoded: Representation, tasks: Sequence[str]) -> dict[str, Representation]:
        found: dict[str, Representation] = {}
        for task in tasks:
            self._add(task, encoded, found)
        return {task: found[task] for task in tasks}

    def _add(self, task: str, encoded: Representation, found: dict[str, Representation]) -> None:
        """Computes what a task reads, and what the steps before it do, unless that is known."""
        if task in found:
            return
        own = _each(self.towers[task], encoded)
        if task in self._before:
            self._add(self._before[task], encoded, found)
            own = _each(self.transfers[task], own, found[self._before[task]])
            if self.training:
                self.taken[task] = self.transfers[task].taken  # type: ignore[assignment]
        found[task] = own

    def _readers(self, task: str) -> list[str]:
        """The tasks that read what a task's tower makes: itself and the steps after it."""
        found = {task}
        for _ in self.tasks:
            found |= {later for later, before in self._before.items() if before in found}
        return [name for name in self.tasks if name in found]

    def _step(self, task: str) -> list[nn.Parameter]:
        """Parameters of a task's tower and of what it is told by."""
        parts = [self.towers[task], *([self.transfers[task]] if task in self._before else [])]
        return [parameter for part in parts for parameter in part.parameters()]

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        return self._step(task) if self._readers(task) == [task] else []

    def parts(self) -> Sequence[Part]:
        steps = [Part(f"tower of {task}", self._step(task), self._readers(task)) for task in self.tasks]
        return [Part("encoder", list(self.encoder.parameters()), self.tasks), *steps]


class Transfer(nn.Module):
    """What a step makes of its own features and of those of the step before.

    Args:
        width: D.

    Attributes:
        taken: The weight of the step before, the mean over the newest batch, detached.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.told = _tower([width, width])
        self.value, self.query, self.key = (nn.Linear(width, width) for _ in range(3))
        self.taken = torch.zeros(())

    def forward(self, own: Tensor, before: Tensor) -> Tensor:
        """The mixture [..., D].

        Args:
            own: Features of its own tower [..., D].
            before: What the step before reads [..., D].
        """
        both = torch.stack([self.told(before), own], -2)
        scores = (self.query(both) * self.key(both)).sum(-1) / both.shape[-1] ** 0.5
        weights = scores.softmax(-1)
        self.taken = weights[..., 0].detach().mean()
        mixed: Tensor = (weights.unsqueeze(-1).to(both.dtype) * self.value(both)).sum(-2)
        return mixed


def _tower(widths: Sequence[int]) -> nn.Sequential:
    return nn.Sequential(*(layer for shape in pairwise(widths) for layer in (nn.Linear(*shape), nn.ReLU())))


def _each(function: Callable[..., Tensor], *made: Representation) -> Representation:
    """The pooled vectors and the tokens that a function makes of some, whichever there are."""
    first = made[0]
    return first._replace(
        pooled=None if first.pooled is None else function(*(each.pooled for each in made)),
        tokens=None if first.tokens is None else function(*(each.tokens for each in made)),
    )


def _steps(order: Sequence[str], tasks: Sequence[str]) -> tuple[str, ...]:
    for name in order:
        if name not in tasks:
            raise UserError(f"model.sharing: `order` names the unknown task '{name}'; {did_you_mean(name, tasks)}")
        if list(order).count(name) > 1:
            raise UserError(f"model.sharing: `order` names '{name}' twice; name each step once")
    return tuple(order)
