"""Sounds as Whisper reads them: log-mel spectrograms of one length."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.recordings import MASK, SOUND, Recordings

_FLOOR, _RANGE = 1e-10, 8.0
"""Least power of a band, and how far below the loudest one what is heard reaches, as a power of ten."""

_LINEAR, _LOGARITHMIC = 200 / 3, 27 / np.log(6.4)
"""Of Slaney's scale: hertz a mel up to 1 kHz, and mels a factor of e above."""


class WhisperInputs(Recordings):
    """The plain part of a processor whose model is the encoder of Whisper.

    Reference: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (ICML 2023), section 2.2.

    Args:
        sample_rate: Samples a second that the model reads.
        num_mels: Bands of the mel scale.
        window: Of a frame, and of its Fourier transform, in samples.
        hop: From frame to frame, in samples.
        frames: Of every spectrogram: silence follows shorter recordings, and what is behind is not read.
        max_seconds: Of the longest part that is read; null: as many as ``frames`` are.
    """

    def __init__(
        self,
        sample_rate: int,
        num_mels: int = 80,
        window: int = 400,
        hop: int = 160,
        frames: int = 3000,
        max_seconds: float | None = None,
    ) -> None:
        if num_mels < 1 or frames < 1 or not 1 <= hop <= window:
            raise UserError(
                "spectrograms have at least a band and a frame, and windows no shorter than hops; found "
                f"{num_mels} bands, {frames} frames, windows of {window} samples and hops of {hop}"
            )
        longest = frames * hop / sample_rate
        super().__init__(sample_rate, min(max_seconds or longest, longest))
        self.num_mels = num_mels
        self.window = window
        self.hop = hop
        self.frames = frames

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """``sound`` [B, num_mels, frames], and ``sound_mask`` [B, frames], true where there is more than silence that
        was added.
        """
        sounds = [self.read(example[SOUND]) for example in examples]
        real = np.array([min(self.frames, -(-len(sound) // self.hop)) for sound in sounds])
        return {SOUND: np.stack([*map(self.features, sounds)]), MASK: np.arange(self.frames) < real[:, None]}

    def features(self, samples: np.ndarray) -> np.ndarray:
        """The spectrogram [num_mels, frames]: the power's logarithm to base 10, at most 8 below the largest, plus 4, by
        4.
        """
        number = self.frames * self.hop
        padded = np.pad(samples[:number].astype(np.float64), (0, max(0, number - len(samples))))
        around = np.pad(padded, self.window // 2, mode="reflect")
        frames = sliding_window_view(around, self.window)[:: self.hop][: self.frames]
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        power = np.abs(np.fft.rfft(frames * hann)) ** 2 @ _filters(self.sample_rate, self.num_mels, self.window)
        found = np.log10(np.maximum(power, _FLOOR)).T
        return np.asarray((np.maximum(found, found.max() - _RANGE) + 4) / 4, np.float32)

    def length(self, example: Mapping[str, Any]) -> int:
        """Frames that are more than silence that was added."""
        return min(self.frames, -(-self.num_samples(example) // self.hop))

    def signature(self) -> Any:
        return ["whisper", self.sample_rate, self.hop, self.max_seconds]


@lru_cache
def _filters(rate: int, num_mels: int, window: int) -> np.ndarray:
    """Triangles of area 1 on Slaney's mel scale, from 0 to half the rate [window // 2 + 1, num_mels]."""
    highest = rate / 2
    most = highest / _LINEAR if highest < 1000 else 15 + _LOGARITHMIC * np.log(highest / 1000)
    mels = np.linspace(0, most, num_mels + 2)
    edges = np.where(mels < 15, mels * _LINEAR, 1000 * np.exp((mels - 15) / _LOGARITHMIC))
    frequencies = np.linspace(0, highest, window // 2 + 1)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    return np.asarray(np.maximum(0, np.minimum(rising, falling)) * (2 / (high - low)))
