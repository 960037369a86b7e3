"""A file in 8 bits that is about as good as the model."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mtl_lightning.export.outliers import spread_outliers
from mtl_lightning.export.quantisation import quantise
from mtl_lightning.export.validation import HALF_A_POINT, Judged
from mtl_lightning.training.module import MultiTaskModule

Judge = Callable[[], Mapping[str, Judged]]
"""Judges the file as it is now."""

Batches = Callable[[], Iterable[Mapping[str, np.ndarray]]]
"""Inputs that activations are looked at on."""


class Quality(NamedTuple):
    """How good a file is.

    Attributes:
        metrics: By task.
        full_precision: Names of the tasks whose heads are not in 8 bits, where others are.
    """

    metrics: Mapping[str, Judged]
    full_precision: Sequence[str] = ()

    @classmethod
    def of(cls, judge: Judge | None) -> "Quality":
        """That of a file in full precision."""
        return cls({} if judge is None else judge())


def in_8_bits(
    model: MultiTaskModule,
    path: Path,
    judge: Judge | None,
    batches: Batches | None = None,
    some: Batches | None = None,
) -> Quality:
    """Quantises a file; a task that loses more than half a point gets its head back, with those that it reads.

    Args:
        model: It was made of.
        path: Of the file, which is replaced.
        judge: Null: nothing is known of the metrics, and all heads have 8 bits.
        batches: That ranges of activations are taken from; null: they are quantised as they come.
        some: On which outliers among activations are found and made smaller (:mod:`.outliers`), and weights are rounded
            (:mod:`.rounding`); null: outliers stay, and weights are rounded to the nearest.
    """
    whole = path.with_suffix(".full")
    path.replace(whole)
    try:
        if some is not None:
            spread_outliers(whole, some())
        quantise(whole, path, (), batches and batches(), some and some())
        found = Quality.of(judge)
        if short := [task for task, judged in found.metrics.items() if judged.lost > HALF_A_POINT]:
            full = model.chain.needed(short)
            quantise(whole, path, full, batches and batches(), some and some())
            found = Quality.of(judge)._replace(full_precision=full)
    finally:
        whole.unlink()
    return found
