"""Relations between spans of words."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from mtl_lightning.decoding import Decoder, RelationDecoder
from mtl_lightning.errors import UserError, shown
from mtl_lightning.raw_labels import Counted, Missing
from mtl_lightning.raw_labels.spans import Ends, Span
from mtl_lightning.tasks.base import IGNORE, full_precision
from mtl_lightning.tasks.class_weights import BALANCED, positive_weights
from mtl_lightning.tasks.contracts import Features
from mtl_lightning.tasks.label_counts import MultiLabelCounts
from mtl_lightning.tasks.label_names import name_of
from mtl_lightning.tasks.labelled import LabelledTask, fill_missing
from mtl_lightning.tasks.losses import mean_binary_cross_entropy
from mtl_lightning.tasks.occurrences import Occurrences
from mtl_lightning.tasks.pair_scorer import PairScorer
from mtl_lightning.tasks.raw_relations import Relation, place_of, relations_of
from mtl_lightning.tasks.scoring import Scoring, check_effect, choose, ratio_scores

RELATION_RATIOS = ("f1", "precision", "recall")

Encoded = list[tuple[Relation, int]] | None
"""Relations with the positions of their labels; null: it is not known which there are."""


class RelationLogits(NamedTuple):
    """What the head found.

    Attributes:
        scores: Of each label, of each ordered pair of spans [B, S, S, C].
        spans: Start, end and kind of each span [B, S, 3]; start and end are -1 where there is none.
    """

    scores: Tensor
    spans: Tensor


class RelationClassification(LabelledTask):
    """Labels of ordered pairs of spans, by binary cross entropy: a pair may have several labels, or none.

    The spans, say the entities of a sentence, are an input: a data set maps a column to ``spans`` beside ``tokens``, of
    objects ``{start, end, label}`` or lists ``[start, end, label]``. Labels of spans are read too, where there are any.
    With :class:`mtl_lightning.chains.PredictedSpans` the spans are those that another task finds, so that entities and
    relations are predicted together.

    A raw label is a list of relations ``{head, tail, label}`` (``type`` may stand for ``label``); head and tail are
    spans ``[start, end]`` of the input, or their positions in its list. None is a missing label; an empty list says
    that there are no relations.

    Metrics: ``f1``, ``precision``, ``recall`` of relations, ``micro`` by default; ``f1_macro`` and so on name an
    average themselves, ``f1_macro_present`` that over the labels that occur. A relation is right if label, direction
    and both spans are.

    A prediction has ``relations``, each with ``label``, ``probability``, ``head`` and ``tail``. These are spans of the
    input with ``word``, ``start``, ``end``, ``start_word`` and ``end_word``, as :class:`TokenClassification` has them.

    Args:
        labels: Label names, in the order of the outputs; null: those of the training split, sorted.
        main_metric: The metric that stands for the task.
        pairs: Which pairs count, in training and evaluation: ``all`` of a sentence, or the ``related`` ones, which have
            a label. Then a pair is given its best label at least, since that it has one is known.
        hidden: Width of what a pair is scored from.
        kind_size: Width of what is read of a span's label; 0: labels of spans are not read.
        threshold: Probability above which a label is predicted.
        dropout: Before the head, and within.
        missing: Words that mean "no label" in the data, one or a list.
        metrics: What to report; null: ``f1``, ``precision`` and ``recall``. The main metric is always reported.
        average: Of f1, precision and recall over the labels; null: ``micro``.
        average_over: Labels that these averages are taken over; null: all.
        pos_weight: Weight in the loss of pairs to which a label applies: a number for all labels, one for each, or, of
            ``related`` pairs, ``balanced``: negatives / positives of each in the training split.
    """

    level = "tokens"
    scores_labels = False
    says_numbers = True
    required_inputs = ("tokens", "spans")
    counted = False
    averaged = RELATION_RATIOS
    beside_labels = LabelledTask.beside_labels | {"hidden", "kind_size", "threshold"}

    def __init__(
        self,
        labels: Sequence[str | int] | None = None,
        main_metric: str = "f1",
        pairs: Literal["all", "related"] = "all",
        hidden: int = 256,
        kind_size: int = 32,
        threshold: float = 0.5,
        dropout: float = 0.1,
        missing: Missing = None,
        metrics: list[str] | None = None,
        average: Literal["macro", "micro", "weighted"] | None = None,
        average_over: list[str | int] | None = None,
        pos_weight: dict[str | int, float] | float | str | None = None,
    ) -> None:
        scoring = Scoring(metrics, average, average_over)
        super().__init__(labels, main_metric, dropout, missing, scoring, pos_weight=pos_weight)
        for name, size, least in (("hidden", hidden, 1), ("kind_size", kind_size, 0)):
            if size < least:
                raise UserError(f"`{name}` must be at least {least}, found {size}")
        if pos_weight == BALANCED and pairs == "all":
            raise UserError("`pos_weight: balanced` goes with `pairs: related`; give a number, or one for each label")
        self.pairs = pairs
        self.hidden = hidden
        self.kind_size = kind_size
        self.threshold = threshold
        self.spans: Ends = "exclusive"

    # -- labels ------------------------------------------------------------------------------------------------------
    def meet(self, encoder: Any) -> None:
        if "spans" not in encoder.processor.inputs:
            raise UserError(f"RelationClassification reads spans of words, of which {type(encoder).__name__} has none")
        self.spans = encoder.processor.spans

    def names(self, value: Any) -> list[str]:
        return [name_of(relation.label) for relation in self._relations(value) or ()]

    def occurrences(self, values: Sequence[Counted]) -> Occurrences:
        assert self.labels is not None
        return Occurrences.of_related(self, values, self.labels)

    def encode(self, value: Any) -> Encoded:
        relations = self._relations(value)
        return None if relations is None else [(relation, self.index(relation.label)) for relation in relations]

    def relabel(self, value: Any, rename: Callable[[str], str]) -> Any:
        relations = self._relations(value)
        if relations is None:
            return None
        renamed = [relation._replace(label=rename(name_of(relation.label))) for relation in relations]
        return _Read(renamed)

    def _relations(self, value: Any) -> list[Relation] | None:
        if isinstance(value, _Read):
            return value
        relations = None if self.is_missing(value) else relations_of(value, self.spans)
        for number, relation in enumerate(relations or (), 1):
            if self.is_missing(relation.label):
                raise UserError(
                    f"relation {number}: its label is missing, {shown(relation.label)}; take it out if there is no "
                    "relation, or give null for the list if it is not known which there are"
                )
        return relations

    def fit(self, target: Encoded, example: Mapping[str, Any]) -> list[list[int]]:
        """Rows [R, 5]: numbers of pairs and of those that have a label, then start and end of the head, of the tail,
        and the label of each relation. A missing label is a single row of ``IGNORE``.
        """
        if target is None:
            return [[int(self.missing)] * 5]
        spans, rows = example["spans"], []
        for number, (relation, label) in enumerate(target, 1):
            try:
                head, tail = (place_of(end, spans) for end in relation[:2])
            except UserError as error:
                raise UserError(f"relation {number} ({relation.label}) {error}") from error
            if head == tail and -1 not in head:
                raise UserError(f"relation {number} ({relation.label}) leads from a span to itself")
            if -1 not in (*head, *tail):
                rows.append([*head, *tail, label])
        spans_at = Counter((start, end) for start, end, _ in spans if start >= 0)
        pairs = sum(n * (spans_at.total() - n) for n in spans_at.values())
        related = sum(spans_at[head] * spans_at[tail] for head, tail in {((a, b), (c, d)) for a, b, c, d, _ in rows})
        return [[pairs, related, 0, 0, -1], *rows]

    def count(self, target: Sequence[Sequence[int]]) -> int:
        pairs, related = target[0][:2]
        return 0 if pairs == IGNORE else int(related if self.pairs == "related" else pairs)

    def in_words(self, target: Tensor) -> str | None:
        if not self.count(rows := target.tolist()):
            return None
        known = [row for row in rows[1:] if row[4] >= 0]
        return "; ".join(self._in_words(*row) for row in known) or "no relation"

    def _in_words(self, *row: int) -> str:
        assert self.labels is not None
        return f"{self.labels[row[4]]}: {Span(*row[:2]).place} → {Span(*row[2:4]).place}"

    # -- model -------------------------------------------------------------------------------------------------------
    def ordered_weights(self) -> list[float] | None:
        return positive_weights(self.pos_weight, self.labels or [])

    def build(self, features: int) -> None:
        super().build(features)
        self.head = PairScorer(features, self.num_outputs, self.hidden, self.kind_size, self.dropout.p)

    def can_read(self, features: Features) -> bool:
        return super().can_read(features) and "spans" in (features.given or {})

    def forward(self, features: Features) -> RelationLogits:  # type: ignore[override]
        """Scores [B, S, S, C] of pairs of the spans that were given [B, S, 3]."""
        assert self.head is not None, "build() comes first"
        if features.tokens is None or features.given is None:
            raise UserError("RelationClassification reads features of words, which this encoder or input lacks")
        spans = features.given["spans"]
        return RelationLogits(self.head(self.dropout(features.tokens), spans), spans)

    def loss(self, logits: RelationLogits, targets: Tensor) -> Tensor:  # type: ignore[override]
        return mean_binary_cross_entropy(logits.scores, self._truth(logits, targets), self.label_weights)

    def _truth(self, logits: RelationLogits, targets: Tensor) -> Tensor:
        """Whether each label applies to each pair, 1 or 0 [B, S, S, C]; NaN for pairs that do not count."""
        rows = targets[:, 1:]
        heads, tails = (_same(logits.spans, rows[..., place : place + 2]) for place in (0, 2))
        kinds = torch.arange(self.num_outputs, device=rows.device) == rows[..., 4:]
        truth = torch.einsum("brs,brt,brc->bstc", heads.float(), tails.float(), kinds.float()).clamp(max=1)
        counts = _pairs(logits.spans) & torch.ne(targets[:, 0, 0], IGNORE)[:, None, None]
        if self.pairs == "related":
            counts = counts & truth.any(-1)
        return truth.masked_fill(~counts.unsqueeze(-1), math.nan)

    def _chosen(self, scores: Tensor) -> Tensor:
        """Which labels are predicted [B, S, S, C]."""
        chosen = full_precision(scores).sigmoid() > self.threshold
        if self.pairs == "related":
            best = scores.argmax(-1, keepdim=True)
            chosen = chosen | torch.zeros_like(chosen).scatter(-1, best, torch.ones_like(chosen))
        return chosen

    # -- evaluation --------------------------------------------------------------------------------------------------
    def metrics(self) -> MetricCollection:
        over, average = self.chosen(self.labels or []), self._scoring.average or "micro"
        scores = ratio_scores(RELATION_RATIOS, average, over)
        catalogue = {name: partial(MultiLabelCounts, self.num_outputs, score) for name, score in scores.items()}
        chosen = choose(catalogue, RELATION_RATIOS, self._scoring.names, self.main_metric)
        check_effect(self._scoring, list(chosen), RELATION_RATIOS)
        chosen["label_counts"] = MultiLabelCounts(self.num_outputs)
        return MetricCollection(dict(chosen), compute_groups=False)

    def update(self, metrics: MetricCollection, logits: RelationLogits, targets: Tensor) -> None:  # type: ignore[override]
        found, truth = self._chosen(logits.scores).flatten(0, 2), self._truth(logits, targets).flatten(0, 2)
        missed = self._missed(logits, targets).flatten(0, 1)
        metrics.update(torch.cat([found, torch.zeros_like(missed, dtype=torch.bool)]), torch.cat([truth, missed]))

    def _missed(self, logits: RelationLogits, targets: Tensor) -> Tensor:
        """1 for the label of each relation between spans that were not found [B, R, C]; NaN elsewhere."""
        rows = targets[:, 1:]
        known = [_same(logits.spans, rows[..., place : place + 2]).any(-1) for place in (0, 2)]
        kinds = torch.arange(self.num_outputs, device=rows.device) == rows[..., 4:]
        return torch.where(kinds & ~(known[0] & known[1]).unsqueeze(-1), 1.0, math.nan)

    def correct(self, logits: RelationLogits, targets: Tensor) -> Tensor:  # type: ignore[override]
        truth = self._truth(logits, targets)
        right = (truth.isnan() | (self._chosen(logits.scores) == truth.nan_to_num().bool())).flatten(1).all(1)
        right = right & self._missed(logits, targets).isnan().flatten(1).all(1)
        return fill_missing(right, torch.eq(targets[:, 0, 0], IGNORE))

    def decoder(self) -> Decoder:
        assert self.labels is not None, "adapt() comes first"
        return RelationDecoder(tuple(self.labels), self.threshold, self.pairs)


class _Read(list[Relation]):
    """Relations that have been read."""


def _same(spans: Tensor, places: Tensor) -> Tensor:
    """Whether a span is at a place [B, R, S], of spans [B, S, 3] and places [B, R, 2]."""
    return (spans[:, None, :, :2] == places[:, :, None]).all(-1) & (spans[:, None, :, 0] >= 0)


def _pairs(spans: Tensor) -> Tensor:
    """Which ordered pairs of spans are two different ones that are there [B, S, S]."""
    present = spans[..., 0] >= 0
    different = (spans[:, :, None, :2] != spans[:, None, :, :2]).any(-1)
    return present[:, :, None] & present[:, None] & different
