"""Any number of labels for each word."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from mtl_lightning.decoding import Decoder, WordLabelSetDecoder
from mtl_lightning.tasks.base import full_precision
from mtl_lightning.tasks.in_words import Worded
from mtl_lightning.tasks.labelled import fill_missing
from mtl_lightning.tasks.multi_label_classification import MultiLabelClassification, T
from mtl_lightning.tasks.words import each_word


class TokenMultiLabelClassification(MultiLabelClassification):
    """Multi-label classification of words, such as their morphological features, by binary cross entropy a label.

    A raw label is a list with a value for each word, or the text that CSV makes of such a list. The value is what that
    of an example is for :class:`MultiLabelClassification`: a list of names, a text of them (``Number=Sing|Case=Nom``
    with ``separator: "|"``), a vector of 0 and 1, or missing. Words that the encoder cut off have no labels.

    Metrics and arguments are those of :class:`MultiLabelClassification`, over words instead of examples. In the column
    of features of CoNLL-U, ``_`` says that a word has none: ``empty: _``.

    A prediction has ``labels`` and ``probabilities``, a list of each for every word, null for words that the encoder
    cut off. Where the input is a text, ``words`` and their ``offsets`` in it follow.
    """

    level = "tokens"

    def _each(self, value: Any, convert: Callable[[Any], T]) -> list[T]:
        """Something for each word."""
        return [] if self.is_missing(value) else each_word(value, convert, "labels")

    def encode(self, value: Any) -> Any:
        return self._each(value, self._encode)

    def fit(self, target: Any, example: Mapping[str, Any]) -> Any:
        return super().fit(target or [self._encode(None)] * example["num_words"], example)

    def in_words(self, target: Tensor) -> Worded:
        return list(map(self._in_words, target))

    def relabel(self, value: Any, rename: Callable[[str], str]) -> Any:
        return None if self.is_missing(value) else self._each(value, lambda word: self._relabel(word, rename))

    def update(self, metrics: MetricCollection, logits: Tensor, targets: Tensor) -> None:
        labelled = ~targets.isnan().all(-1)
        super().update(metrics, logits[labelled], targets[labelled])

    def decoder(self) -> Decoder:
        assert self.labels is not None, "adapt() comes first"
        return WordLabelSetDecoder(tuple(self.labels), self.threshold)

    def correct(self, logits: Tensor, targets: Tensor) -> Tensor:
        known = ~targets.isnan()
        predicted = full_precision(logits).sigmoid() > self.threshold
        right = torch.where(known, predicted == targets.nan_to_num().bool(), True).flatten(1).all(1)
        return fill_missing(right, ~known.flatten(1).any(1))
