"""Labels of words, and spans of words."""

from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np

from mtl_lightning.decoding.base import Array, Arrays, Decoder, InputWords, array_of
from mtl_lightning.decoding.chain import Chain, best_paths, marginals
from mtl_lightning.decoding.labels import LabelSetDecoder
from mtl_lightning.decoding.probabilities import softmax
from mtl_lightning.decoding.spans import spans_of
from mtl_lightning.decoding.words import beside_words
from mtl_lightning.errors import UserError


@dataclass(frozen=True, eq=False)
class TagDecoder(Decoder):
    """``labels`` and ``probabilities`` of words, and ``spans`` of BIO tags, from ``logits`` [B, L, C], ``mask`` [B, L].

    Attributes:
        labels: Names of the tags, C.
        scheme: ``tags``, or ``bio``: they mark spans.
        transitions: Scores of steps from tag to tag [C + 1, C + 1], of which the last row is from the start and the
            last column to the end; the best path is predicted, and probabilities are marginals. Null: words are
            independent.
    """

    labels: tuple[str, ...]
    scheme: Literal["tags", "bio"]
    transitions: Array | None = None

    def __post_init__(self) -> None:
        wanted, found = (len(self.labels) + 1,) * 2, None if self.transitions is None else self.transitions.shape
        if found not in (None, wanted):
            raise UserError(f"`transitions` must be {list(wanted)} for {len(self.labels)} tags, found {list(found)}")

    def decode(self, arrays: Arrays) -> list[dict[str, Any]]:
        mask = array_of(arrays, "mask").astype(bool)
        tags, probabilities = self._best(array_of(arrays, "logits", len(self.labels)), mask)
        rows = zip(tags.tolist(), probabilities.tolist(), mask.sum(1).tolist(), strict=True)
        return [self._row([self.labels[tag] for tag in row[:length]], scores[:length]) for row, scores, length in rows]

    def _best(self, logits: Array, mask: Array) -> tuple[Array, Array]:
        """The tags that are predicted and their probabilities, each [B, L]."""
        if self.transitions is None:
            probabilities = softmax(logits)
            return probabilities.argmax(-1), probabilities.max(-1)
        emissions, chain = np.where(mask[..., None], logits, 0), Chain.of(self.transitions.astype(logits.dtype))
        tags = best_paths(emissions, mask, chain)
        return tags, np.take_along_axis(marginals(emissions, mask, chain), tags[..., None], -1)[..., 0]

    def _row(self, names: list[str], probabilities: list[float]) -> dict[str, Any]:
        spans = {"spans": spans_of(names, probabilities)} if self.scheme == "bio" else {}
        return {"labels": names, "probabilities": probabilities, **spans}

    def place(self, decoded: dict[str, Any], words: InputWords) -> dict[str, Any]:
        placed = beside_words(decoded, words)
        if "spans" in decoded:
            placed["spans"] = [{**span, **words.excerpt(span["start"], span["end"])} for span in decoded["spans"]]
        return placed


@dataclass(frozen=True)
class WordLabelSetDecoder(LabelSetDecoder):
    """All labels of words that are probable: ``labels`` and ``probabilities``, a list of each for every word.

    From ``logits`` [B, L, C] and ``mask`` [B, L].
    """

    def decode(self, arrays: Arrays) -> list[dict[str, Any]]:
        mask = array_of(arrays, "mask").astype(bool)
        words = iter(self.chosen(array_of(arrays, "logits", len(self.labels))[mask]))  # of all, one after the other
        rows = [list(islice(words, length)) for length in mask.sum(1).tolist()]
        return [{key: [word[key] for word in row] for key in ("labels", "probabilities")} for row in rows]

    def place(self, decoded: dict[str, Any], words: InputWords) -> dict[str, Any]:
        return beside_words(decoded, words)
