"""Collective operations: what each process sends."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["all_reduce", "reduce_scatter", "all_gather", "broadcast"]

PASSES: dict[Kind, int] = {"all_reduce": 2, "reduce_scatter": 1, "all_gather": 1, "broadcast": 1}
"""How often the data goes around all processes: an all-reduce is a reduce-scatter and an all-gather."""


@dataclass(frozen=True)
class Exchange:
    """One collective operation.

    Attributes:
        kind: Which.
        size: Bytes of what is summed, sent to all, scattered (before) or gathered (after).
    """

    kind: Kind
    size: float

    def sent(self, num_processes: int) -> float:
        """Bytes that a process sends, in the mean over processes; no algorithm sends fewer."""
        return PASSES[self.kind] * self.size * (num_processes - 1) / num_processes
