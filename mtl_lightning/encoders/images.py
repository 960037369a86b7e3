"""Reads images: what is done to each before a model sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from mtl_lightning.encoders.input_processor import PlainProcessor
from mtl_lightning.encoders.shown import Picture, Shown
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.augmentation import Augmentation, Change
from mtl_lightning.inputs.image_files import MAX_PIXELS
from mtl_lightning.inputs.images import IMAGE, Fit, ImageInputs, Interpolation
from mtl_lightning.inputs.movement import Movement, drawn, movement


@dataclass(frozen=True)
class Images:
    """How images are read.

    Args:
        size: Height and width in pixels that the model reads, one number for both; null: the model's own.
        fit: How an image of another shape is made to fit: ``crop`` keeps its middle, ``stretch`` distorts it, ``pad``
            adds white.
        interpolation: How it is resized; null: as the model was trained, or bilinear.
        crop_fraction: With ``crop``, the share of the side that is kept: 0.875 is 224 of 256.
        mean: Of each channel, subtracted from its pixels in [0, 1]; null: the model's own, or 0.5.
        std: Of each channel, by which the rest is divided; null: the model's own, or 0.5.
        augment: Random changes of training images, and of the labels of their pixels, in this order; evaluation knows
            none.
        max_pixels: Of the largest image that is decoded.
    """

    size: int | tuple[int, int] | None = None
    fit: Fit = "crop"
    interpolation: Interpolation | None = None
    crop_fraction: float = 1.0
    mean: list[float] | None = None
    std: list[float] | None = None
    augment: list[Augmentation] | None = None
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if self.size is not None and min(_pair(self.size)) < 1:
            raise UserError(f"images.size must be at least 1, found {self.size}")
        if not 0 < self.crop_fraction <= 1:
            raise UserError(f"images.crop_fraction must be above 0, up to 1, found {self.crop_fraction}")
        if self.std is not None and min(self.std) <= 0:
            raise UserError(f"images.std must be above 0, found {self.std}")
        if self.max_pixels < 1:
            raise UserError(f"images.max_pixels must be at least 1, found {self.max_pixels}")


@dataclass(frozen=True)
class ImagesOfModel:
    """How a model wants its images, where the user says nothing else; see :class:`Images`."""

    size: tuple[int, int] | None = None
    mean: Sequence[float] = (0.5,)
    std: Sequence[float] = (0.5,)
    interpolation: Interpolation = "bilinear"


class ImageProcessor(PlainProcessor):
    """Reads the input ``image``: paths of files, their bytes, or pixels; see :func:`.image_files.stored`.

    Files are checked when the data is encoded, and decoded when a batch is made. Augmentation follows from seed, epoch
    and the number of the example, whichever worker makes the batch.

    Args:
        images: How they are read.
        channels: 1 for grey, 3 for red, green and blue.
        of_model: What holds where ``images`` says nothing.
    """

    plain: ImageInputs
    files = ImageInputs.files

    def __init__(self, images: Images, channels: int = 3, of_model: ImagesOfModel | None = None) -> None:
        own = of_model or ImagesOfModel()
        size = own.size if images.size is None else _pair(images.size)
        if size is None:
            raise UserError("images.size is missing: the height and width in pixels that the model reads")
        self.plain = ImageInputs(
            size,
            channels,
            images.fit,
            images.interpolation or own.interpolation,
            images.crop_fraction,
            _of_channels("mean", own.mean if images.mean is None else images.mean, channels),
            _of_channels("std", own.std if images.std is None else images.std, channels),
            images.max_pixels,
        )
        self.inputs = self.plain.inputs
        self.augment = tuple(images.augment or ())

    def varied(self, example: Mapping[str, Any], key: Sequence[int]) -> Mapping[str, Any]:
        if not self.augment:
            return example
        image = self.plain.read(example[IMAGE])
        for change in drawn(self.augment, key, image.size, self.plain.size[::-1]):
            image = change(image)
        return {**example, IMAGE: self.plain.pixels(self.plain.fitted(image))}

    def moved(self, example: Mapping[str, Any], key: Sequence[int] | None) -> Movement | None:
        height, width = example[IMAGE]["size"]
        size = (int(width), int(height))
        changes = [] if key is None else drawn(self.augment, key, size, self.plain.size[::-1])
        last = next((change.size for change in reversed(changes) if change.size is not None), size)
        fits = last == self.plain.size[::-1] and self.plain.crop_fraction == 1
        zoom = self.plain.zoom(last) / self.plain.zoom(size)
        fit = Change(self.plain.fitted, zoom, moves=not fits or zoom != 1)
        return movement(changes, (size[1], size[0]), fit)

    def shown(self, inputs: Mapping[str, Tensor], example: int) -> Sequence[Shown]:
        mean, std = (np.asarray(each, np.float32) for each in (self.plain.mean, self.plain.std))
        pixels = np.moveaxis(inputs[IMAGE][example].numpy(force=True), 0, -1) * std + mean
        return [Picture(IMAGE, pixels[..., 0] if self.plain.channels == 1 else pixels)]

    def signature(self) -> Any:
        return self.plain.signature()


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _of_channels(name: str, values: Sequence[float], channels: int) -> list[float]:
    if len(values) == 1:
        return [float(values[0])] * channels
    if len(values) == 3 and channels == 1:
        return [sum(values) / 3]
    if len(values) != channels:
        raise UserError(f"images.{name} has {len(values)} values, but images have {channels} channels")
    return [float(value) for value in values]
