"""Sounds as log-mel spectrograms."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.recordings import MASK, SOUND, Recordings
from mtl_lightning.inputs.spectrograms import fft_size, log_mel, mel_filters, num_frames

Normalise = Literal["utterance", "bands", "centred", "none"]
"""To mean 0 and deviation 1: all numbers of an example together, each band of its own, each band's mean and the
deviation of all, or not at all."""

_NEPERS = np.log(10) / 10
"""Of power, in a decibel."""

_LEAST_VARIANCE = np.float32(1e-6)


class SoundInputs(Recordings):
    """The plain part of :class:`.SoundProcessor`.

    Args:
        sample_rate: Samples a second that the model reads.
        num_mels: Bands of its spectrograms.
        window: Of a frame, in samples.
        hop: From frame to frame, in samples.
        max_seconds: See :class:`.Sounds`.
        normalise: See there.
        dynamic_range: See there.

    Raises:
        UserError: If there can be no such spectrograms.
    """

    def __init__(
        self,
        sample_rate: int,
        num_mels: int = 64,
        window: int = 400,
        hop: int = 160,
        max_seconds: float | None = None,
        normalise: Normalise = "utterance",
        dynamic_range: float | None = None,
    ) -> None:
        super().__init__(sample_rate, max_seconds)
        if not 1 <= hop <= window:
            raise UserError(
                f"windows of spectrograms are no shorter than hops; found windows of {window} samples and hops of {hop}"
            )
        if num_mels < 1 or not mel_filters(sample_rate, num_mels, fft_size(window)).any(0).all():
            raise UserError(
                f"sounds.num_mels: {num_mels} bands are too many for windows of {window} samples, so that some would "
                "have no frequency; take fewer, or longer windows"
            )
        self.num_mels = num_mels
        self.window = window
        self.hop = hop
        self.normalise = normalise
        self.dynamic_range = dynamic_range

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """``sound``, log-mel spectrograms [B, T, num_mels], and ``sound_mask`` [B, T], true where there is one; of an
        example that has one already, this.
        """
        sounds = [
            e[SOUND] if isinstance(e[SOUND], np.ndarray) else self.features(self.read(e[SOUND])) for e in examples
        ]
        longest = max(map(len, sounds))
        filled = np.zeros((len(sounds), longest, self.num_mels), np.float32)
        mask = np.zeros((len(sounds), longest), bool)
        for sound, row, real in zip(sounds, filled, mask, strict=True):
            row[: len(sound)] = sound
            real[: len(sound)] = True
        return {SOUND: filled, MASK: mask}

    def features(self, samples: np.ndarray, warp: float = 1.0) -> np.ndarray:
        """What the model reads of samples at its rate [T, num_mels], normalised; see :func:`.log_mel`."""
        found = log_mel(samples, self.sample_rate, self.num_mels, self.window, self.hop, warp)
        if self.dynamic_range is not None:
            found = np.maximum(found, found.max() - np.float32(self.dynamic_range * _NEPERS))
        if self.normalise == "none":
            return found
        centred: np.ndarray = found - found.mean(None if self.normalise == "utterance" else 0)
        variance = centred.var(0 if self.normalise == "bands" else None)
        normalised: np.ndarray = centred / np.sqrt(variance + _LEAST_VARIANCE)
        return normalised

    def length(self, example: Mapping[str, Any]) -> int:
        """Frames of the spectrogram."""
        return num_frames(self.num_samples(example), self.window, self.hop)

    def signature(self) -> Any:
        return [SOUND, self.sample_rate, self.window, self.hop, self.max_seconds]
