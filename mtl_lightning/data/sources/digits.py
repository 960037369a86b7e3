"""The demo's data: two handwritten digits that overlap in one image."""

import numpy as np
from datasets import Dataset

from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.errors import UserError


class DigitPairs(DataSource):
    """Pairs of scikit-learn's 1,797 handwritten 8x8 digits, composed into one image [1, 10, 13].

    The right digit is shifted by (2, 5) pixels, so the two overlap in 6x3; where they do, the brighter pixel shows. The
    digits are divided into train (70 %), val and test (15 % each) *before* they are paired: no digit image is in two
    splits. Columns: ``image``, ``left``, ``right`` and ``sum``.

    Args:
        train: Number of training pairs.
        val: Number of validation pairs.
        test: Number of test pairs.
        seed: Of the division and the pairing.

    Raises:
        UserError: If a number is negative.
    """

    def __init__(self, train: int = 20_000, val: int = 2_000, test: int = 2_000, seed: int = 0) -> None:
        super().__init__({"image": "image"}, {"left": "left", "right": "right", "sum": "sum"})
        self.sizes = {"train": train, "val": val, "test": test}
        for split, size in self.sizes.items():
            if size < 0:
                raise UserError(f"`{split}` is {size}; give 0 or more pairs")
        self.seed = seed

    def load(self) -> dict[str, Dataset]:
        from sklearn.datasets import load_digits

        images, digits = load_digits(return_X_y=True)
        images = (images / 16).reshape(-1, 8, 8).astype(np.float32)
        random = np.random.default_rng(self.seed)
        order = random.permutation(len(images))
        parts = np.split(order, [int(0.7 * len(order)), int(0.85 * len(order))])
        return {
            split: _compose(images, digits, random.choice(part, size=(size, 2)))
            for (split, size), part in zip(self.sizes.items(), parts, strict=True)
        }


def _compose(images: np.ndarray, digits: np.ndarray, pairs: np.ndarray) -> Dataset:
    canvas = np.zeros((len(pairs), 1, 10, 13), dtype=np.float32)
    canvas[:, 0, :8, :8] = images[pairs[:, 0]]
    right = canvas[:, 0, 2:, 5:]
    np.maximum(right, images[pairs[:, 1]], out=right)
    left_digit, right_digit = digits[pairs].T
    columns = {"image": canvas, "left": left_digit, "right": right_digit, "sum": left_digit + right_digit}
    return Dataset.from_dict(columns)
