"""A data set of which few examples are trained on, always the same ones."""

from collections.abc import Iterator

import numpy as np
from datasets import Dataset

from mtl_lightning.data import FileSource, Split


class FewExamples(FileSource):
    """A data set in files, of whose training examples a fixed number is drawn; the test split stays whole.

    The draw depends on ``seed`` and the data alone, not on the run's seed, and a smaller draw is part of a larger one.
    No training example is drawn whose inputs are in validation or test too.

    Args:
        train: How many training examples; all of them where there are fewer.
        files: See :class:`FileSource`.
        inputs: See :class:`FileSource`.
        labels: See :class:`FileSource`.
        root: See :class:`FileSource`.
        split: See :class:`FileSource`.
        val: How many validation examples; null: all of them.
        seed: Of the draw.
        written_by: See :class:`FileSource`.
    """

    def __init__(
        self,
        train: int,
        files: dict[str, str] | str,
        inputs: dict[str, str],
        labels: dict[str, str],
        root: str = ".",
        split: Split | None = None,
        val: int | None = None,
        seed: int = 0,
        written_by: str = "",
    ) -> None:
        super().__init__(files, inputs, labels, root, split, written_by=written_by)
        self.numbers = {"train": train, "val": val}
        self.seed = seed

    def load(self) -> dict[str, Dataset]:
        tables = dict(super().load())
        held_out = {key for split in ("val", "test") if split in tables for key in self._keys(tables[split])}
        for split, number in self.numbers.items():
            if split in tables and number is not None:
                keys = self._keys(tables[split])
                free = [row for row, key in enumerate(keys) if split == "val" or key not in held_out]
                drawn = np.random.default_rng(self.seed).permutation(free)[:number]
                tables[split] = tables[split].select(np.sort(drawn))
        return tables

    def _keys(self, table: Dataset) -> Iterator[str]:
        """What tells each example's inputs from those of others."""
        return map(str, zip(*(table[column] for column in self.inputs.values()), strict=True))
