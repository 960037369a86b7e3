"""Two digits side by side, and eight tasks in two groups that have nothing to do with each other."""

from collections.abc import Callable

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from mtl_lightning.data import DataSource

Digits = NDArray[np.intp]

QUESTIONS: dict[str, Callable[[Digits], Digits]] = {
    "digit": lambda digit: digit,
    "parity": lambda digit: digit % 2,
    "large": lambda digit: (digit >= 5).astype(np.intp),
    "prime": lambda digit: np.isin(digit, [2, 3, 5, 7]).astype(np.intp),
}
"""What is asked of a digit."""

GROUPS = {side: tuple(f"{side}_{question}" for question in QUESTIONS) for side in ("left", "right")}
"""The tasks about each digit."""

_SHARES = (0.6, 0.8)  # where train ends and test begins


class SideBySide(DataSource):
    """Pairs of scikit-learn's 1,797 handwritten digits: ``pixels`` [128], the left one's 64 before the right one's.

    The digits are drawn independently, so that what is said of one says nothing of the other: a model that knows this
    has two encoders. The digits are divided into train (60 %), val and test (20 % each) before they are paired.

    Args:
        train: Number of training pairs.
        val: Number of validation pairs.
        test: Number of test pairs.
        seed: Of the division and the pairing.
    """

    def __init__(self, train: int = 500, val: int = 1_000, test: int = 4_000, seed: int = 0) -> None:
        tasks = [task for group in GROUPS.values() for task in group]
        super().__init__({"features": "pixels"}, {task: task for task in tasks})
        self.sizes = {"train": train, "val": val, "test": test}
        self.seed = seed

    def load(self) -> dict[str, Dataset]:
        pixels, digits = load_digits(return_X_y=True)
        random = np.random.default_rng(self.seed)
        parts = np.split(random.permutation(len(digits)), [round(share * len(digits)) for share in _SHARES])
        tables = {}
        for (split, size), part in zip(self.sizes.items(), parts, strict=True):
            left, right = random.choice(part, size=(2, size))
            columns = {"pixels": list((np.hstack([pixels[left], pixels[right]]) / 16).astype(np.float32))}
            for side, chosen in (("left", left), ("right", right)):
                columns |= {f"{side}_{name}": list(ask(digits[chosen])) for name, ask in QUESTIONS.items()}
            tables[split] = Dataset.from_dict(columns)
        return tables
