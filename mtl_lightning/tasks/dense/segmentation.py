"""A class for each pixel."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from mtl_lightning.decoding.pixels import ClassMapDecoder
from mtl_lightning.errors import UserError
from mtl_lightning.png import distinct_colours
from mtl_lightning.tasks.base import IGNORE
from mtl_lightning.tasks.dense.arrays import first_place, label_array
from mtl_lightning.tasks.dense.base import DenseTask
from mtl_lightning.tasks.dense.batch_means import Convention
from mtl_lightning.tasks.dense.decoders import Architecture
from mtl_lightning.tasks.scoring import Catalogue

_LARGEST = 2**15 - 1
_SHOWN = 4


class SemanticSegmentation(DenseTask):
    """Semantic segmentation: a class for each pixel, by cross entropy.

    A label is an array of class numbers [H, W], from 0 on. It may be a PNG of grey (8 or 16 bits) or of a palette.

    Metrics: ``miou`` (intersection over union, the mean over the classes that labels or predictions have),
    ``pixel_accuracy``, ``class_accuracy`` (the mean over classes); all are better when higher.

    A prediction is ``{"classes": [[…], …]}``, the number of the class of each pixel.

    Args:
        classes: How many there are, or their names; null: as many as the training split has numbers.
        ignore_index: Numbers that mean "no label", one or a list.
        main_metric: The metric that stands for the task; ``loss`` is one.
        architecture: Of the head, see :class:`DenseTask`.
        width: Channels inside the head.
        dropout: Before the head.
        metrics: What to report; null: ``miou`` and ``pixel_accuracy``.
        convention: ``exact`` or ``batch_means``, see :class:`DenseTask`.
    """

    usual_metrics: ClassVar[tuple[str, ...]] = ("miou", "pixel_accuracy")

    def __init__(
        self,
        classes: int | list[str] | None = None,
        ignore_index: int | list[int] = [-1, 255],  # noqa: B006 - never changed
        main_metric: str = "miou",
        architecture: Architecture = "fcn",
        width: int = 32,
        dropout: float = 0.0,
        metrics: list[str] | None = None,
        convention: Convention = "exact",
    ) -> None:
        super().__init__(main_metric, architecture, width, dropout, metrics, convention)
        self.classes = classes
        self.ignore_index = ignore_index
        if classes is not None and self.num_outputs < 2:
            raise UserError(f"`classes` must be two or more, found {classes!r}")
        if twice := [name for name, number in Counter(self.names).items() if number > 1]:
            raise UserError(f"`classes` names a class twice, {twice[0]!r}")

    def adapt(self, values: Iterable[Any]) -> None:
        largest = max((found.max() for found in map(self.encode, values) if found is not None), default=IGNORE)
        if largest == IGNORE:
            raise UserError("has no label in the training split")
        self.classes = max(2, 1 + int(largest))

    def adapted(self) -> dict[str, Any]:
        return {} if self.classes is None else {"classes": self.classes}

    @property
    def names(self) -> list[str]:
        """Of the classes; their numbers, where they have none."""
        classes = self.classes or 0
        return list(map(str, range(classes))) if isinstance(classes, int) else list(classes)

    def encode(self, value: Any) -> np.ndarray | None:
        if self.is_missing(value):
            return None
        array = label_array(value)
        if (broken := array != np.round(array)).any():
            raise UserError(f"expected whole numbers of classes, found {array[broken][0]:g} {first_place(broken)}")
        ignored = np.isin(array, self.ignore_index)
        last = _LARGEST if self.classes is None else self.num_outputs - 1
        if (wrong := ((array < 0) | (array > last)) & ~ignored).any():
            raise UserError(
                f"class {array[wrong][0]:g} {first_place(wrong)} is out of range; classes are 0 to {last}: correct "
                "`classes`, or add it to `ignore_index` if it means 'no label'"
            )
        return np.where(ignored, np.int16(IGNORE), array.astype(np.int16))

    @property
    def num_outputs(self) -> int:
        return self.classes if isinstance(self.classes, int) else len(self.classes or ())

    def errors(self, logits: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(logits, targets, ignore_index=IGNORE, reduction="none")

    def catalogue(self) -> Catalogue:
        number = self.num_outputs
        return {
            "miou": lambda: MulticlassJaccardIndex(number, average="macro", validate_args=False),
            "pixel_accuracy": lambda: MulticlassAccuracy(number, average="micro", validate_args=False),
            "class_accuracy": lambda: MulticlassAccuracy(number, average="macro", validate_args=False),
        }

    def compared(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        return logits.argmax(-1), targets

    def decoder(self) -> ClassMapDecoder:
        return ClassMapDecoder(self.num_outputs)

    def predicted(self, logits: Tensor) -> Tensor:
        return logits.argmax(1)

    def coloured(self, values: np.ndarray, label: np.ndarray) -> np.ndarray:
        colours: np.ndarray = distinct_colours()[values % 256]
        return colours

    def summary(self, target: Tensor) -> str:
        counts = torch.bincount(target, minlength=self.num_outputs)
        order = counts.argsort(descending=True)[:_SHOWN].tolist()
        shares = [f"{self.names[i]} {counts[i] / len(target):.0%}" for i in order if counts[i]]
        return ", ".join([*shares, *(["…"] if (counts > 0).sum() > _SHOWN else [])])
