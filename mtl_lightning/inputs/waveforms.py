"""Sounds as samples, for models that listen to these."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.recordings import MASK, SOUND, Recordings

_LEAST_VARIANCE = np.float32(1e-7)


class WaveformInputs(Recordings):
    """The plain part of a processor whose model reads samples, as wav2vec 2.0 does.

    Args:
        sample_rate: Samples a second that the model reads.
        max_seconds: Of the longest part that is read, from its beginning; null: all of it.
        normalise: Whether each recording is brought to mean 0 and deviation 1.
        least: Samples that the model needs at least: what its convolutions see at once.
    """

    def __init__(
        self, sample_rate: int, max_seconds: float | None = None, normalise: bool = True, least: int = 1
    ) -> None:
        super().__init__(sample_rate, max_seconds)
        if least < 1:
            raise UserError(f"a model reads at least one sample, found {least}")
        self.normalise = normalise
        self.least = least

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """``sound`` [B, n], filled up with 0, and ``sound_mask`` [B, n], true where there is a sample."""
        sounds = [self.features(self.read(example[SOUND])) for example in examples]
        lengths = np.array([len(sound) for sound in sounds])
        filled = np.zeros((len(sounds), lengths.max()), np.float32)
        for sound, row in zip(sounds, filled, strict=True):
            row[: len(sound)] = sound
        return {SOUND: filled, MASK: np.arange(filled.shape[1]) < lengths[:, None]}

    def features(self, samples: np.ndarray) -> np.ndarray:
        """The samples [n], never fewer than the model needs: resampling may lose one."""
        found = np.pad(samples, (0, max(0, self.least - len(samples)))).astype(np.float32)
        if not self.normalise:
            return found
        normalised: np.ndarray = (found - found.mean()) / np.sqrt(found.var() + _LEAST_VARIANCE)
        return normalised

    def length(self, example: Mapping[str, Any]) -> int:
        """Samples."""
        return self.num_samples(example)

    def signature(self) -> Any:
        return ["waveform", self.sample_rate, self.max_seconds, self.least]
