"""Pictures as PNG files."""

import struct
import zlib

import numpy as np


def png(pixels: np.ndarray, palette: np.ndarray | None = None) -> bytes:
    """A picture as a PNG file.

    Args:
        pixels: uint8 or uint16 [H, W], or uint8 [H, W, 3] for red, green and blue.
        palette: Colours of which ``pixels``, uint8 [H, W], are the numbers, uint8 [N, 3].
    """
    height, width = pixels.shape[:2]
    colour = 3 if palette is not None else 2 if pixels.ndim == 3 else 0
    wide = pixels.dtype == np.uint16
    rows = b"".join(b"\0" + row.tobytes() for row in (pixels.astype(">u2") if wide else pixels))  # each row unfiltered
    header = struct.pack(">IIBBBBB", width, height, 16 if wide else 8, colour, 0, 0, 0)
    colours = [(b"PLTE", palette.tobytes())] if palette is not None else []
    chunks = ((b"IHDR", header), *colours, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def distinct_colours() -> np.ndarray:
    """256 colours that tell numbers apart, uint8 [256, 3], the first one black: those of PASCAL VOC's masks.

    >>> distinct_colours()[:4].tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            number = np.arange(256) >> (3 * bit + channel) & 1 if 3 * bit + channel < 8 else np.zeros(256, int)
            colours[:, channel] |= (number << (7 - bit)).astype(np.uint8)
    return colours
