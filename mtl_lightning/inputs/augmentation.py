"""Random changes of training images, under the names that torchvision's transforms have, with their arguments."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.image_files import pillow

_TRIES = 10
_OUTSIDE = -1


@dataclass(frozen=True)
class Change:
    """What was drawn for an example.

    Args:
        make: Changes an image of Pillow: ``RGB``, ``L``, or ``F`` for a channel of numbers. The flag says that it holds
            the numbers of pixels instead (``I``): each new pixel takes the nearest one, and -1 where the image ends.
        zoom: How many times larger things are in pixels; the geometric mean of both directions.
        mirrored: Whether left and right change places, and whether top and bottom do.
        size: Width and height that the image gets; null: it keeps its own.
        moves: Whether pixels change their places; false: their colours alone change.
    """

    make: Callable[[Any, bool], Any]
    zoom: float = 1.0
    mirrored: tuple[bool, bool] = (False, False)
    size: tuple[int, int] | None = None
    moves: bool = True

    def __call__(self, image: Any, numbered: bool = False) -> Any:
        return self.make(image, numbered)


class Augmentation(ABC):
    """A random change of an image and, if pixels move, of their labels.

    What is drawn for an example depends on the run's seed, the epoch and the number of the example alone. It is made to
    the image and to the numbers of its pixels, by which labels follow; see :class:`.Movement`.

    Attributes:
        turns: Whether it turns the image by an angle, which labels of pixels do not follow: normals would point
            elsewhere, and no camera stands so.
    """

    turns: bool = False

    @abstractmethod
    def drawn(self, draw: np.random.Generator, size: tuple[int, int], target: tuple[int, int]) -> Change | None:
        """A change; null: there is none this time.

        Args:
            draw: Where random numbers come from.
            size: Width and height of the image.
            target: Width and height of what the model reads.
        """


class RandomHorizontalFlip(Augmentation):
    """Mirrors left and right.

    Args:
        p: How often.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = _probability(p)

    def drawn(self, draw: np.random.Generator, size: tuple[int, int], target: tuple[int, int]) -> Change | None:
        return Change(_mirrored_left_right, mirrored=(True, False)) if draw.random() < self.p else None


