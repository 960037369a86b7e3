"""Stages that each exist several times."""

from collections.abc import Sequence

import torch
from torch import nn

from mtl_lightning.sharing.branches import Pair
from mtl_lightning.sharing.redrawing import copies_of


class BranchedStages(nn.ModuleList):
    """Successive stages of an encoder with several branches each: its own stage is the first, the others are copies.

    It registers the copies alone, under the number of the stage.

    Args:
        stages: The encoder's.
        number: M, the branches of each stage.
        different: Whether copies start from other weights of the same distribution.

    Attributes:
        stages: As above.
    """

    def __init__(self, stages: Sequence[nn.Module], number: int, different: bool) -> None:
        super().__init__(copies_of(stage, number - 1, different) for stage in stages)
        self.stages = tuple(stages)

    def of(self, stage: int) -> list[nn.Module]:
        """The branches of a stage, counted from 0 here: the encoder's own, and the copies."""
        return [self.stages[stage], *self[stage]]  # type: ignore[misc]

    @property
    def sizes(self) -> list[int]:
        """How many branches each stage has."""
        return [1 + len(copies) for copies in self]  # type: ignore[arg-type]

    @torch.no_grad()
    def keep(self, used: Sequence[Sequence[int]]) -> None:
        """Drops the other branches; the parameters of the first that is kept move into the encoder's stage.

        Args:
            used: Numbers of the branches to be kept, in order, at least one of each stage.
        """
        for i, (first, *others) in enumerate(used):
            branches = self.of(i)
            if first:
                self.stages[i].load_state_dict(branches[first].state_dict())
            self[i] = nn.ModuleList(branches[other] for other in others)

    def copies(self) -> list[Pair]:
        """Each copy with its original."""
        return [(copy, stage) for i, stage in enumerate(self.stages) for copy in self.of(i)[1:]]
