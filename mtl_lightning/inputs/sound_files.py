"""Reads sound files: WAV, FLAC, OGG and what else libsndfile reads become samples of one channel."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from mtl_lightning.decoded_limits import check_samples
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.file_values import check_path, content_of, fault_of, hint_for
from mtl_lightning.inputs.numbers import numbers

MAX_SAMPLES = 100_000_000
"""Of all channels of the longest part that is read: 400 megabytes."""

_LOUDEST = 1e9
"""No whole numbers of 16 or 24 bits in a file of fractions are as large; the power of larger ones would be infinite."""

ENDINGS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".rf64")
"""Of files that libsndfile reads and that tell their rate and form."""

_UNKNOWN = 2**32 - 256
"""Programs that write to a pipe do not know how long a file will be, and give about the largest size there is."""

_ARRAY, _RATE = "array", "sampling_rate"
"""What `datasets` calls samples and their rate."""


def library() -> Any:
    """The module ``soundfile``.

    Raises:
        UserError: If it is not installed.
    """
    try:
        import soundfile
    except (ImportError, OSError) as error:  # the second: it finds no libsndfile
        raise UserError("sound is read by the package soundfile; pip install 'mtl-lightning[audio]'") from error
    return soundfile


def stored(value: Any, rate: int) -> Path | bytes:
    """A raw value as a path, or as what a sound file holds.

    Args:
        value: A path; the bytes of a file, as such or written in base64; an object with ``bytes`` or ``path``, or with
            ``array`` and ``sampling_rate``, as `datasets` has it; or samples from -1 to 1 [n], or [channels, n]. A text
            is no path, so that a request to a server reads no file.
        rate: Of samples that come without one.

    Raises:
        UserError: If it is something else.
    """
    if isinstance(value, dict) and value.get(_ARRAY) is not None:
        return _wav(value[_ARRAY], value.get(_RATE) or rate)
    if isinstance(value, dict) and {"bytes", "path"} & set(value):
        value = value.get("path") if value.get("bytes") is None else value["bytes"]
    if isinstance(value, Path | bytes):
        return value
    if isinstance(value, str):
        return content_of(value, "a sound")
    if value is None:
        raise UserError("the sound is missing: null")
    return _wav(value, rate)


def read(sound: Path | bytes, start: int = 0, length: int | None = None, at_most: float | None = None) -> Any:
    """Samples [n] as float32, the mean over channels, and their number a second.

    What is outside the part is not decoded.

    Args:
        sound: The path of a file, or what it holds.
        start: Of the part that is read, in samples.
        length: Of the part, in samples; null: to the end.
        at_most: Seconds of the part that are read; null: all.

    Raises:
        UserError: If there is no such file, it holds no sound or a broken one, or has no such part.
    """
    name = f"sound {sound}" if isinstance(sound, Path) else "the sound"
    if isinstance(sound, Path):
        check_path(sound)
        if not sound.exists():
            raise UserError(f"no file {sound}; {hint_for(sound)}")
    module = library()
    _check_whole(name, sound)
    try:
        with module.SoundFile(sound if isinstance(sound, Path) else BytesIO(sound)) as file:
            rate = int(file.samplerate)
            number = _part(name, file.frames, start, length)
            number = number if at_most is None else max(1, min(number, round(at_most * rate)))
            _check_size(name, number, file.channels)
            file.seek(start)
            samples = file.read(number, dtype="float32", always_2d=True)
    except (module.LibsndfileError, OSError, TypeError, RuntimeError) as error:
        if fault := fault_of(sound):
            raise UserError(f"{name} {fault}") from error
        said = " ".join(str(getattr(error, "error_string", error)).split())[:100].rstrip(".")
        raise UserError(f"{name} cannot be read: {said}; save it as WAV or FLAC, or get it again") from error
    if len(samples) < number:
        raise UserError(f"{name} is cut off: it has {len(samples):,} of {number:,} samples; get it again")
    if not np.isfinite(samples).all():
        bad = int(np.flatnonzero(~np.isfinite(samples).all(1))[0])
        raise UserError(f"{name} has samples that are no finite numbers, the first at {start + bad:,}; mend it")
    if (largest := np.abs(samples).max()) > _LOUDEST:
        raise UserError(f"{name} has samples of {largest:.3g}, which should be from -1 to 1; scale them")
    return samples.mean(1), rate


def resampled(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Samples [n] at another rate, about [n * wanted / rate], by libsoxr.

    Raises:
        UserError: If soxr is not installed.
    """
    if rate == wanted:
        return samples
    try:
        import soxr
    except ImportError as error:
        raise UserError("sound is resampled by the package soxr; pip install 'mtl-lightning[audio]'") from error
    return np.asarray(soxr.resample(samples, rate, wanted), np.float32)


def _check_whole(name: str, sound: Path | bytes) -> None:
    """Refuses a WAV file that says it is longer than it is, which libsndfile reads as a shorter one."""
    try:
        with sound.open("rb") if isinstance(sound, Path) else BytesIO(sound) as file:
            kind, said = file.read(4), int.from_bytes(file.read(4), "little")
            size = file.seek(0, 2)
    except OSError:
        return  # it is said when the file is read
    if kind == b"RIFF" and size < said + 8 and said < _UNKNOWN:
        raise UserError(f"{name} is cut off: it has {size:,} of {said + 8:,} bytes; get it again")


def _part(name: str, frames: int, start: int, length: int | None) -> int:
    """The length of a part, which there is."""
    if frames < 1:
        raise UserError(f"{name} has no samples; leave it out")
    number = frames - start if length is None else length
    if start < 0 or start >= frames or number > frames - start:
        raise UserError(
            f"{name} has {frames:,} samples, and no part of {max(number, 0):,} from {start:,} on; "
            "correct `sound_start` and `sound_length`, which count samples of the file"
        )
    if number < 1:
        raise UserError(f"{name}: a part has at least one sample, found a `sound_length` of {number}; leave it out")
    return number


def _check_size(name: str, number: int, channels: int) -> None:
    check_samples(number * channels)
    if number * channels > MAX_SAMPLES:
        raise UserError(
            f"{name} has {number * channels:,} samples, more than {MAX_SAMPLES:,}; set `max_seconds`, or give parts of "
            "it by `sound_start` and `sound_length`"
        )


def _wav(values: Any, rate: Any) -> bytes:
    """Samples as the content of a file, without loss."""
    samples = numbers(values)
    if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
        samples = samples.T
    if samples.ndim not in (1, 2) or samples.size == 0:
        raise UserError(f"samples of a sound must be [n], or [channels, n], found {samples.shape}")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 1 <= rate < 2**31:
        raise UserError(f"`{_RATE}` must be a number of samples a second, found {rate!r}")
    file = BytesIO()
    library().write(file, samples.astype(np.float32), int(rate), format="WAV", subtype="FLOAT")
    return file.getvalue()