class RandomVerticalFlip(Augmentation):
    """Mirrors top and bottom.

    Args:
        p: How often.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = _probability(p)

    def drawn(self, draw: np.random.Generator, size: tuple[int, int], target: tuple[int, int]) -> Change | None:
        return Change(_mirrored_top_bottom, mirrored=(False, True)) if draw.random() < self.p else None


class RandomResizedCrop(Augmentation):
    """Takes a part of the image, and distorts it to the size that the model reads.

    What looks s times larger, is s times nearer: depth is divided by s, as MTAN and LibMTL do on NYUv2
    (``RandomScaleCrop``). Of a part that is distorted, s is the geometric mean of both directions. Normals stay.

    Reference: Eigen, Puhrsch and Fergus, "Depth Map Prediction from a Single Image using a Multi-Scale Deep Network"
    (NeurIPS 2014), section 3.4, "Scale".

    Args:
        scale: Smallest and largest area, as a share of the image.
        ratio: Smallest and largest width by height.
    """

    def __init__(self, scale: tuple[float, float] = (0.08, 1.0), ratio: tuple[float, float] = (3 / 4, 4 / 3)) -> None:
        self.scale = _interval("scale", scale, 1.0)
        self.ratio = _interval("ratio", ratio)

    def drawn(self, draw: np.random.Generator, size: tuple[int, int], target: tuple[int, int]) -> Change:
        width, height = self._part(draw, size)
        left, top = draw.uniform(0, size[0] - width), draw.uniform(0, size[1] - height)
        box = (left, top, left + width, top + height)
        zoom = math.sqrt(target[0] * target[1] / (width * height))
        return Change(lambda image, numbered: image.resize(target, _resampling(numbered), box=box), zoom, size=target)

    def _part(self, draw: np.random.Generator, size: tuple[int, int]) -> tuple[float, float]:
        for _ in range(_TRIES):
            area = draw.uniform(*self.scale) * size[0] * size[1]
            ratio = math.exp(draw.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
            if width <= size[0] and height <= size[1]:
                return width, height
        ratio = min(max(size[0] / size[1], self.ratio[0]), self.ratio[1])
        return min(size[0], size[1] * ratio), min(size[1], size[0] / ratio)


class RandomAffine(Augmentation):
    """Turns, shifts and scales around the middle.

    Where the image ends, pixels have no label. Depth is divided by the factor; see :class:`RandomResizedCrop`.

    Args:
        degrees: Largest angle, either way; 0 where pixels are labelled.
        translate: Largest shift to the sides, and up and down, as a share of width and height.
        scale: Smallest and largest factor.
        fill: What shows where the image ends, 0 black to 255 white.
    """

    def __init__(
        self,
        degrees: float = 0.0,
        translate: tuple[float, float] = (0.0, 0.0),
        scale: tuple[float, float] = (1.0, 1.0),
        fill: int = 0,
    ) -> None:
        if not 0 <= degrees <= 180:
            raise UserError(f"`degrees` must be from 0 to 180, found {degrees}")
        if not all(0 <= share <= 1 for share in translate):
            raise UserError(f"`translate` must be two shares from 0 to 1, found {list(translate)}")
        if not 0 <= fill <= 255:
            raise UserError(f"`fill` must be from 0 to 255, found {fill}")
        self.degrees, self.turns = degrees, degrees > 0
        self.translate = translate
        self.scale = _interval("scale", scale)
        self.fill = fill

    def drawn(self, draw: np.random.Generator, size: tuple[int, int], target: tuple[int, int]) -> Change:
        angle = math.radians(draw.uniform(-self.degrees, self.degrees))
        shift = [draw.uniform(-share, share) * side for share, side in zip(self.translate, size, strict=True)]
        factor = draw.uniform(*self.scale)
        cosine, sine = math.cos(angle) / factor, math.sin(angle) / factor
        x, y = size[0] / 2, size[1] / 2  # from places in the new image to those in the old one
        back = (
            *(cosine, sine, x - cosine * (x + shift[0]) - sine * (y + shift[1])),
            *(-sine, cosine, y + sine * (x + shift[0]) - cosine * (y + shift[1])),
        )

        def make(image: Any, numbered: bool) -> Any:
            fills = {"I": _OUTSIDE, "L": self.fill, "F": self.fill / 255, "RGB": (self.fill,) * 3}
            method = pillow().Transform.AFFINE
            return image.transform(size, method, back, resample=_resampling(numbered), fillcolor=fills[image.mode])

        return Change(make, factor)


class ColorJitter(Augmentation):
    """Changes brightness, contrast, saturation and hue, in random order.

    Args:
        brightness: Largest change of the factor, from 1.
        contrast: The same.
        saturation: The same.
        hue: Largest turn of the circle of hues, at most half of it: 0.5.
    """

    def __init__(
        self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0, hue: float = 0.0
    ) -> None:
        for name, value in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation)):
            if value < 0:
                raise UserError(f"`{name}` must be at least 0, found {value}")
        if not 0 <= hue <= 0.5:
            raise UserError(f"`hue` must be from 0 to 0.5, found {hue}")
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def drawn(self, draw: np.random.Generator, size: tuple[int, int], target: tuple[int, int]) -> Change:
        ranges = {"Brightness": self.brightness, "Contrast": self.contrast, "Color": self.saturation}
        factors = [(name, draw.uniform(max(0.0, 1 - most), 1 + most)) for name, most in ranges.items() if most]
        turn = draw.uniform(-self.hue, self.hue)
        draw.shuffle(factors)
        return Change(lambda image, numbered: _recoloured(image, factors, turn), moves=False)


class RandomGrayscale(Augmentation):
    """Takes the colours away.

    Args:
        p: How often.
    """

    def __init__(self, p: float = 0.1) -> None:
        self.p = _probability(p)

    def drawn(self, draw: np.random.Generator, size: tuple[int, int], target: tuple[int, int]) -> Change | None:
        return Change(_without_colours, moves=False) if draw.random() < self.p else None


def _without_colours(image: Any, numbered: bool) -> Any:
    return image.convert("L").convert(image.mode)


def _mirrored_left_right(image: Any, numbered: bool) -> Any:
    return image.transpose(pillow().Transpose.FLIP_LEFT_RIGHT)


def _mirrored_top_bottom(image: Any, numbered: bool) -> Any:
    return image.transpose(pillow().Transpose.FLIP_TOP_BOTTOM)


def _recoloured(image: Any, factors: list[tuple[str, float]], turn: float) -> Any:
    from PIL import ImageEnhance

    for name, factor in factors:
        image = getattr(ImageEnhance, name)(image).enhance(factor)
    if not turn or image.mode != "RGB":
        return image
    hue, *others = image.convert("HSV").split()
    hue = hue.point([(value + round(turn * 256)) % 256 for value in range(256)])
    return pillow().merge("HSV", (hue, *others)).convert("RGB")


def _resampling(nearest: bool) -> Any:
    kinds = pillow().Resampling
    return kinds.NEAREST if nearest else kinds.BILINEAR


def _probability(p: float) -> float:
    if not 0 <= p <= 1:
        raise UserError(f"`p` must be from 0 to 1, found {p}")
    return p


def _interval(name: str, found: tuple[float, float], most: float = math.inf) -> tuple[float, float]:
    low, high = found
    if not 0 < low <= high <= most:
        limit = f" up to {most:g}" if most < math.inf else ""
        raise UserError(f"`{name}` must be two numbers above 0{limit}, the smaller one first, found {list(found)}")
    return low, high
