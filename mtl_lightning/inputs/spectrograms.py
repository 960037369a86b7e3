"""From samples to log-mel spectrograms."""

from functools import lru_cache
from math import ceil

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

FLOOR = 1e-6
"""Least power of a band, about that of the rounding to 16 bits."""

_HIGHEST, _SHARE = 4800.0, 0.85
"""Hertz that the formants lie below, and the largest share of half the rate that is warped by the factor itself."""

_BLOCK = 4096
"""Frames that are transformed at once: those of an hour would need gigabytes."""


def num_frames(num_samples: int, window: int, hop: int) -> int:
    """How many frames samples have; the last one may reach behind their end."""
    return 1 + max(0, ceil((num_samples - window) / hop))


def log_mel(samples: np.ndarray, rate: int, num_mels: int, window: int, hop: int, warp: float = 1.0) -> np.ndarray:
    """The logarithm of the power in each band of the mel scale [T, num_mels].

    Frames under a Hann window, the first one at the beginning; triangular filters of height 1 from 0 to half the rate,
    on the scale ``2595 log10(1 + f / 700)`` of HTK.

    Args:
        samples: [n], from -1 to 1.
        rate: Samples a second.
        num_mels: Number of bands.
        window: Of a frame, in samples.
        hop: From frame to frame, in samples.
        warp: See :func:`warped_frequencies`.
    """
    count, size = num_frames(len(samples), window, hop), fft_size(window)
    padded = np.pad(samples, (0, max(0, (count - 1) * hop + window - len(samples))))
    frames = sliding_window_view(padded, window)[::hop][:count]
    filters = mel_filters(rate, num_mels, size) if warp == 1 else warped_filters(rate, num_mels, size, warp)
    blocks = (frames[first : first + _BLOCK] * _hann(window) for first in range(0, count, _BLOCK))
    power = np.concatenate([np.abs(np.fft.rfft(block, size)) ** 2 @ filters for block in blocks])
    return np.asarray(np.log(np.maximum(power, FLOOR)), np.float32)


def fft_size(window: int) -> int:
    """The power of two that a window fits in."""
    return 1 << (window - 1).bit_length()


@lru_cache
def _hann(window: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)


@lru_cache
def mel_filters(rate: int, num_mels: int, size: int) -> np.ndarray:
    """Weight of each frequency of a transform in each band [size // 2 + 1, num_mels]."""
    return _triangles(_mel_edges(rate, num_mels), rate, size)


def warped_filters(rate: int, num_mels: int, size: int, warp: float) -> np.ndarray:
    """The same, of filters whose edges are warped; see :func:`warped_frequencies`."""
    return _triangles(warped_frequencies(_mel_edges(rate, num_mels), rate, warp), rate, size)


def warped_frequencies(frequencies: np.ndarray, rate: int, warp: float) -> np.ndarray:
    """Where the frequencies of a voice lie in that of a speaker whose vocal tract is shorter by a factor [n].

    They are multiplied by the factor ``a`` up to ``F min(a, 1) / a``, and follow a straight line from there to half the
    rate, which stays where it is. ``F``, above the formants, is 4800 Hz as in the paper, and at most 85 % of half the
    rate.

    Reference: Jaitly and Hinton, "Vocal Tract Length Perturbation (VTLP) improves speech recognition" (ICML Workshop on
    Deep Learning for Audio, Speech and Language Processing, 2013), section 3.

    Args:
        frequencies: In hertz, from 0 to half the rate [n].
        rate: Samples a second.
        warp: The factor, above 0.
    """
    half = rate / 2
    most = min(_HIGHEST, _SHARE * half) * min(warp, 1)
    slope = (half - most) / (half - most / warp)
    return np.where(frequencies <= most / warp, frequencies * warp, half - slope * (half - frequencies))


def _mel_edges(rate: int, num_mels: int) -> np.ndarray:
    """Hertz where the bands begin, culminate and end [num_mels + 2]."""
    most = 2595 * np.log10(1 + rate / 2 / 700)
    return np.asarray(700 * (10 ** (np.linspace(0, most, num_mels + 2) / 2595) - 1))


def _triangles(edges: np.ndarray, rate: int, size: int) -> np.ndarray:
    """Filters that rise from an edge to the next one, and fall to that behind it [size // 2 + 1, bands]."""
    frequencies = np.linspace(0, rate / 2, size // 2 + 1)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    return np.asarray(np.maximum(0, np.minimum(rising, falling)))
