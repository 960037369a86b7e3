"""From samples to log-mel spectrograms, and from one rate to another."""

from functools import lru_cache
from math import ceil, gcd

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

FLOOR = 1e-6
"""Least power of a band, about that of the rounding to 16 bits."""

_CROSSINGS = 16
"""Zero crossings of the filter's sinc on each side."""

_ROLL_OFF = 0.95
"""Where the filter cuts, as a share of the lower of both Nyquist frequencies."""


def resampled(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Samples [n] at another rate [ceil(n * wanted / rate)], band-limited by a windowed sinc.

    >>> resampled(np.ones(3, np.float32), 2, 4).shape
    (6,)
    """
    divisor = gcd(rate, wanted)
    step, phases = rate // divisor, wanted // divisor
    if step == phases:
        return samples
    cut = min(1.0, phases / step) * _ROLL_OFF
    reach = ceil(_CROSSINGS / cut)
    count = -(-len(samples) * phases // step)
    windows = sliding_window_view(np.pad(samples, (reach, reach + step)), 2 * reach + 1)
    result = np.empty(count, np.float32)
    for phase in range(min(phases, count)):
        first, rest = divmod(phase * step, phases)
        places = result[phase::phases]
        places[:] = windows[first::step][: len(places)] @ _filter(rest / phases, cut, reach)
    return result


@lru_cache(4096)
def _filter(shift: float, cut: float, reach: int) -> np.ndarray:
    """Weights of the samples from ``reach`` before to ``reach`` behind one [2 * reach + 1], for a place behind it."""
    distance = np.arange(-reach, reach + 1) - shift
    window = np.cos(np.pi / 2 * np.clip(distance / (reach + 1), -1, 1)) ** 2
    weights = np.sinc(distance * cut) * window
    return np.asarray(weights / weights.sum(), np.float32)


def num_frames(num_samples: int, window: int, hop: int) -> int:
    """How many frames samples have; the last one may reach behind their end."""
    return 1 + max(0, ceil((num_samples - window) / hop))


def log_mel(samples: np.ndarray, rate: int, num_mels: int, window: int, hop: int) -> np.ndarray:
    """The logarithm of the power in each band of the mel scale [T, num_mels].

    Frames under a Hann window, the first one at the beginning; triangular filters of height 1 from 0 to half the rate,
    on the scale ``2595 log10(1 + f / 700)`` of HTK.

    Args:
        samples: [n], from -1 to 1.
        rate: Samples a second.
        num_mels: Number of bands.
        window: Of a frame, in samples.
        hop: From frame to frame, in samples.
    """
    count = num_frames(len(samples), window, hop)
    padded = np.pad(samples, (0, max(0, (count - 1) * hop + window - len(samples))))
    frames = sliding_window_view(padded, window)[::hop][:count] * _hann(window)
    size = fft_size(window)
    power = np.abs(np.fft.rfft(frames, size)) ** 2
    return np.asarray(np.log(np.maximum(power @ mel_filters(rate, num_mels, size), FLOOR)), np.float32)


def fft_size(window: int) -> int:
    """The power of two that a window fits in."""
    return 1 << (window - 1).bit_length()


@lru_cache
def _hann(window: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)


@lru_cache
def mel_filters(rate: int, num_mels: int, size: int) -> np.ndarray:
    """Weight of each frequency of a transform in each band [size // 2 + 1, num_mels]."""
    most = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, most, num_mels + 2) / 2595) - 1)
    frequencies = np.linspace(0, rate / 2, size // 2 + 1)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    return np.maximum(0, np.minimum(rising, falling))
