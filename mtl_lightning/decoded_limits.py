"""How large what a file holds may be where it comes from a stranger: a few kilobytes may decode to gigabytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from mtl_lightning.errors import UserError


class DecodedLimits(NamedTuple):
    """The largest values that are decoded.

    Attributes:
        pixels: Of an image.
        samples: Of a sound, all channels together, in the file and at the rate that the model reads.
    """

    pixels: int
    samples: int


_LIMITS: ContextVar[DecodedLimits | None] = ContextVar("_LIMITS", default=None)


@contextmanager
def decoded_within(limits: DecodedLimits) -> Iterator[None]:
    """Within, larger images and sounds are refused before they are decoded."""
    token = _LIMITS.set(limits)
    try:
        yield
    finally:
        _LIMITS.reset(token)


def check_pixels(number: int) -> None:
    """Raises :class:`UserError` of an image with more pixels than may be decoded."""
    limits = _LIMITS.get()
    if limits is not None and number > limits.pixels:
        raise UserError(
            f"the image has {number:,} pixels, at most {limits.pixels:,} are decoded (--max_pixels); make it smaller"
        )


def check_samples(number: int) -> None:
    """Raises :class:`UserError` of a sound with more samples than may be decoded."""
    limits = _LIMITS.get()
    if limits is not None and number > limits.samples:
        raise UserError(
            f"the sound has {number:,} samples, at most {limits.samples:,} are decoded (--max_samples); shorten it"
        )
