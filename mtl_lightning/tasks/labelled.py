"""What tasks with a set of label names have in common."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from mtl_lightning.errors import UserError, shown
from mtl_lightning.raw_labels import Counted, Missing, Names, tidy
from mtl_lightning.tasks.base import IGNORE, Task
from mtl_lightning.tasks.class_catalogue import ranks
from mtl_lightning.tasks.class_weights import BALANCED, Weights, balanced, balanced_positive, checked, in_order, unseen
from mtl_lightning.tasks.evaluated import LabelScores
from mtl_lightning.tasks.inheriting import fitting, output_layer
from mtl_lightning.tasks.label_names import index_of, name_of, positions
from mtl_lightning.tasks.label_scores import AVERAGES, RATIOS
from mtl_lightning.tasks.label_set import counted, doubts, one_spelling
from mtl_lightning.tasks.occurrences import Occurrences
from mtl_lightning.tasks.scoring import Scoring
from mtl_lightning.tasks.soft_losses import mean_divergence
from mtl_lightning.tasks.taught import Reading, order_of, refuse_another_kind, reordered


class LabelledTask(Task):
    """A task whose outputs are a set of names.

    Args:
        labels: Label names, in the order of the outputs; a number is the name that it has in the data. Null: those of
            the training split, sorted; what is doubtful about them is said before training.
        main_metric: See :class:`Task`.
        dropout: Before the head.
        missing: Words that mean "no label" in the data, one or a list.
        scoring: Which metrics to report.
        class_weights: Weight of each label in the loss; see :mod:`.class_weights`.
        pos_weight: Weight of examples to which a label applies; see there.

    Attributes:
        averaged: Plain names of the metrics that are averaged over labels.
        label_weights: ``class_weights`` or ``pos_weight`` as a tensor [C], once built; null: there are none.
        several: What to do where a label looks like several joined by ``{}``.
        scores_labels: Whether logits are one tensor with a score for each label [..., C], which other tasks can read.
        none: What else a word that may mean "no label" may mean, and the setting for it.
    """

    counted = True
    none: ClassVar[str] = ""
    several: ClassVar[str] = "for several labels an example, use `MultiLabelClassification` with `separator: '{}'`"

    scores_labels: ClassVar[bool] = True
    beside_labels = Task.beside_labels | {"class_weights", "pos_weight", "positive", "label_smoothing", "focal_gamma"}
    averaged: ClassVar[tuple[str, ...]] = tuple(RATIOS)
    label_weights: Tensor | None

    def __init__(
        self,
        labels: Sequence[str | int] | None,
        main_metric: str,
        dropout: float,
        missing: Missing = None,
        scoring: Scoring | None = None,
        class_weights: Weights = None,
        pos_weight: Weights | float = None,
    ) -> None:
        super().__init__(main_metric, dropout, missing)
        self._scoring = scoring or Scoring()
        self._in_order_of_names = False
        self.class_weights = checked("class_weights", class_weights)
        self.pos_weight = checked("pos_weight", pos_weight)
        self.register_buffer("label_weights", None, persistent=False)
        self._set_labels(labels)

    def _set_labels(self, labels: Sequence[str | int] | None) -> None:
        self.labels = None if labels is None else [str(label) for label in labels]
        self._names = Names(self.labels or [])
        if len(self._names.exact) != len(self.labels or []):
            twice = next(label for label, number in Counter(self.labels).items() if number > 1)
            raise UserError(f"`labels` names a label twice, {twice!r}: {shown(self.labels)}")
        if labels is not None and len(labels) < 2:
            raise UserError(f"`labels` must name at least two labels, found {self.labels}")
        if both := [label for label in self.labels or [] if tidy(label) in self.missing_words]:
            raise UserError(f"`labels` and `missing` both name {both[0]!r}; take it out of one of them")

    def adapt(self, values: Iterable[Any]) -> None:
        known = list(counted(values))
        if self.labels is None:
            self.find_labels(known)
            self._remarks = [*self._remarks, *self.unmet()]
            self._in_order_of_names = True
        if self._open:
            self._balance(known)

    @property
    def _open(self) -> bool:
        """Whether weights are to be taken from the training data."""
        return BALANCED in (self.class_weights, self.pos_weight)

    def find_labels(self, values: Sequence[Counted]) -> None:
        """Takes the label set from the training data."""
        tally: Counter[str] = Counter()
        for value, count in values:
            for name in self.names(value):
                tally[name] += count
        joined, notes = one_spelling(dict(sorted(tally.items())))
        found = self.complete(sorted(joined))
        if len(found) < 2:
            said = f"only {found[0]!r} ({joined[found[0]]:,} times)" if found else "none"
            raise UserError(f"needs at least two labels, found {said} in the training split")
        self._set_labels(found)
        self._remarks = [*notes, *doubts(joined, self.several, self.none)]

    def _balance(self, values: Sequence[Counted]) -> None:
        """Takes the weights from the training data."""
        assert self.labels is not None
        found = self.occurrences(values)
        for key in ("class_weights", "pos_weight"):
            if getattr(self, key) == BALANCED:
                self._remarks = [*self._remarks, *unseen(key, found.counts)]
        if self.class_weights == BALANCED:
            self.class_weights = balanced(found.counts)
        if self.pos_weight == BALANCED:
            self.pos_weight = self.balanced_positive(balanced_positive(found.counts, found.known))

    def occurrences(self, values: Sequence[Counted]) -> Occurrences:
        """How often each label occurs in the training data."""
        assert self.labels is not None
        return Occurrences.of(self, values, self.labels)

    def balanced_positive(self, weights: dict[str | int, float]) -> Weights | float:
        """What ``pos_weight: balanced`` stands for, given negatives / positives of each label."""
        return weights

    def ordered_weights(self) -> list[float] | None:
        """The weights of the labels in the loss, in the order of the outputs."""
        if not isinstance(self.class_weights, Mapping):
            return None
        return in_order("class_weights", self.class_weights, self.labels or [])

    def build(self, features: int) -> None:
        super().build(features)
        weights = self.ordered_weights()
        self.label_weights = None if weights is None else torch.tensor(weights)

    def remarks(self) -> list[str]:
        assert self.labels is not None
        reported = {self.main_metric, *(self._scoring.names or ())}
        ordered = "quadratic_kappa" in reported and ranks(self.labels) == list(range(self.num_outputs))
        if not (ordered and self._in_order_of_names):
            return self._remarks
        order = ", ".join(self.labels[:12]) + (", …" if len(self.labels) > 12 else "")
        return [*self._remarks, f"quadratic_kappa takes the labels in this order: {order}; set `labels` for another"]

    def inherited(self, state: Mapping[str, Tensor], adapted: Mapping[str, Any]) -> tuple[dict[str, Tensor], str]:
        """The rows of labels that both know; those of others stay fresh."""
        known, labels = [str(label) for label in adapted.get("labels") or []], self.labels or []
        if known == labels:
            return fitting(state, self.state_dict()), f"all {len(labels)} labels"
        places = {label: place for place, label in enumerate(known)}
        rows = {i: places[label] for i, label in enumerate(labels) if label in places}
        if not rows:
            return {}, "fresh, it has no label in common with the checkpoint's"
        own = self.state_dict()
        rest = {name: own[name].shape[1:] for name in output_layer(self.head) if name in own and name in state}
        outputs = [name for name, shape in rest.items() if state[name].shape == (len(known), *shape)]
        taken = fitting({name: value for name, value in state.items() if name not in outputs}, own)
        for name in outputs:
            taken[name] = own[name].clone()
            taken[name][list(rows)] = state[name][list(rows.values())].to(own[name])
        taken |= self.relocated(state, rows)
        fresh = ", ".join(repr(label) for label in [x for x in labels if x not in places][:5])
        return taken, f"{len(rows)} of {len(labels)} labels" + (f"; fresh: {fresh}" if fresh else "")

    def relocated(self, state: Mapping[str, Tensor], places: Mapping[int, int]) -> dict[str, Tensor]:
        """Parameters other than the output layer's whose rows belong to labels, from a task of other labels.

        Args:
            state: Its parameters and buffers.
            places: Position of a label here → its position there.
        """
        return {}

    @property
    def independent(self) -> bool:
        """Whether the softmax of its logits, or their sigmoid, is what it gives as probabilities."""
        return True

    # -- learning from a teacher -------------------------------------------------------------------------------------
    def read_teacher(self, teacher: Any) -> Reading:
        """Labels are found by name."""
        if not (self.scores_labels and self.independent):
            return super().read_teacher(teacher)
        refuse_another_kind(self, teacher)
        if not teacher.independent:
            raise UserError("the teacher has no probabilities of single labels that can be learnt (`decoding: crf`)")
        return reordered(order_of(self.labels or [], teacher.labels))

    def soft_loss(self, logits: Tensor, taught: Tensor, mask: Tensor | None, temperature: float) -> Tensor:
        return mean_divergence(logits, taught, temperature, mask)

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
        if self.labels is None or self._open:
            return {}
        weights = {"class_weights": self.class_weights, "pos_weight": self.pos_weight}
        return {"labels": self.labels, **{key: given for key, given in weights.items() if given is not None}}

    @property
    def num_outputs(self) -> int:
        assert self.labels is not None, "adapt() comes first"
        return len(self.labels)

    def index(self, name: Any) -> int:
        """Position of a label name; see :func:`index_of`."""
        assert self.labels is not None, "adapt() comes first"
        return index_of(name, self.labels, self._names)

    def name_at(self, index: int) -> str | None:
        """The label name at a position, null for that of a missing label."""
        assert self.labels is not None, "adapt() comes first"
        return None if index == IGNORE else self.labels[index]

    def report(self, counts: Tensor) -> dict[str, LabelScores]:
        """From counts [4, C] in the order of :class:`.label_counts.Counts`."""
        assert self.labels is not None
        hits, predicted, actual, _ = counts
        return per_label(self.labels, LabelScores.from_counts(hits, predicted - hits, actual - hits))

    def chosen(self, labels: Sequence[str]) -> list[int] | None:
        """Positions of the labels that ``average_over`` names, null: of all."""
        over = self._scoring.over
        return None if over is None else positions("average_over", over, labels)

    def describe(self, metric: str) -> str:
        average = "" if metric.endswith(AVERAGES) else self._scoring.average or ""
        over = ", ".join(map(str, self._scoring.over or ()))
        words = [word for word in (average, f"of {over[:40]}" if over else "") if word]
        return f"{metric} ({' '.join(words)})" if words and metric.startswith(self.averaged) else metric


def per_label(labels: Sequence[str], scores: LabelScores) -> dict[str, LabelScores]:
    """Splits scores [C] into one row a label."""
    columns = {name: values.cpu().unbind() for name, values in scores.items()}  # at once: labels may be thousands
    return {label: LabelScores({name: column[i] for name, column in columns.items()}) for i, label in enumerate(labels)}


def fill_missing(values: Tensor, missing: Tensor) -> Tensor:
    """``values`` as float [B] with NaN where ``missing`` [B]."""
    return torch.where(missing, torch.nan, values.to(torch.float32))
