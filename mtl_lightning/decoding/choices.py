"""What is predicted of several texts: the best one, or their order."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mtl_lightning.decoding.base import Array, Arrays, Decoder, InputWords, array_of
from mtl_lightning.decoding.probabilities import softmax


@dataclass(frozen=True)
class ChoiceDecoder(Decoder):
    """``label``, its ``probability``, and the ``probabilities`` of all choices.

    From ``logits`` [B, N], minus infinity where there are fewer than N choices.

    Attributes:
        first: What the first choice is called: a number, or a letter; the others follow it.
    """

    first: int | str

    def decode(self, arrays: Arrays) -> list[dict[str, Any]]:
        logits = array_of(arrays, "logits")
        rows = zip(softmax(logits).tolist(), logits.argmax(1).tolist(), _numbers_present(logits), strict=True)
        return [
            {"label": self.name_at(place), "probability": row[place], "probabilities": row[:number]}
            for row, place, number in rows
        ]

    def name_at(self, place: int) -> int | str:
        """What the data calls the choice at a place, from 0 on."""
        return chr(ord(self.first) + place) if isinstance(self.first, str) else self.first + place

    def place(self, decoded: dict[str, Any], words: InputWords) -> dict[str, Any]:
        """With the ``text`` of the choice."""
        label, first = ((ord(x) if isinstance(x, str) else x) for x in (decoded["label"], self.first))
        return {**decoded, "text": words.words[label - first]}


@dataclass(frozen=True)
class RankingDecoder(Decoder):
    """``ranking``: numbers of the candidates, from 0 on, the best first; and their ``scores`` in this order.

    From ``logits`` [B, N], minus infinity where there are fewer than N candidates.
    """

    def decode(self, arrays: Arrays) -> list[dict[str, Any]]:
        logits = array_of(arrays, "logits")
        order = np.argsort(-np.where(np.isnan(logits), np.inf, logits), axis=1, kind="stable")
        together = (order, np.take_along_axis(logits, order, 1))
        rows = zip(*(each.tolist() for each in together), _numbers_present(logits), strict=True)
        return [{"ranking": places[:number], "scores": scores[:number]} for places, scores, number in rows]

    def place(self, decoded: dict[str, Any], words: InputWords) -> dict[str, Any]:
        """With the ``texts`` of the candidates, in this order too."""
        return {**decoded, "texts": [words.words[place] for place in decoded["ranking"]]}


def _numbers_present(scores: Array) -> list[int]:
    """How many sequences each example has [B], of scores [B, N]."""
    found: list[int] = (~np.isneginf(scores)).sum(1).tolist()
    return found
