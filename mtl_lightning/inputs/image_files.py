"""Reads image files: JPEG, PNG and a few others become 8-bit pixels of one or three channels."""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from mtl_lightning.array_files import from_file
from mtl_lightning.decoded_limits import check_pixels
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.file_values import check_path, content_of, fault_of, hint_for
from mtl_lightning.inputs.numbers import numbers

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""What is opened; a library of images opens others too, some of which start programs."""

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")

ARRAYS = ".npy"

LABEL_ENDINGS = (ARRAYS, ".png", ".tif", ".tiff", ".bmp", ".gif", ".pgm", ".jpg", ".jpeg", ".webp")
"""Of files of labels of pixels; those that change numbers are refused when they are read."""

MAX_PIXELS = 89_478_485
"""Pixels of the largest image that is decoded, unless another number is given: a quarter of a gigabyte in colour."""

_ORIENTATION, _ON_THE_SIDE = 0x0112, (5, 6, 7, 8)
"""Tag of the rotation that a camera has noted, and its values by which height and width change places."""

_MODES = {1: "L", 3: "RGB"}
_LOSSY = ("JPEG", "WEBP")
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError, struct.error)
"""What Pillow raises of files that are no images, or broken ones."""


def pillow() -> Any:
    """The module ``PIL.Image``.

    Raises:
        UserError: If Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise UserError("images are read by the package Pillow; pip install 'mtl-lightning[vision]'") from error
    return Image


def decoded(image: Path | bytes, channels: int, max_pixels: int = MAX_PIXELS) -> Any:
    """An image of Pillow, upright, with 8 bits a channel.

    The rotation that a camera has noted (EXIF) is applied. What is transparent shows white. Palettes and CMYK become
    colours, 16 bits become 8, and of a moving image the first one counts.

    Args:
        image: The path of a file, or what it holds.
        channels: 1 for grey, 3 for red, green and blue.
        max_pixels: Of the largest image that is decoded.

    Raises:
        UserError: If there is no such file, it is no image or a broken one, or it has too many pixels.
    """
    with opened(image, max_pixels) as (name, file):
        return _converted(name, _upright(file), _MODES[channels])


def checked(image: Path | bytes, channels: int, max_pixels: int = MAX_PIXELS) -> list[int]:
    """Height and width of an image, upright; arguments and errors as those of :func:`decoded`.

    It is read for mistakes alone, so that a JPEG is decoded at an eighth of its size.
    """
    with opened(image, max_pixels) as (name, file):
        width, height = file.size
        file.draft(None, (1, 1))
        _converted(name, _upright(file), _MODES[channels])
        return [width, height] if file.getexif().get(_ORIENTATION, 1) in _ON_THE_SIDE else [height, width]


@contextmanager
def opened(image: Path | bytes, max_pixels: int = MAX_PIXELS) -> Iterator[tuple[str, Any]]:
    """What to call an image in messages, and its file, opened by Pillow; arguments and errors as of :func:`decoded`."""
    library = pillow()
    if isinstance(image, Path):
        check_path(image)
    name = f"image {image}" if isinstance(image, Path) else "the image"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of many pixels, which are counted here, and of odd notes of cameras
            with library.open(image if isinstance(image, Path) else BytesIO(image), formats=FORMATS) as file:
                _check_size(name, file.size, max_pixels)
                yield name, file
    except UserError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"no file {name.removeprefix('image ')}; {hint_for(Path(error.filename))}") from error
    except IsADirectoryError as error:
        raise UserError(f"{name} is a folder; give the path of a file") from error
    except library.DecompressionBombError as error:
        raise UserError(
            f"{name} has more than {max_pixels:,} pixels; make it smaller, or raise `max_pixels`"
        ) from error
    except library.UnidentifiedImageError as error:
        fault = fault_of(image) or "is none that can be read; save it as JPEG or PNG"
        raise UserError(f"{name} {fault}") from error
    except _BROKEN as error:
        raise UserError(f"{name} is broken: {' '.join(str(error).split())[:100]}; get it again") from error


