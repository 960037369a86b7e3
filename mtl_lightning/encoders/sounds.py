"""Reads sounds: what is made of each before a model hears it."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from mtl_lightning.encoders.input_processor import PlainProcessor
from mtl_lightning.encoders.shown import Picture, Shown
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.recordings import MASK, SOUND, Recordings
from mtl_lightning.inputs.sound_files import resampled
from mtl_lightning.inputs.sounds import Normalise, SoundInputs
from mtl_lightning.inputs.spec_augment import SpecAugment
from mtl_lightning.inputs.spectrograms import fft_size, warped_filters

_SPEED, _WARP = 1, 2
"""Tell the random numbers of speeds and of warped frequencies from those of masks."""
_STEPS = 1000
"""The usual speed, of which others are whole numbers."""


@dataclass(frozen=True)
class Sounds:
    """How sounds become log-mel spectrograms.

    Args:
        sample_rate: Samples a second; files of another rate are resampled.
        num_mels: Bands of the mel scale.
        window: Of a frame, in seconds.
        hop: From frame to frame, in seconds.
        max_seconds: Of the longest part that is read, from its beginning; null: all of it.
        normalise: To mean 0 and deviation 1: all numbers of a spectrogram together (``utterance``), each of its
            ``bands``, or ``none``; ``centred`` takes each band's own mean off, and divides by the deviation of all, so
            that microphones matter less and the loud bands stand out still.
        dynamic_range: What is quieter than the loudest frame and band of a sound by more than so many decibels is
            raised to that, so that the noise between the sounds of speech is the same in all recordings; null: nothing.
        augment: Masks on training spectrograms; null: none.
        speed: Training sounds are played faster or slower by up to this share, say 0.1, and so higher or lower, as by
            another voice (Ko et al., "Audio Augmentation for Speech Recognition", Interspeech 2015).
        vtlp: Vocal tract length perturbation: the frequencies of training sounds are moved up or down by up to this
            share, say 0.1, as in a speaker whose vocal tract is shorter or longer, and last as long as before; see
            :func:`.warped_frequencies`.
    """

    sample_rate: int = 16_000
    num_mels: int = 64
    window: float = 0.025
    hop: float = 0.01
    max_seconds: float | None = None
    normalise: Normalise = "utterance"
    augment: SpecAugment | None = None
    speed: float = 0.0
    dynamic_range: float | None = None
    vtlp: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("sample_rate", self.sample_rate), ("window", self.window), ("hop", self.hop)):
            if not value > 0:
                raise UserError(f"sounds.{name} must be above 0, found {value}")
        if self.dynamic_range is not None and not self.dynamic_range > 0:
            raise UserError(f"sounds.dynamic_range must be above 0 decibels, found {self.dynamic_range}")
        for name, value in (("speed", self.speed), ("vtlp", self.vtlp)):
            if not 0 <= value < 1:
                raise UserError(f"sounds.{name} must be at least 0 and below 1, found {value}")


class RecordingProcessor(PlainProcessor):
    """Reads the input ``sound``: paths of files, their bytes, or samples; see :func:`.sound_files.stored`.

    ``sound_start`` and ``sound_length`` beside it say which part of the file is meant, in samples of the file. Files
    are checked when the data is encoded, and decoded when a batch is made.

    Args:
        plain: How they are read.
    """

    plain: Recordings
    files = Recordings.files
    optional = Recordings.optional

    def __init__(self, plain: Recordings) -> None:
        self.plain = plain
        self.inputs = plain.inputs

    def shown(self, inputs: Mapping[str, Tensor], example: int) -> Sequence[Shown]:
        real = int(inputs[MASK][example].sum())
        return [Picture(SOUND, self.spectrogram(inputs[SOUND][example].numpy(force=True), real))]

    @abstractmethod
    def spectrogram(self, sound: np.ndarray, real: int) -> np.ndarray:
        """A picture of an example, high frequencies above.

        Args:
            sound: Of a batch, without B.
            real: How many samples or frames are more than what fills it up.
        """

    def signature(self) -> Any:
        return self.plain.signature()


class SoundProcessor(RecordingProcessor):
    """Makes log-mel spectrograms of what :class:`RecordingProcessor` reads.

    Args:
        sounds: How they are read.
    """

    plain: SoundInputs

    def __init__(self, sounds: Sounds) -> None:
        window, hop = (max(1, round(seconds * sounds.sample_rate)) for seconds in (sounds.window, sounds.hop))
        super().__init__(
            SoundInputs(
                sounds.sample_rate,
                sounds.num_mels,
                window,
                hop,
                sounds.max_seconds,
                sounds.normalise,
                sounds.dynamic_range,
            )
        )
        self.mask, self.speed, self.vtlp = sounds.augment, sounds.speed, sounds.vtlp
        self._check_bands()

    def varied(self, example: Mapping[str, Any], key: Sequence[int]) -> Mapping[str, Any]:
        if self.mask is None and not self.speed and not self.vtlp:
            return example
        samples = self.plain.read(example[SOUND])
        if self.speed:
            samples = resampled(samples, round(_factor(self.speed, [*key, _SPEED]) * _STEPS), _STEPS)
        features = self.plain.features(samples, _factor(self.vtlp, [*key, _WARP]) if self.vtlp else 1.0)
        return {**example, SOUND: features if self.mask is None else self.mask(features, key)}

    def spectrogram(self, sound: np.ndarray, real: int) -> np.ndarray:
        return np.ascontiguousarray(sound[:real].T[::-1])

    def _check_bands(self) -> None:
        plain, size = self.plain, fft_size(self.plain.window)
        for warp in (1 - self.vtlp, 1 + self.vtlp):
            if not warped_filters(plain.sample_rate, plain.num_mels, size, warp).any(0).all():
                raise UserError(
                    f"sounds.vtlp: where frequencies are warped by {warp:g}, some of the {plain.num_mels} bands would "
                    "have no frequency; take less, or fewer bands, or longer windows"
                )


def _factor(share: float, key: Sequence[int]) -> float:
    """A random factor around 1, by up to a share more or less."""
    return float(np.random.default_rng(list(key)).uniform(1 - share, 1 + share))
