"""Recordings: files, bytes or samples, and which part of them is meant."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtl_lightning.decoded_limits import check_samples
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.base import Inputs
from mtl_lightning.inputs.numbers import numbers
from mtl_lightning.inputs.sound_files import MAX_SAMPLES, read, resampled, stored

SOUND, START, LENGTH, MASK = "sound", "sound_start", "sound_length", "sound_mask"

_SILENCE = 10 ** (-80 / 20)
"""Largest amplitude of what is called silent: 80 dB below full scale, 3 steps of 16 bits."""


_LOUD = 10.0
"""Largest amplitude that a file of fractions may have, which filters and lossy formats make of what was from -1 to 1;
whole numbers of 16 bits are larger."""


class Recordings(Inputs):
    """What all that read sounds have in common.

    An encoded sound is the path or the bytes of a file, and which part of it; its samples are decoded when a batch is
    collated, which the workers of a loader do.

    Args:
        sample_rate: Samples a second that the model reads.
        max_seconds: Of the longest part that is read, from its beginning; null: all of it.

    Attributes:
        least: Samples that the model needs at least.
    """

    inputs = (SOUND, START, LENGTH)
    files = frozenset({SOUND})
    optional = frozenset({START, LENGTH})
    least = 1

    def __init__(self, sample_rate: int, max_seconds: float | None = None) -> None:
        if sample_rate < 1 or (max_seconds is not None and max_seconds <= 0):
            raise UserError(
                f"sounds have a rate and a length above 0; found a rate of {sample_rate}, and a length of "
                f"{max_seconds} seconds"
            )
        self.sample_rate = sample_rate
        self.max_seconds = max_seconds

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

    def read(self, encoded: Mapping[str, Any]) -> np.ndarray:
        """Samples [n] at the model's rate.

        Raises:
            UserError: If its file is gone, or broken, since it was encoded.
        """
        file = encoded["bytes"] or Path(encoded["path"])
        samples, rate = read(file, int(encoded["start"]), int(encoded["length"]))
        return resampled(samples, rate, self.sample_rate)

    @abstractmethod
    def features(self, samples: np.ndarray) -> np.ndarray:
        """What the model reads of samples at its rate, normalised."""

    def num_samples(self, example: Mapping[str, Any]) -> int:
        """Samples of an encoded example at the model's rate, about."""
        sound = example[SOUND]
        return -(-int(sound["length"]) * self.sample_rate // int(sound["rate"]))

    def state(self) -> dict[str, Any]:
        return dict(vars(self))

    def samples(self, number: int) -> dict[str, list[Any]]:
        """Some raw sounds, by input."""
        draw, seconds = np.random.default_rng(0), min(self.max_seconds or 1.0, 1.0)
        shape = (number, max(2, self.least, round(seconds * self.sample_rate)))
        return {SOUND: list(draw.uniform(-0.5, 0.5, shape).astype(np.float32))}

    @abstractmethod
    def signature(self) -> Any:
        """Something small that changes with what ``encode`` gives."""

    def _encoded(self, value: Any, start: Any, length: Any) -> tuple[dict[str, Any], str]:
        """A sound, and what is odd of it."""
        if isinstance(value, tuple):
            raise UserError(f"input '{SOUND}' is one column, found {len(value)}")
        try:
            file = stored(value, self.sample_rate)
            first, number = _whole(START, start) or 0, _whole(LENGTH, length)
            samples, rate = read(file, first, number, self.max_seconds)
            self._check_length(len(samples), rate)
        except UserError as error:
            raise UserError(f"input '{SOUND}': {error}") from error
        notes = []
        if rate != self.sample_rate:
            notes.append(f"have {rate:,} samples a second, and are resampled to {self.sample_rate:,}")
        if (largest := np.abs(samples).max()) <= _SILENCE:
            notes.append("are silent")
        if largest > _LOUD:
            notes.append("have samples far beyond -1 and 1; divide whole numbers of 16 bits by 32,768")
        where = {"path": str(file.absolute()), "bytes": b""} if isinstance(file, Path) else {"path": "", "bytes": file}
        return {**where, "start": first, "length": len(samples), "rate": rate}, " and ".join(notes)

    def _check_length(self, number: int, rate: int) -> None:
        at_models_rate = number * self.sample_rate // rate
        check_samples(at_models_rate)
        if at_models_rate > MAX_SAMPLES:
            raise UserError(
                f"the sound has {number:,} samples at {rate:,} a second, which are {at_models_rate:,} at the model's "
                f"{self.sample_rate:,}, more than {MAX_SAMPLES:,}; correct its rate, or set `max_seconds`"
            )
        if number * self.sample_rate < self.least * rate:
            raise UserError(
                f"the sound has {number:,} samples at {rate:,} a second, and the model reads "
                f"{1000 * self.least / self.sample_rate:g} ms at least; leave it out"
            )


def _whole(name: str, value: Any) -> int | None:
    """A whole number, or none where it is missing."""
    if value is None or value == "" or value != value:
        return None
    found = numbers(value)
    if found.ndim or found != np.floor(found):
        raise UserError(f"`{name}` must be a whole number of samples, found {value!r}")
    return int(found)
