"""Labels of whole examples."""

from dataclasses import dataclass
from typing import Any

from mtl_lightning.decoding.base import Array, Arrays, Decoder, array_of
from mtl_lightning.decoding.probabilities import sigmoid, softmax


@dataclass(frozen=True)
class LabelDecoder(Decoder):
    """The most probable label: ``label`` and ``probability``, from ``logits`` [B, C].

    Attributes:
        labels: Their names, C.
    """

    labels: tuple[str, ...]

    def decode(self, arrays: Arrays) -> list[dict[str, Any]]:
        probabilities = softmax(array_of(arrays, "logits", len(self.labels)))
        pairs = zip(probabilities.argmax(-1).tolist(), probabilities.max(-1).tolist(), strict=True)
        return [{"label": self.labels[place], "probability": probability} for place, probability in pairs]


@dataclass(frozen=True)
class LabelSetDecoder(Decoder):
    """All labels that are probable: ``labels`` and ``probabilities``, from ``logits`` [B, C].

    Attributes:
        labels: Their names, C.
        threshold: Probability above which a label is predicted.
    """

    labels: tuple[str, ...]
    threshold: float

    def decode(self, arrays: Arrays) -> list[dict[str, Any]]:
        return self.chosen(array_of(arrays, "logits", len(self.labels)))

    def chosen(self, logits: Array) -> list[dict[str, Any]]:
        """The labels of each of N things, from their logits [N, C]."""
        probabilities = sigmoid(logits)
        likely = probabilities > self.threshold
        names, found = [self.labels[place] for place in likely.nonzero()[1].tolist()], probabilities[likely].tolist()
        ends = likely.sum(-1).cumsum().tolist()
        return [
            {"labels": names[first:last], "probabilities": found[first:last]}
            for first, last in zip([0, *ends], ends, strict=False)
        ]
