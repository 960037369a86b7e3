"""How often labels occur in training data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mtl_lightning.errors import UserError
from mtl_lightning.raw_labels import Counted
from mtl_lightning.tasks.base import IGNORE


class _Encoder(Protocol):
    @property
    def missing(self) -> float: ...

    def encode(self, value: Any) -> Any: ...


@dataclass
class Occurrences:
    """Counts by label.

    Attributes:
        counts: How often the label occurs.
        known: Of how many examples it is known whether they have it, or in how many places any label stands.
    """

    counts: dict[str, int]
    known: dict[str, int]

    @classmethod
    def of(cls, task: _Encoder, values: Iterable[Counted], labels: Sequence[str]) -> "Occurrences":
        """From raw labels. Those that the task cannot encode are left out: their rows are named, or skipped, later."""
        counts, known = np.zeros((2, len(labels)), dtype=np.int64)
        for value, times in values:
            try:
                encoded = np.asarray(task.encode(value))
            except UserError:
                continue
            if task.missing == IGNORE:
                present = encoded[encoded != IGNORE].astype(np.int64)
                np.add.at(counts, present, times)
                known += times * present.size
            else:
                encoded = encoded.reshape(-1, len(labels))  # of an example, or of each of its words
                counts += times * (encoded == 1).sum(0)
                known += times * (~np.isnan(encoded)).sum(0)
        return cls(*(dict(zip(labels, found.tolist(), strict=True)) for found in (counts, known)))

    @classmethod
    def of_related(cls, task: _Encoder, values: Iterable[Counted], labels: Sequence[str]) -> "Occurrences":
        """From raw relations, of the pairs that have one. Lists that the task cannot encode are left out, as above."""
        counts, pairs = dict.fromkeys(labels, 0), 0
        for value, times in values:
            try:
                encoded = task.encode(value) or ()
            except UserError:
                continue
            found = {(relation.head, relation.tail, label) for relation, label in encoded}
            for _, _, label in found:
                counts[labels[label]] += times
            pairs += times * len({(head, tail) for head, tail, _ in found})
        return cls(counts, dict.fromkeys(labels, pairs))
