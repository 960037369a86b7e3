"""One label for each word: tags, or spans written as BIO tags."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from mtl_lightning.decoding import Decoder, TagDecoder
from mtl_lightning.decoding.spans import OUTSIDE
from mtl_lightning.errors import UserError, shown
from mtl_lightning.raw_labels import Missing, missing_words, tidy
from mtl_lightning.raw_labels.spans import Ends
from mtl_lightning.tasks import bio
from mtl_lightning.tasks.base import IGNORE
from mtl_lightning.tasks.class_catalogue import class_metrics
from mtl_lightning.tasks.class_weights import BALANCED, in_order
from mtl_lightning.tasks.contracts import Features
from mtl_lightning.tasks.decoded import as_array
from mtl_lightning.tasks.evaluated import LabelScores
from mtl_lightning.tasks.label_counts import LabelCounts
from mtl_lightning.tasks.label_names import name_of
from mtl_lightning.tasks.label_scores import AGREEMENTS, FOUND, RATIOS, with_averages
from mtl_lightning.tasks.labelled import LabelledTask, fill_missing, per_label
from mtl_lightning.tasks.linear_chain import ChainHead, check_plain, without_words
from mtl_lightning.tasks.losses import check_fraction, check_gamma, mean_cross_entropy
from mtl_lightning.tasks.raw_spans import FromSpans, holds_spans, tags_of, up_to
from mtl_lightning.tasks.scoring import Scoring, check_effect, choose
from mtl_lightning.tasks.span_f1 import SPAN_RATIOS, SpanCounts, span_metrics
from mtl_lightning.tasks.words import T, each_word


class TokenClassification(LabelledTask):
    """Classification of words, by cross entropy over the labels.

    A raw label is a list of tags, one a word, also one that CSV made a text of (``"['O', 'B-x']"``), or None where the
    example has none; a tag that is None, blank or a word of ``missing`` is missing. Words that the encoder cut off have
    no label either. With ``spans`` it may be a list of spans of words, such as ``{start: 3, end: 5, label: city}``,
    where ``type`` may stand for ``label``; an empty list says that there is none.

    Metrics: ``accuracy`` over words; ``f1``, ``precision`` and ``recall``: with ``scheme: tags`` of tags (macro), with
    ``scheme: bio`` of whole spans (micro, as conlleval and seqeval count them). ``f1_macro``, ``f1_micro`` and
    ``f1_weighted`` name an average themselves. With ``scheme: tags`` also ``balanced_accuracy``, ``specificity``,
    ``mcc`` (Matthews), ``kappa`` (Cohen) and ``quadratic_kappa``.

    A prediction has ``labels`` and ``probabilities``, one a word, null for words that the encoder cut off. Where the
    input is a text, ``words`` and their ``offsets`` in it follow. With ``scheme: bio`` there are ``spans``, as a
    pipeline of transformers gives them: ``label``, ``score`` (mean probability of the words), ``word`` (what stands
    there), ``start`` and ``end``: characters of a text, end exclusive. Of a list of words they are positions in it, as
    ``start_word`` and ``end_word`` always are.

    Args:
        scheme: ``tags``, or ``bio``: the tags are ``O``, ``B-x`` and ``I-x`` and mark spans.
        labels: Tags, in the order of the outputs; null: those of the training split, sorted, in ``bio`` completed to
            ``O``, ``B-x`` and ``I-x`` for each type x.
        main_metric: The metric that stands for the task; null: ``accuracy`` for ``tags``, ``f1`` for ``bio``.
        missing_tag: A tag that stands for a missing label; ``missing`` takes several.
        dropout: Before the head.
        missing: Tags that mean "no label", one or a list, say ``[_, NA]``.
        label_smoothing: See torch's cross entropy.
        metrics: What to report; null: ``accuracy`` and ``f1``, in ``bio`` also ``precision`` and ``recall``. The main
            metric is always reported.
        average: Of f1, precision, … over tags or, in ``bio``, types of spans; null: ``macro``, in ``bio`` ``micro``.
        average_over: Tags, or types of spans, that these averages are taken over; null: all.
        class_weights: Weight of each tag in the loss, such as ``{O: 0.2, B-x: 1, I-x: 1}``, in ``bio`` of each
            type of span too (``{O: 0.2, x: 1}``), or ``balanced``: n / (K · count) from the tags of the training split.
        focal_gamma: Above 0: focal loss, which multiplies each loss by (1 - p)^gamma; 2 is usual.
        decoding: ``independent``: each word's tag is the most probable one. ``crf``: a linear-chain conditional random
            field over the tags of a sentence, trained by its negative log-likelihood and decoded by Viterbi's
            algorithm; in ``bio``, ``I-x`` follows ``B-x`` and ``I-x`` alone. Probabilities are then marginals, and tags
            that are missing between others are summed over. It costs the square of the number of tags a word, and has
            no weighted, focal or smoothed loss. See :mod:`.linear_chain`.
        spans: In ``bio``: raw labels may be spans; positions count words from 0, and ``end`` is the one behind the last
            word (``exclusive``, as in predictions) or that of the last word (``inclusive``). Null: they are tags.
    """

    level = "tokens"
    beside_labels = LabelledTask.beside_labels | {"decoding"}
    several = "a word has one tag; fix the data, or join them by `label_maps`"
    irregular = "tags `I-x` follow no tag of type x; each starts a span, as in conlleval"

    def __init__(
        self,
        scheme: Literal["tags", "bio"] = "tags",
        labels: Sequence[str | int] | None = None,
        main_metric: str | None = None,
        missing_tag: str | None = None,
        dropout: float = 0.1,
        missing: Missing = None,
        label_smoothing: float = 0.0,
        metrics: list[str] | None = None,
        average: Literal["macro", "micro", "weighted"] | None = None,
        average_over: list[str | int] | None = None,
        class_weights: dict[str | int, float] | str | None = None,
        focal_gamma: float = 0.0,
        decoding: Literal["independent", "crf"] = "independent",
        spans: Ends | None = None,
    ) -> None:
        main_metric = main_metric or ("f1" if scheme == "bio" else "accuracy")
        scoring = Scoring(metrics, average, average_over)
        super().__init__(labels, main_metric, dropout, missing, scoring, class_weights)
        check_fraction("label_smoothing", label_smoothing)
        check_gamma(focal_gamma)
        self.label_smoothing = label_smoothing
        self.focal_gamma = focal_gamma
        self.decoding = decoding
        if decoding == "crf":
            check_plain(class_weights=class_weights, focal_gamma=focal_gamma, label_smoothing=label_smoothing)
        self.scheme = scheme
        self.spans = spans
        if spans is not None:
            self._check_spans()
        self.missing_tag = missing_tag
        self.missing_words |= missing_words(missing_tag)
        if self.labels is not None and scheme == "bio":
            bio.check_bio(self.labels)

    def names(self, value: Any) -> list[str]:
        return [name for name in self._each(value, self._name) if name is not None]

    def complete(self, found: list[str]) -> list[str]:
        if self.scheme == "tags":
            return found
        bio.check_bio(found)
        return bio.bio_tags(bio.span_types(found))

    def encode(self, value: Any) -> list[int]:
        if not self.missing_words and isinstance(value, list) and self.spans is None:
            try:
                return [self._names.exact[tag] for tag in value]  # most labels, in a tenth of the time
            except (KeyError, TypeError):
                pass
        tags = self._tags(value)
        encoded = self._each(tags, lambda tag: IGNORE if (name := self._name(tag)) is None else self.index(name))
        return FromSpans(encoded) if isinstance(tags, FromSpans) else encoded

    def fit(self, target: Any, example: Mapping[str, Any]) -> Any:
        if isinstance(target, FromSpans):
            target = up_to(target, example["num_words"], self.index(OUTSIDE))
        return super().fit(target, example)

    def count_irregular(self, target: Any) -> int:
        """Number of tags ``I-x`` that follow no tag of type x; as in :class:`SpanCounts`, they start a span."""
        return bio.irregular(map(self.name_at, target)) if self.scheme == "bio" else 0

    def in_words(self, target: Tensor) -> list[str | None]:
        return list(map(self.name_at, target.tolist()))

    def relabel(self, value: Any, rename: Callable[[str], str]) -> Any:
        if self.is_missing(value):
            return None
        tags = self._tags(value)
        found = self._each(tags, lambda tag: self._rename(tag, rename))
        return FromSpans(found) if isinstance(tags, FromSpans) else found

    def check_names(self, names: Sequence[str]) -> None:
        super().check_names(names if self.scheme == "tags" else [n if n == "O" else f"B-{n}" for n in names])

    def ordered_weights(self) -> list[float] | None:
        if self.scheme == "tags" or not isinstance(self.class_weights, Mapping):
            return super().ordered_weights()
        assert self.labels is not None
        return in_order("class_weights", bio.by_tag(self.class_weights, self.labels), self.labels)

    def build(self, features: int) -> None:
        super().build(features)
        if self.decoding == "crf":
            assert self.labels is not None
            rules = (bio.forbidden_steps(self.labels), bio.begins(self.labels)) if self.scheme == "bio" else ()
            self.head = ChainHead(features, self.num_outputs, *rules)

    @property
    def chain(self) -> ChainHead | None:
        """The head, if it scores whole sequences of tags; null if words are independent."""
        return self.head if isinstance(self.head, ChainHead) else None

    @property
    def independent(self) -> bool:
        return self.decoding == "independent"

    def forward(self, features: Features) -> Tensor:
        logits = super().forward(features)
        return logits if self.chain is None else without_words(logits, features.mask)

    def relocated(self, state: Mapping[str, Tensor], places: Mapping[int, int]) -> dict[str, Tensor]:
        key = "head.transitions"
        return {key: self.chain.take(state[key], places)} if self.chain is not None and key in state else {}

    def best(self, logits: Tensor) -> Tensor:
        """The tags that are predicted, indices [B, L]."""
        return logits.argmax(-1) if self.chain is None else self.chain.best(logits)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.chain is not None:
            return self.chain.loss(logits, targets)
        flat, wanted = logits.flatten(0, 1), targets.flatten()
        return mean_cross_entropy(flat, wanted, self.label_smoothing, self.label_weights, self.focal_gamma)

    def metrics(self) -> MetricCollection:
        assert self.labels is not None, "adapt() comes first"
        of_spans, average = self.scheme == "bio", self._scoring.average
        tags = class_metrics(self.labels, average or "macro", None if of_spans else self.chosen(self.labels))
        spans = (
            span_metrics(self.labels, average or "micro", self.chosen(bio.span_types(self.labels))) if of_spans else {}
        )
        catalogue = {"accuracy": tags["accuracy"], **spans} if of_spans else tags
        usual = ["accuracy", *(SPAN_RATIOS if of_spans else ["f1"])]
        chosen = choose(catalogue, usual, self._scoring.names, self.main_metric)
        check_effect(self._scoring, list(chosen), SPAN_RATIOS if of_spans else list(RATIOS))
        chosen["label_counts"] = SpanCounts(self.labels) if of_spans else LabelCounts(len(self.labels))
        return MetricCollection(dict(chosen), compute_groups=False)

    def update(self, metrics: MetricCollection, logits: Tensor, targets: Tensor) -> None:
        metrics.update(self.best(logits), self._regular(targets))

    def undefined(self, constant: float) -> set[str]:
        assert self.labels is not None
        outside = self.scheme == "bio" and self.labels[int(constant)] == "O"
        return set(with_averages(FOUND) if outside else AGREEMENTS)

    def decoder(self) -> Decoder:
        assert self.labels is not None, "adapt() comes first"
        return TagDecoder(tuple(self.labels), self.scheme, None if self.chain is None else as_array(self.chain.steps()))

    def correct(self, logits: Tensor, targets: Tensor) -> Tensor:
        present = targets != IGNORE
        right = torch.where(present, self.best(logits) == self._regular(targets), True).all(1)
        return fill_missing(right, ~present.any(1))

    def report(self, counts: Any) -> dict[str, LabelScores]:
        if self.scheme == "tags":
            return super().report(counts)
        assert self.labels is not None
        return per_label(bio.span_types(self.labels), LabelScores.from_counts(*counts))

    def _regular(self, targets: Tensor) -> Tensor:
        """Targets as the decoding can give them: a CRF starts spans by ``B-x`` alone."""
        return targets if self.chain is None else self.chain.regular(targets)

    def _check_spans(self) -> None:
        if self.scheme != "bio":
            raise UserError("`spans` needs `scheme: bio`; set it, or take `spans` out")
        if self.class_weights == BALANCED:
            raise UserError(
                "`class_weights: balanced` counts words, and `spans` do not say how many are in none; give a weight "
                "for `O` and for each type of span"
            )

    def _each(self, value: Any, convert: Callable[[Any], T]) -> list[T]:
        """Something for each tag of a raw label."""
        if self.is_missing(value):
            return []
        return each_word(self._tags(value), convert, "tags")

    def _tags(self, value: Any) -> Any:
        """A raw label as one that lists tags, if it lists spans."""
        if self.spans is None or isinstance(value, FromSpans) or not holds_spans(value):
            return value
        return tags_of(value, self.spans, lambda label: None if self.is_missing(label) else tidy(name_of(label)))

    def _name(self, tag: Any) -> str | None:
        """The name of a tag; None if it is missing."""
        if self.is_missing(tag):
            return None
        if isinstance(tag, Mapping | list):
            settings = f"{'' if self.scheme == 'bio' else '`scheme: bio` and '}`spans: exclusive`"
            raise UserError(f"expected a tag, found {shown(tag)}; if these are spans, set {settings}")
        if self.scheme == "bio":
            bio.check_bio([name := tidy(name_of(tag))])
            return name
        return name_of(tag)

    def _rename(self, tag: Any, rename: Callable[[str], str]) -> str | None:
        name = self._name(tag)
        return name if name is None else rename(name) if self.scheme == "tags" else bio.renamed(name, rename)
