"""Images: from files, bytes or arrays to normalised pixels of one size."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.base import Inputs
from mtl_lightning.inputs.image_files import MAX_PIXELS, checked, decoded, pillow, stored

IMAGE = "image"

Fit = Literal["crop", "stretch", "pad"]
"""How an image of another shape is made to fit: its middle is kept, it is distorted, or white is added around it."""

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]


class ImageInputs(Inputs):
    """The plain part of :class:`.ImageProcessor`.

    An encoded image is a path or the bytes of a file: pixels are decoded when a batch is collated, which the workers
    of a loader do.

    Args:
        size: Height and width.
        channels: 1 for grey, 3 for red, green and blue.
        fit: See :class:`.Images`.
        interpolation: See there.
        crop_fraction: See there.
        mean: Of each channel, subtracted from its pixels in [0, 1].
        std: Of each channel, by which the rest is divided.
        max_pixels: See there.

    Raises:
        UserError: If there can be no such images.
    """

    inputs = (IMAGE,)
    files = frozenset(inputs)

    def __init__(
        self,
        size: Sequence[int],
        channels: int = 3,
        fit: Fit = "crop",
        interpolation: Interpolation = "bilinear",
        crop_fraction: float = 1.0,
        mean: Sequence[float] = (0.5,),
        std: Sequence[float] = (0.5,),
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        of_channels = (1, channels)
        if channels not in (1, 3) or len(mean) not in of_channels or len(std) not in of_channels:
            raise UserError(f"images have 1 or 3 channels, and a mean and a std of each; found {channels}")
        if len(size) != 2 or min(size) < 1:
            raise UserError(f"images have a height and a width of at least 1, found {list(size)}")
        self.size = (int(size[0]), int(size[1]))
        self.channels = channels
        self.fit = fit
        self.interpolation = interpolation
        self.crop_fraction = crop_fraction
        self.mean = list(mean)
        self.std = list(std)
        self.max_pixels = max_pixels

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Of each example the path or the bytes of its image, its height and width, and whether it is stretched."""
        return {IMAGE: [self._encoded(value) for value in columns[IMAGE]]}

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """Images [B, C, H, W]; of an example that has an array of pixels [H, W, C] already, these."""
        values = [example[IMAGE] for example in examples]
        pixels = np.stack([v if isinstance(v, np.ndarray) else self.pixels(self.fitted(self.read(v))) for v in values])
        mean, std = (np.asarray(each, np.float32) for each in (self.mean, self.std))
        scaled = (pixels.astype(np.float32) / np.float32(255) - mean) / std
        return {IMAGE: np.ascontiguousarray(np.moveaxis(scaled, -1, 1))}

    def read(self, encoded: Mapping[str, Any]) -> Any:
        """An image of Pillow, of its own size.

        Raises:
            UserError: If its file is gone, or broken, since it was encoded.
        """
        return decoded(encoded["bytes"] or Path(encoded["path"]), self.channels, self.max_pixels)

    def fitted(self, image: Any, numbered: bool = False) -> Any:
        """An image of Pillow in the size that the model reads.

        Args:
            image: Of any size.
            numbered: Whether it holds numbers of pixels; see :class:`.Change`.
        """
        library, height_and_width = pillow(), self.size
        size = height_and_width[::-1]
        resample = library.Resampling["NEAREST" if numbered else self.interpolation.upper()]
        if self.fit == "pad":
            from PIL import ImageOps

            return ImageOps.pad(image, size, resample, color=-1 if numbered else "white")
        if image.size == size and self.crop_fraction == 1:
            return image
        box = self._middle(image.size) if self.fit == "crop" else None
        return image.resize(size, resample, box=box)

    def zoom(self, size: tuple[int, int]) -> float:
        """How many times larger things get when an image of a width and a height is fitted."""
        rows, columns = self.size
        if self.fit == "pad":
            return min(columns / size[0], rows / size[1])
        left, top, right, bottom = self._middle(size) if self.fit == "crop" else (0, 0, *size)
        return math.sqrt(columns * rows / ((right - left) * (bottom - top)))

    def pixels(self, image: Any) -> np.ndarray:
        """Of an image of Pillow [H, W, C]."""
        return np.asarray(image).reshape(*self.size, self.channels)

    def length(self, example: Mapping[str, Any]) -> int:
        return 1

    def state(self) -> dict[str, Any]:
        return {**vars(self), "size": list(self.size)}

    def samples(self, number: int) -> dict[str, list[Any]]:
        """Some raw images, by input."""
        shape = (number, *self.size, self.channels)
        return {IMAGE: list(np.random.default_rng(0).integers(0, 256, shape, np.uint8))}

    def signature(self) -> Any:
        """Something small that changes with what ``encode`` gives."""
        return [IMAGE, self.max_pixels, "size", self.fit == "stretch"]

    def _encoded(self, value: Any) -> dict[str, Any]:
        if isinstance(value, tuple):
            raise UserError(f"input '{IMAGE}' is one column, found {len(value)}")
        try:
            found = stored(value)
            size = checked(found, self.channels, self.max_pixels)
        except UserError as error:
            raise UserError(f"input '{IMAGE}': {error}") from error
        fit = {"size": size, "stretched": self.fit == "stretch"}
        if isinstance(found, Path):
            return {"path": str(found.absolute()), "bytes": b"", **fit}
        return {"path": "", "bytes": found, **fit}

    def _middle(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """The box that is kept of an image, of the shape that is wanted."""
        (width, height), (rows, columns) = size, self.size
        scale = min(width / columns, height / rows) * self.crop_fraction
        left, top = (width - columns * scale) / 2, (height - rows * scale) / 2
        return left, top, left + columns * scale, top + rows * scale
