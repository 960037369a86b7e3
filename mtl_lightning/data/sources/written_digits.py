"""Single handwritten digits, which need no download."""

import numpy as np
from datasets import Dataset

from mtl_lightning.data.sources.base import DataSource


class WrittenDigits(DataSource):
    """scikit-learn's 1,797 handwritten digits, images [1, 8, 8] of numbers from 0 to 1.

    They are divided into train (70 %), val and test (15 % each). Columns: ``image`` and ``digit``.

    Args:
        inputs: Column of each input; null: ``{image: image}``.
        labels: Column of each task; null: ``{digit: digit}``.
        seed: Of the division.
    """

    def __init__(
        self, inputs: dict[str, str] | None = None, labels: dict[str, str] | None = None, seed: int = 0
    ) -> None:
        super().__init__(inputs or {"image": "image"}, labels or {"digit": "digit"})
        self.seed = seed

    def load(self) -> dict[str, Dataset]:
        from sklearn.datasets import load_digits

        images, digits = load_digits(return_X_y=True)
        images = (images / 16).reshape(-1, 1, 8, 8).astype(np.float32)
        order = np.random.default_rng(self.seed).permutation(len(images))
        parts = np.split(order, [int(0.7 * len(order)), int(0.85 * len(order))])
        return {
            split: Dataset.from_dict({"image": images[part], "digit": digits[part]})
            for split, part in zip(("train", "val", "test"), parts, strict=True)
        }
