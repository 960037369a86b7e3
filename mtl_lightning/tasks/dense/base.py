"""What tasks that label pixels have in common."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchmetrics import Metric, MetricCollection

from mtl_lightning.array_files import packed, unpacked
from mtl_lightning.decoding.pixels import Drawn, PixelDecoder
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.tasks.base import Task, full_precision
from mtl_lightning.tasks.contracts import Features
from mtl_lightning.tasks.decoded import as_array
from mtl_lightning.tasks.dense.batch_means import BatchMean, Convention
from mtl_lightning.tasks.dense.decoders import DECODERS, Architecture
from mtl_lightning.tasks.scoring import Catalogue, choose


class DenseTask(Task):
    """A task that labels each pixel of an image.

    Its head reads feature maps and makes logits [B, C, H, W] of the image's size. A pixel may be without a label: it
    counts neither in the loss, which is the mean over labelled pixels of the batch, nor in any metric.

    A label is an array of the image's size: a path of a ``.npy`` file or a PNG, the bytes of one, or lists of lists.
    Beside image files that are stretched to one size (``images.fit: stretch``), it may have another one.

    Args:
        main_metric: The metric that stands for the task; ``loss`` is one.
        architecture: Of the head: ``fcn`` (1x1 convolutions), ``unet`` (from the smallest map up, with connections), or
            ``aspp`` (dilated convolutions of the smallest map); see :mod:`.decoders`.
        width: Channels inside the head; ``fcn`` has none.
        dropout: Probability of zeroing a value of the maps, before the head.
        metrics: What to report; null: the usual ones.
        convention: ``exact``: metrics are over all labelled pixels of the split, whatever the batches are.
            ``batch_means``: each is the mean over batches of its value on the batch, as in a line of papers (MTAN,
            CAGrad, ...); it depends on the batch size.
    """

    level = "maps"
    usual_metrics: ClassVar[tuple[str, ...]] = ()
    beside_labels = Task.beside_labels | {"architecture", "width", "convention"}

    def __init__(
        self,
        main_metric: str,
        architecture: Architecture = "fcn",
        width: int = 32,
        dropout: float = 0.0,
        metrics: list[str] | None = None,
        convention: Convention = "exact",
    ) -> None:
        super().__init__(main_metric, dropout)
        if architecture not in DECODERS:
            raise UserError(f"`architecture` is the unknown '{architecture}'; {did_you_mean(architecture, DECODERS)}")
        if convention not in ("exact", "batch_means"):
            raise UserError(f"`convention` must be `exact` or `batch_means`, found {convention!r}")
        if width < 1:
            raise UserError(f"`width` must be at least 1, found {width}")
        self.architecture, self.width, self.convention = architecture, width, convention
        self._metric_names = metrics
        self._map_widths: dict[int, int] = {}

    # -- labels ------------------------------------------------------------------------------------------------------
    def adapt(self, values: Iterable[Any]) -> None:
        """There is nothing to learn."""

    @abstractmethod
    def encode(self, value: Any) -> np.ndarray | None:
        """A label as an array [H, W] or [C, H, W]; null where there is none."""

    def check(self, value: Any) -> None:
        self.encode(value)

    def fit(self, target: np.ndarray | None, example: Mapping[str, Any]) -> bytes:
        """The label, packed; where there is none, one of the image's size without a labelled pixel."""
        size = _size_of(example.get("image"))
        if target is None:
            return packed(np.full((*self._channels, *(size or (1, 1))), self.missing, np.float32))
        if size is not None and target.shape[-2:] != size and not _is_stretched(example["image"]):
            is_turned = target.shape[-2:] == size[::-1]
            turned = "turn one of them, or take out the rotation that the camera has noted (EXIF), which is applied"
            raise UserError(
                f"the label is {_by(target.shape[-2:])} pixels, the image {_by(size)} (height x width); "
                f"{turned if is_turned else 'resize one of them before'}"
            )
        return packed(target)

    def count(self, target: bytes) -> int:
        """Number of labelled pixels."""
        values = unpacked(target)
        is_none = np.isnan(values) if self.missing != self.missing else values == self.missing
        return int(np.count_nonzero(~is_none)) // int(np.prod(self._channels, dtype=int))

    @property
    def _channels(self) -> tuple[int, ...]:
        """Dimensions of a label before height and width."""
        return ()

    def labelled(self, targets: Tensor) -> Tensor:
        """Which pixels have a label [B, H, W]."""
        found = ~targets.isnan() if self.missing != self.missing else torch.ne(targets, self.missing)
        return found.all(1) if self._channels else found

    # -- model -------------------------------------------------------------------------------------------------------
    def meet(self, encoder: Any) -> None:
        self._map_widths = dict(encoder.map_widths)
        if not self._map_widths:
            raise UserError(
                f"{type(self).__name__} reads feature maps, which {type(encoder).__name__} does not give; choose an "
                "encoder that does, such as UNetEncoder"
            )
        if turning := [type(each).__name__ for each in encoder.processor.augment if each.turns]:
            raise UserError(
                f"{type(self).__name__} labels pixels, which do not follow an image that {turning[0]} turns; give it "
                "`degrees: 0`, or leave it out"
            )

    def build(self, features: int) -> None:
        assert self._map_widths, "meet() comes first"
        self.check_metrics()
        self.head = DECODERS[self.architecture](self._map_widths, self.width, self.num_outputs)

    def forward(self, features: Features) -> Tensor:
        """Logits [B, C, H, W]."""
        assert self.head is not None, "build() comes first"
        if features.maps is None:
            raise UserError(
                f"{type(self).__name__} reads feature maps, which this encoder or input lacks, or this sharing does "
                "not hand on; choose HardSharing"
            )
        logits: Tensor = self.head({stride: self.dropout(found) for stride, found in features.maps.items()})
        image = (features.given or {}).get("image")
        finest = min(features.maps)
        size = [finest * side for side in logits.shape[-2:]] if image is None else list(image.shape[-2:])
        if list(logits.shape[-2:]) == size:
            return logits
        return interpolate(logits, size, mode="bilinear", align_corners=False)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        if logits.shape[-2:] != targets.shape[-2:]:
            raise UserError(
                f"labels of {_by(targets.shape[-2:])} pixels for images of {_by(logits.shape[-2:])} (height x width); "
                "resize one of them before"
            )
        present = self.labelled(targets)
        errors = self.errors(full_precision(logits), targets)
        return torch.where(present, errors, 0.0).sum() / present.sum().clamp(min=1)

    @abstractmethod
    def errors(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each pixel [B, H, W]: finite, with a finite gradient, where it has no label, too."""

    # -- evaluation --------------------------------------------------------------------------------------------------
    def metrics(self) -> MetricCollection:
        chosen = choose(self.catalogue(), self.usual_metrics, self._metric_names, self.main_metric)
        wrap: Callable[[Metric], Metric] = BatchMean if self.convention == "batch_means" else lambda metric: metric
        return MetricCollection({name: wrap(metric) for name, metric in chosen.items()}, compute_groups=False)

    @abstractmethod
    def catalogue(self) -> Catalogue:
        """What makes each metric that there is."""

    def update(self, metrics: MetricCollection, logits: Tensor, targets: Tensor) -> None:
        present = self.labelled(targets)
        if present.any():
            found = full_precision(logits).movedim(1, -1)[present]
            metrics.update(*self.compared(found, (targets.movedim(1, -1) if self._channels else targets)[present]))

    @abstractmethod
    def compared(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        """What metrics are given of N labelled pixels.

        Args:
            logits: [N, C].
            targets: [N], or [N, C].
        """

    def outputs(self, logits: Any, mask: Tensor | None) -> dict[str, Tensor]:
        return {"logits": full_precision(logits)}

    @abstractmethod
    def decoder(self) -> PixelDecoder: ...

    def drawn(self, decoded: dict[str, Any]) -> Drawn:
        return self.decoder().drawn(decoded)

    # -- pictures ----------------------------------------------------------------------------------------------------
    @abstractmethod
    def predicted(self, logits: Tensor) -> Tensor:
        """Predictions [B, H, W] or [B, C, H, W], in the numbers of labels."""

    @abstractmethod
    def coloured(self, values: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Colours from 0 to 255 [H, W, 3] of a label, or of a prediction beside it.

        Args:
            values: To be coloured [H, W] or [C, H, W].
            label: Of the image, which says what range colours have.
        """

    def pictures(self, logits: Tensor, targets: Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
        """Label and prediction of each image in colours, uint8 [H, W, 3]; pixels without a label are white in it."""
        present, found = as_array(self.labelled(targets)), as_array(self.predicted(full_precision(logits)))
        labels = as_array(targets)
        return [
            (np.where(p[..., None], self.coloured(y, y), 255).astype(np.uint8), self.coloured(x, y).astype(np.uint8))
            for x, y, p in zip(found, labels, present, strict=True)
        ]

    def summary(self, target: Tensor) -> str:
        """What ``show-batch`` says of the label of an image that has one.

        Args:
            target: Of its labelled pixels [N], or [N, C].
        """
        return f"{len(target):,} pixels"

    def in_words(self, target: Tensor) -> str | None:
        present = self.labelled(target.unsqueeze(0))[0]
        found = (target.movedim(0, -1) if self._channels else target)[present]
        return self.summary(found) if len(found) else None


def _size_of(image: Any) -> tuple[int, int] | None:
    """Height and width of an encoded image; null: it is none."""
    if isinstance(image, Mapping) and "size" in image:
        return int(image["size"][0]), int(image["size"][1])
    return image.shape[-2:] if isinstance(image, np.ndarray) and image.ndim > 1 else None


def _is_stretched(image: Any) -> bool:
    return isinstance(image, Mapping) and bool(image.get("stretched"))


def _by(size: Iterable[int]) -> str:
    return " x ".join(map(str, size))
