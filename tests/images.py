"""Small images, as pixels and as files."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def pixels(seed: int = 0, height: int = 8, width: int = 6, channels: int = 3) -> np.ndarray:
    """[H, W, C], or [H, W] of one channel."""
    found = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return found[..., 0] if channels == 1 else found


def file_of(image: np.ndarray | Image.Image, kind: str = "PNG", **settings: Any) -> bytes:
    """What a file of the image holds."""
    file = BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **settings)
    return file.getvalue()


def write(path: Path, seed: int = 0, **size: int) -> Path:
    """Writes an image; of two seeds, the even one is blue and the odd one red."""
    image = pixels(seed, **size) // 2
    image[..., 0 if seed % 2 else 2] += 127
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file_of(image, "JPEG" if path.suffix == ".jpg" else "PNG"))
    return path