def _upright(file: Any) -> Any:
    from PIL import ImageOps

    file.load()
    return ImageOps.exif_transpose(file)


def label_pixels(image: Path | bytes) -> np.ndarray:
    """The numbers in an image, as they are: [H, W] of one channel or of a palette, or [H, W, 3].

    Args:
        image: The path of a file, or what it holds; the rotation that a camera has noted is applied.

    Raises:
        UserError: As :func:`decoded` does, and for a format that changes numbers.
    """
    with opened(image) as (name, file):
        if file.format in _LOSSY:
            raise UserError(f"{name} is {file.format}, which changes numbers; save labels of pixels as PNG")
        upright = _upright(file)
        if upright.mode in ("RGBA", "CMYK", "YCbCr", "HSV", "LAB"):
            upright = upright.convert("RGB")
        return np.asarray(upright.getchannel(0) if upright.mode in ("LA", "PA") else upright)


def stored(value: Any) -> Path | bytes:
    """A raw value as a path, or as what an image file holds.

    Args:
        value: A path, also of a ``.npy`` file, of which fractions from 0 to 1 are colours, too; the bytes of a file, as
            such or written in base64; an object with ``bytes`` or ``path``, as
            `datasets` has it; an image of Pillow; or whole numbers from 0 to 255, [H, W], [H, W, C] or [C, H, W], of
            one, three or four channels. A text is no path, so that a request to a server reads no file.

    Raises:
        UserError: If it is something else.
    """
    if isinstance(value, dict) and {"bytes", "path"} & set(value):
        value = value.get("path") if value.get("bytes") is None else value["bytes"]
    named = str(value) if isinstance(value, Path) else value
    if not isinstance(value, str) and (array := from_file(named)) is not None:
        value = _of_array(array)
    if isinstance(value, Path | bytes):
        return value
    if isinstance(value, str):
        return content_of(value, "an image")
    library = pillow()
    if value is None:
        raise UserError("the image is missing: null")
    return png(value if isinstance(value, library.Image) else library.fromarray(_pixels(value)))


def _of_array(array: np.ndarray) -> np.ndarray:
    """Fractions from 0 to 1 are 256 levels."""
    fractions = array.dtype.kind == "f" and array.size and array.min() >= 0 and array.max() <= 1
    return np.round(array * 255) if fractions else array


def _pixels(value: Any) -> np.ndarray:
    """[H, W] or [H, W, C] as bytes."""
    array = numbers(value)
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.size == 0 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (1,), (3,), (4,)):
        raise UserError(f"an image must be [H, W], [H, W, C] or [C, H, W] of 1, 3 or 4 channels, found {array.shape}")
    pixels = array.astype(np.uint8) if array.min() >= 0 and array.max() <= 255 else None
    if pixels is None or not np.array_equal(pixels, array):
        raise UserError("the pixels of an image must be whole numbers from 0 to 255")
    return pixels[..., 0] if array.shape[2:] == (1,) else pixels


def png(image: Any) -> bytes:
    """An image of Pillow as the content of a file, without loss."""
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _check_size(name: str, size: tuple[int, int], max_pixels: int) -> None:
    check_pixels(found := size[0] * size[1])
    if found > max_pixels:
        raise UserError(
            f"{name} has {size[0]} x {size[1]} = {found:,} pixels, more than {max_pixels:,}; make it smaller, or raise "
            "`max_pixels`"
        )


def _converted(name: str, image: Any, mode: str) -> Any:
    library = pillow()
    if image.mode.startswith("I;16"):
        image = library.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UserError(f"{name} has 32 bits a pixel; save it with 8 or 16")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        drawn = image.convert("RGBA")
        white = library.new("RGBA", drawn.size, "white")
        image = library.alpha_composite(white, drawn)
    return image if image.mode == mode else image.convert("RGB").convert(mode)
