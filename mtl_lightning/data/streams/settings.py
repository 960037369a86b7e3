"""How a training split is read that is too large to be written to disk first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtl_lightning.errors import UserError


@dataclass(frozen=True)
class Streaming:
    """Reads a training split as it comes.

    Args:
        num_examples: Number of examples that counts as a pass, from which schedules tell epochs and proportions; null:
            what the source says. A stream that ends earlier begins anew; of a longer one, the next epoch reads on.
        buffer: Number of examples that are held, shuffled, and sorted into batches of similar length.
        learn_from: Number of examples, from the beginning, from which an encoder learns what it must know of the data
            before training starts, such as the categories of a table; null: those of a pass.
    """

    num_examples: int | None = None
    buffer: int = 10_000
    learn_from: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and value < 1:
                raise UserError(f"streaming.{name} must be at least 1, found {value}")


class Examples:
    """Encoded examples of a stream: no table holds them, so they travel with the plan of their step.

    Args:
        columns: ``row`` (number in the stream), ``length``, ``inputs/<name>``, ``targets/<task>`` and
            ``counts/<task>``, each an array of N, of objects where its values are lists.
    """

    def __init__(self, columns: Mapping[str, np.ndarray]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns["length"])

    def __getitem__(self, rows: slice | np.ndarray) -> "Examples":
        return Examples({name: values[rows] for name, values in self.columns.items()})

    @classmethod
    def joined(cls, parts: "Sequence[Examples]") -> "Examples":
        """Those of several parts, one after the other."""
        return cls({name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns})
