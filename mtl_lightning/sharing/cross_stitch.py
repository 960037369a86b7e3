"""Cross-stitch: an encoder per task, whose hidden states are mixed."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.arguments import above_zero
from mtl_lightning.sharing.base import Sharing
from mtl_lightning.sharing.branches import Branch, branches
from mtl_lightning.sharing.contracts import Compilable, Encoder, Inputs, Representation, State
from mtl_lightning.sharing.observing import ExpertUse, Observations
from mtl_lightning.sharing.stages import behind, stage_numbers


class CrossStitch(Sharing):
    r"""An encoder per task, and behind each stage a learned mixture of the tasks' hidden states.

    The state of task i behind a stage becomes :math:`\tilde{x}_i = \sum_j \alpha_{ij} x_j`, with
    :math:`\alpha_{ii}` = ``self_weight`` and the rest of each row shared equally at the start.

    Cost: K times the parameters and the arithmetic of the encoder, also where one task alone is asked for: what it
    takes of the others must be computed, up to the last stage that is mixed. A unit adds :math:`K^2` numbers a stage.

    Reference: Misra et al., "Cross-stitch Networks for Multi-task Learning" (CVPR 2016), equation 1. Difference: all
    encoders start from the same parameters, where the paper starts from networks trained for one task each. One matrix
    a stage serves all channels by default, where the paper has one for each (``per_channel``). The units have
    the learning rate of the heads by default, where the paper's is :math:`10^2` to :math:`10^3` times as high as that
    of the rest, with SGD (``lr_factor``).

    Helps: where nobody knows which layers tasks should share: it covers all between one encoder and one for each task.
    Fails: it costs as much as K models, for each prediction. With uniform weights the encoders, alike at the start,
    receive the same gradients and stay alike.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's; it must be cut into stages. It becomes the first task's, the others have copies.
        self_weight: What a task takes of its own state at the start, from 0 to 1; the others share the rest equally.
        per_channel: Whether each channel has a matrix of its own.
        stages: Numbers of the stages, from 1, behind which states are mixed, -1 being the last; null: all. What follows
            the last of them is a task's own.
        lr_factor: Learning rate of the mixtures, relative to that of the heads. With Adam a weight moves by about the
            learning rate in a step: where an encoder is fine-tuned at 2e-5, they hardly move without a factor.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        self_weight: float = 0.9,
        per_channel: bool = False,
        stages: Sequence[int] | None = None,
        lr_factor: float = 1.0,
    ) -> None:
        super().__init__(tasks, encoder)
        above_zero("lr_factor", lr_factor)
        if not 0 <= self_weight <= 1:
            raise UserError(f"model.sharing: `self_weight` must be from 0 to 1, found {self_weight}")
        mixed = stage_numbers("stages", stages, encoder)
        widths = [encoder.widths[number] if per_channel else None for number in mixed]
        axis = encoder.channel_axis
        self.units = nn.ModuleDict(
            {str(n): Stitch(self.tasks, self_weight, width, axis) for n, width in zip(mixed, widths, strict=True)}
        )
        self.branches = branches(encoder, 0, len(tasks))
        self._last_mixed = mixed[-1]
        self.lr_factor = lr_factor

    @property
    def towers(self) -> dict[str, Encoder]:
        """The encoder of each task."""
        return {task: branch.encoder for task, branch in zip(self.tasks, self._branches, strict=True)}

    @property
    def _branches(self) -> list[Branch]:
        return list(self.branches)  # type: ignore[arg-type]

    def encode(self, inputs: Inputs) -> Inputs:
        """The inputs: the encoders have nothing in common."""
        return inputs

    def share(self, encoded: Inputs, tasks: Sequence[str]) -> dict[str, Representation]:
        if not tasks:
            return {}
        towers = self.towers
        states: Mapping[str, Any] = {task: tower.begin(encoded) for task, tower in towers.items()}
        for number in range(1, len(self.encoder.stages) + 1):
            states = {task: towers[task].stages[number - 1](state) for task, state in states.items()}
            if str(number) in self.units:
                states = self.units[str(number)](states, tasks if number == self._last_mixed else self.tasks)
        return {task: towers[task].end(states[task]) for task in tasks}

    def observe(self) -> Observations:
        """What each task takes of each encoder behind each stage that is mixed, by the weights' magnitude."""
        return Observations([unit.use(f"stage_{number}") for number, unit in self.units.items()])  # type: ignore[operator]

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        stages = list(self.towers[task].stages) if len(self.tasks) > 1 else []
        return behind(stages[: self._last_mixed], nn.ModuleList(stages[self._last_mixed :]))

    def copies(self) -> list[tuple[nn.Module, nn.Module]]:
        return [pair for branch in self._branches for pair in branch.copies()]

    def lr_factors(self) -> dict[str, tuple[float, list[nn.Parameter]]]:
        return {"units": (self.lr_factor, list(self.units.parameters()))}

    def compiled_parts(self) -> list[Compilable]:
        return [stage for tower in self.towers.values() for stage in tower.stages]


class Stitch(nn.Module):
    """A cross-stitch unit.

    Args:
        tasks: Names of the K tasks.
        self_weight: The diagonal at the start.
        width: C, for a matrix a channel; null: one for all.
        axis: Where hidden states have their channels.

    Attributes:
        weights: What each task, by row, takes of each [K, K] or [K, K, C].
    """

    def __init__(self, tasks: Sequence[str], self_weight: float, width: int | None, axis: int) -> None:
        super().__init__()
        self._tasks, self._axis = tuple(tasks), axis
        number = len(tasks)
        weights = torch.full((number, number), (1 - self_weight) / max(number - 1, 1))
        weights.fill_diagonal_(self_weight if number > 1 else 1.0)
        self.weights = nn.Parameter(weights if width is None else weights.unsqueeze(-1).repeat(1, 1, width))

    def use(self, name: str) -> ExpertUse:
        """The weights as they are now.

        Args:
            name: Of the unit.
        """
        found = ExpertUse(dict.fromkeys(self._tasks, self._tasks), name, balanced=False)
        taken = self.weights.detach().abs()
        taken = taken if taken.dim() == 2 else taken.mean(-1)
        for task, row in zip(self._tasks, taken / taken.sum(1, keepdim=True).clamp(min=1e-9), strict=True):
            found.note(task, row)
        return found

    def forward(self, states: Mapping[str, State], tasks: Sequence[str]) -> dict[str, State]:
        """The mixed states of ``tasks``.

        Args:
            states: Those of all K tasks.
            tasks: Names of those that are wanted.
        """
        hidden = torch.stack([states[task].hidden for task in self._tasks])
        return {task: states[task]._replace(hidden=self._mixed(self._tasks.index(task), hidden)) for task in tasks}

    def _mixed(self, row: int, hidden: Tensor) -> Tensor:
        """One task's [B, ...] of all [K, B, ...], by arithmetic that no autocast rounds."""
        shape = [1] * (hidden.dim() - 1)
        if self.weights.dim() == 3:
            shape[self._axis] = -1
        return (self.weights[row].view(len(self._tasks), *shape) * hidden).sum(0).to(hidden.dtype)
