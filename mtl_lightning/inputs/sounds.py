"""Sounds: from files, bytes or samples to spectrograms."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.base import Inputs
from mtl_lightning.inputs.numbers import numbers
from mtl_lightning.inputs.sound_files import read, resampled, stored
from mtl_lightning.inputs.spectrograms import fft_size, log_mel, mel_filters, num_frames

SOUND, START, LENGTH, MASK = "sound", "sound_start", "sound_length", "sound_mask"

Normalise = Literal["utterance", "bands", "none"]
"""To mean 0 and deviation 1: all numbers of an example together, each band of its own, or not at all."""

_LEAST_VARIANCE = np.float32(1e-6)
_SILENCE = 10 ** (-80 / 20)
"""Largest amplitude of what is called silent: 80 dB below full scale, 3 steps of 16 bits."""


class SoundInputs(Inputs):
    """The plain part of :class:`.SoundProcessor`.

    An encoded sound is the path or the bytes of a file, and which part of it; its samples are decoded when a batch is
    collated, which the workers of a loader do.

    Args:
        sample_rate: Samples a second that the model reads.
        num_mels: Bands of its spectrograms.
        window: Of a frame, in samples.
        hop: From frame to frame, in samples.
        max_seconds: See :class:`.Sounds`.
        normalise: See there.

    Raises:
        UserError: If there can be no such spectrograms.
    """

    inputs = (SOUND, START, LENGTH)
    files = frozenset({SOUND})

    def __init__(
        self,
        sample_rate: int,
        num_mels: int = 64,
        window: int = 400,
        hop: int = 160,
        max_seconds: float | None = None,
        normalise: Normalise = "utterance",
    ) -> None:
        if sample_rate < 1 or not 1 <= hop <= window or (max_seconds is not None and max_seconds <= 0):
            raise UserError(
                f"sounds have a rate and a length above 0, and windows no shorter than hops; found a rate of "
                f"{sample_rate}, a length of {max_seconds} seconds, windows of {window} samples and hops of {hop}"
            )
        if num_mels < 1 or not mel_filters(sample_rate, num_mels, fft_size(window)).any(0).all():
            raise UserError(
                f"sounds.num_mels: {num_mels} bands are too many for windows of {window} samples, so that some would "
                "have no frequency; take fewer, or longer windows"
            )
        self.sample_rate = sample_rate
        self.num_mels = num_mels
        self.window = window
        self.hop = hop
        self.max_seconds = max_seconds
        self.normalise = normalise

    def check(self, inputs: Collection[str]) -> None:
        if SOUND not in inputs:
            raise UserError(
                f"`{SOUND}` is missing: the column of files that {' and '.join(sorted(inputs))} are parts of"
            )

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """``sound``, each with its file and part, and ``note``, of what is odd."""
        sounds = columns[SOUND]
        starts, lengths = (columns.get(name, [None] * len(sounds)) for name in (START, LENGTH))
        found = [self._encoded(*each) for each in zip(sounds, starts, lengths, strict=True)]
        return {SOUND: [sound for sound, _ in found], "note": [note for _, note in found]}

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

    def read(self, encoded: Mapping[str, Any]) -> np.ndarray:
        """Samples [n] at the model's rate.

        Raises:
            UserError: If its file is gone, or broken, since it was encoded.
        """
        file = encoded["bytes"] or Path(encoded["path"])
        samples, rate = read(file, int(encoded["start"]), int(encoded["length"]))
        return resampled(samples, rate, self.sample_rate)

    def features(self, samples: np.ndarray) -> np.ndarray:
        """What the model reads of samples at its rate [T, num_mels], normalised."""
        found = log_mel(samples, self.sample_rate, self.num_mels, self.window, self.hop)
        if self.normalise == "none":
            return found
        axis = 0 if self.normalise == "bands" else None
        normalised: np.ndarray = (found - found.mean(axis)) / np.sqrt(found.var(axis) + _LEAST_VARIANCE)
        return normalised

    def length(self, example: Mapping[str, Any]) -> int:
        """Frames of the spectrogram."""
        sound = example[SOUND]
        samples = -(-int(sound["length"]) * self.sample_rate // int(sound["rate"]))
        return num_frames(samples, self.window, self.hop)

    def state(self) -> dict[str, Any]:
        return dict(vars(self))

    def samples(self, number: int) -> dict[str, list[Any]]:
        """Some raw sounds, by input."""
        draw, seconds = np.random.default_rng(0), min(self.max_seconds or 1.0, 1.0)
        shape = (number, max(2, round(seconds * self.sample_rate)))
        return {SOUND: list(draw.uniform(-0.5, 0.5, shape).astype(np.float32))}

    def signature(self) -> Any:
        """Something small that changes with what ``encode`` gives."""
        return [SOUND, self.sample_rate, self.window, self.hop, self.max_seconds]

    def _encoded(self, value: Any, start: Any, length: Any) -> tuple[dict[str, Any], str]:
        """A sound, and what is odd of it."""
        if isinstance(value, tuple):
            raise UserError(f"input '{SOUND}' is one column, found {len(value)}")
        try:
            file = stored(value, self.sample_rate)
            first, number = _whole(START, start) or 0, _whole(LENGTH, length)
            samples, rate = read(file, first, number, self.max_seconds)
        except UserError as error:
            raise UserError(f"input '{SOUND}': {error}") from error
        notes = []
        if rate != self.sample_rate:
            notes.append(f"have {rate:,} samples a second, and are resampled to {self.sample_rate:,}")
        if np.abs(samples).max() <= _SILENCE:
            notes.append("are silent")
        where = {"path": str(file.absolute()), "bytes": b""} if isinstance(file, Path) else {"path": "", "bytes": file}
        return {**where, "start": first, "length": len(samples), "rate": rate}, " and ".join(notes)


def _whole(name: str, value: Any) -> int | None:
    """A whole number, or none where it is missing."""
    if value is None or value == "" or value != value:
        return None
    found = numbers(value)
    if found.ndim or found != np.floor(found):
        raise UserError(f"`{name}` must be a whole number of samples, found {value!r}")
    return int(found)
