"""One label for each word: tags, or spans written as BIO tags."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassStatScores

from mtl_lightning.errors import UserError
from mtl_lightning.tasks.base import IGNORE, LabelScores, full_precision, is_missing
from mtl_lightning.tasks.labelled import LabelledTask, fill_missing, mean_cross_entropy, per_label
from mtl_lightning.tasks.span_f1 import SpanCounts, SpanScore, span_types


class TokenClassification(LabelledTask):
    """Classification of words, by cross entropy over the labels.

    A raw label is a list of tags, one a word, or None where the example has none; a tag that is None, empty or
    ``missing_tag`` is missing. Words that the encoder cut off have no label either.

    Metrics: ``accuracy`` over words; ``f1``: with ``scheme: tags`` macro over tags, with ``scheme: bio`` that of whole
    spans (micro, as conlleval and seqeval count them), and then also ``precision`` and ``recall``.

    Args:
        scheme: ``tags``, or ``bio``: the tags are ``O``, ``B-x`` and ``I-x`` and mark spans.
        labels: Tags, in the order of the outputs; null: those of the training split, sorted, in ``bio`` completed to
            ``O``, ``B-x`` and ``I-x`` for each type x.
        main_metric: The metric that stands for the task; null: ``accuracy`` for ``tags``, ``f1`` for ``bio``.
        missing_tag: A tag that stands for a missing label.
        dropout: Before the head.
    """

    level = "tokens"

    def __init__(
        self,
        scheme: Literal["tags", "bio"] = "tags",
        labels: Sequence[str] | None = None,
        main_metric: str | None = None,
        missing_tag: str | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(labels, main_metric or ("f1" if scheme == "bio" else "accuracy"), dropout)
        self.scheme = scheme
        self.missing_tag = missing_tag
        if labels is not None and scheme == "bio":
            _check_bio(labels)

    def split(self, values: Iterable[Any]) -> Iterable[str]:
        return (tag for value in values if value is not None for tag in value if not self._is_missing(tag))

    def complete(self, found: list[str]) -> list[str]:
        if self.scheme == "tags":
            return found
        _check_bio(found)
        return ["O", *(f"{prefix}-{name}" for name in span_types(found) for prefix in "BI")]

    def encode(self, value: Any) -> list[int]:
        if value is None:
            return []
        if isinstance(value, str):
            raise UserError(f"expected a list of tags, one a word, found the text {value!r}")
        return [IGNORE if self._is_missing(tag) else self.index(tag) for tag in value]

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return mean_cross_entropy(logits.flatten(0, 1), targets.flatten())

    def metrics(self) -> MetricCollection:
        count = self.num_outputs
        assert self.labels is not None
        accuracy = MulticlassAccuracy(count, average="micro", ignore_index=IGNORE)
        if self.scheme == "tags":
            return MetricCollection(
                {
                    "accuracy": accuracy,
                    "f1": MulticlassF1Score(count, average="macro", ignore_index=IGNORE),
                    "label_counts": MulticlassStatScores(count, average=None, ignore_index=IGNORE),
                },
                compute_groups=False,
            )
        spans = {name: SpanScore(self.labels, name) for name in ("f1", "precision", "recall")}
        return MetricCollection(
            {"accuracy": accuracy, **spans, "label_counts": SpanCounts(self.labels)}, compute_groups=False
        )

    def update(self, metrics: MetricCollection, logits: Tensor, targets: Tensor) -> None:
        metrics.update(logits.argmax(-1), targets)

    def decode(self, logits: Tensor, mask: Tensor | None) -> list[dict[str, Any]]:
        assert mask is not None and self.labels is not None
        probability, index = full_precision(logits).softmax(-1).max(-1)
        decoded = []
        for tags, probabilities, length in zip(index.tolist(), probability.tolist(), mask.sum(1).tolist(), strict=True):
            names = [self.labels[tag] for tag in tags[:length]]
            decoded.append({"labels": names, "probabilities": probabilities[:length], **self._decode_spans(names)})
        return decoded

    def correct(self, logits: Tensor, targets: Tensor) -> Tensor:
        present = targets != IGNORE
        right = torch.where(present, logits.argmax(-1) == targets, True).all(1)
        return fill_missing(right, ~present.any(1))

    def report(self, counts: Any) -> dict[str, LabelScores]:
        if self.scheme == "tags":
            return super().report(counts)
        assert self.labels is not None
        return per_label(span_types(self.labels), LabelScores.from_counts(*counts))

    def _is_missing(self, tag: Any) -> bool:
        return is_missing(tag) or tag == self.missing_tag

    def _decode_spans(self, tags: list[str]) -> dict[str, Any]:
        """Spans of words, end exclusive, by the rule of :class:`SpanCounts`."""
        if self.scheme == "tags":
            return {}
        spans: list[dict[str, Any]] = []
        previous = "O"
        for position, tag in enumerate(tags):
            if tag != "O":
                if tag.startswith("B-") or previous[2:] != tag[2:]:
                    spans.append({"label": tag[2:], "start": position})
                spans[-1]["end"] = position + 1
            previous = tag
        return {"spans": spans}


def _check_bio(tags: Iterable[str]) -> None:
    for tag in tags:
        if tag != "O" and not (tag[:2] in ("B-", "I-") and len(tag) > 2):
            raise UserError(f"tag {tag!r} is not BIO ('O', 'B-x' or 'I-x'); mend it, or set `scheme: tags`")
