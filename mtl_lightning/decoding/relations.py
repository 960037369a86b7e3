"""Relations between spans of words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mtl_lightning.decoding.base import Array, Arrays, Decoder, InputWords, array_of
from mtl_lightning.decoding.probabilities import sigmoid


@dataclass(frozen=True)
class RelationDecoder(Decoder):
    """``relations`` with ``label``, ``probability``, ``head`` and ``tail``.

    From ``scores`` of each label, of each ordered pair of spans [B, S, S, C], and the ``spans`` [B, S, 3]: start, end
    and kind; start and end are -1 where there is none.

    Attributes:
        labels: Their names, C.
        threshold: Probability above which a label is predicted.
        pairs: ``all``, or the ``related`` ones: a pair has its best label at least.
    """

    labels: tuple[str, ...]
    threshold: float
    pairs: Literal["all", "related"] = "all"

    def decode(self, arrays: Arrays) -> list[dict[str, Any]]:
        scores, spans = array_of(arrays, "scores", len(self.labels)), array_of(arrays, "spans", 3)
        probabilities = sigmoid(scores)
        chosen = probabilities > self.threshold
        if self.pairs == "related":
            np.put_along_axis(chosen, scores.argmax(-1)[..., None], True, -1)
        chosen &= _pairs(spans)[..., None]
        decoded: list[dict[str, Any]] = [{"relations": []} for _ in spans]
        places, ends = np.argwhere(chosen).tolist(), spans[..., :2].tolist()
        for (row, head, tail, label), probability in zip(places, probabilities[chosen].tolist(), strict=True):
            found = {"label": self.labels[label], "probability": probability}
            decoded[row]["relations"].append({**found, "head": ends[row][head], "tail": ends[row][tail]})
        return decoded

    def place(self, decoded: dict[str, Any], words: InputWords) -> dict[str, Any]:
        return {"relations": [_placed(relation, words) for relation in decoded["relations"]]}


def _placed(relation: Mapping[str, Any], words: InputWords) -> dict[str, Any]:
    ends = {name: {**words.excerpt(*relation[name]), **_words(*relation[name])} for name in ("head", "tail")}
    return {**relation, **ends}


def _words(start: int, end: int) -> dict[str, int]:
    return {"start_word": start, "end_word": end}


def _pairs(spans: Array) -> Array:
    """Which ordered pairs of spans are two different ones that are there [B, S, S]."""
    present = spans[..., 0] >= 0
    different = (spans[:, :, None, :2] != spans[:, None, :, :2]).any(-1)
    return np.asarray(present[:, :, None] & present[:, None] & different)
