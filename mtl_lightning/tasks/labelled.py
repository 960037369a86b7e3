"""What tasks with a set of label names have in common."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mtl_lightning.errors import UserError
from mtl_lightning.raw_labels import Names, tidy
from mtl_lightning.tasks.base import IGNORE, LabelScores, Task, full_precision, index_of, name_of
from mtl_lightning.tasks.label_set import counted, doubts, one_spelling
from mtl_lightning.tasks.missing import Missing


class LabelledTask(Task):
    """A task whose outputs are a set of names.

    Args:
        labels: Label names, in the order of the outputs; a number is the name that it has in the data. Null: those of
            the training split, sorted; what is doubtful about them is said before training.
        main_metric: See :class:`Task`.
        dropout: Before the head.
        missing: Words that mean "no label" in the data, one or a list.

    Attributes:
        several: What to do where a label looks like several joined by ``{}``.
    """

    counted = True
    several: ClassVar[str] = "for several labels an example, use `MultiLabelClassification` with `separator: '{}'`"

    def __init__(
        self, labels: Sequence[str | int] | None, main_metric: str, dropout: float, missing: Missing = None
    ) -> None:
        super().__init__(main_metric, dropout, missing)
        self._set_labels(labels)

    def _set_labels(self, labels: Sequence[str | int] | None) -> None:
        self.labels = None if labels is None else [str(label) for label in labels]
        self._names = Names(self.labels or [])
        if len(self._names.exact) != len(self.labels or []):
            raise UserError(f"`labels` names a label twice: {self.labels}")
        if labels is not None and len(labels) < 2:
            raise UserError(f"`labels` must name at least two labels, found {self.labels}")
        if both := [label for label in self.labels or [] if tidy(label) in self.missing_words]:
            raise UserError(f"`labels` and `missing` both name {both[0]!r}; take it out of one of them")

    def adapt(self, values: Iterable[Any]) -> None:
        tally: Counter[str] = Counter()
        for value, count in counted(values):
            for name in self.names(value):
                tally[name] += count
        joined, notes = one_spelling(dict(sorted(tally.items())))
        found = self.complete(sorted(joined))
        if len(found) < 2:
            said = f"only {found[0]!r} ({joined[found[0]]:,} times)" if found else "none"
            raise UserError(f"needs at least two labels, found {said} in the training split")
        self._set_labels(found)
        self._remarks = [*notes, *doubts(joined, self.several)]

    def names(self, value: Any) -> list[str]:
        """The label names in one raw value, none if it is missing.

        Raises:
            UserError: If the value cannot be understood.
        """
        return [] if self.is_missing(value) else [name_of(value)]

    def check(self, value: Any) -> None:
        self.names(value)

    def complete(self, found: list[str]) -> list[str]:
        """The label set, from the names that were found."""
        return found

    def check_names(self, names: Sequence[str]) -> None:
        for name in names if self.labels is not None else ():
            self.index(name)

    def adapted(self) -> dict[str, Any]:
        return {} if self.labels is None else {"labels": self.labels}

    @property
    def num_outputs(self) -> int:
        assert self.labels is not None, "adapt() comes first"
        return len(self.labels)

    def index(self, name: Any) -> int:
        """Position of a label name; see :func:`index_of`."""
        assert self.labels is not None, "adapt() comes first"
        return index_of(name, self.labels, self._names)

    def report(self, counts: Tensor) -> dict[str, LabelScores]:
        """From torchmetrics' stat scores [C, 5]: true positives, false positives, true and false negatives, support."""
        assert self.labels is not None
        scores = LabelScores.from_counts(counts[:, 0], counts[:, 1], counts[:, 3])
        return per_label(self.labels, scores)


def per_label(labels: Sequence[str], scores: LabelScores) -> dict[str, LabelScores]:
    """Splits scores [C] into one row a label."""
    return {label: LabelScores({name: values[i] for name, values in scores.items()}) for i, label in enumerate(labels)}


def mean_cross_entropy(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross entropy over the labels present, in float32; 0 where there is none.

    Args:
        logits: [N, C].
        targets: Indices [N], ``IGNORE`` where missing.
        label_smoothing: See torch's cross entropy.
    """
    total = cross_entropy(
        full_precision(logits), targets, ignore_index=IGNORE, reduction="sum", label_smoothing=label_smoothing
    )
    return total / torch.ne(targets, IGNORE).sum().clamp(min=1)


def fill_missing(values: Tensor, missing: Tensor) -> Tensor:
    """``values`` as float [B] with NaN where ``missing`` [B]."""
    return torch.where(missing, torch.nan, values.to(torch.float32))
