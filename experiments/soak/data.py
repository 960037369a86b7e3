"""Made-up sentences of many lengths, so that no two batches have the same shape for long."""

import random
from collections.abc import Mapping
from typing import Any

from datasets import Dataset

from mtl_lightning.data import DataSource

_LETTERS = "abcdefghij"


class Words(DataSource):
    """Sentences of 1 to 12 made-up words, with a topic, a tag for each word and a score.

    Args:
        labels: Columns of the tasks' labels: ``topic``, ``spans`` or ``score``.
        seed: Of the sentences.
        train: Number of training sentences.
        val: Number of validation sentences.
    """

    def __init__(self, labels: Mapping[str, str], seed: int = 0, train: int = 800, val: int = 40) -> None:
        super().__init__({"tokens": "words"}, dict(labels))
        self.sizes = {"train": train, "val": val}
        self.seed = seed

    def load(self) -> dict[str, Dataset]:
        draw = random.Random(self.seed)
        return {split: Dataset.from_list([_row(draw) for _ in range(size)]) for split, size in self.sizes.items()}


def _row(draw: random.Random) -> dict[str, Any]:
    words = ["".join(draw.choices(_LETTERS, k=draw.randint(1, 5))) for _ in range(draw.randint(1, 12))]
    return {
        "words": words,
        "topic": "pqr"[ord(words[0][0]) % 3],
        "spans": ["B-x" if word[0] == "a" else "O" for word in words],
        "score": float(sum(word.count("b") for word in words)),
    }
