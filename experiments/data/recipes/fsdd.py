"""Free Spoken Digit Dataset: the digit and the speaker of the same recording, for four of its six speakers."""

import io
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from experiments.data.needs import need
from experiments.data.recipe import Recipe
from experiments.data.sources import github
from experiments.data.tables import tsv

SPEAKERS = ("george", "jackson", "nicolas", "theo")
NUMBERS = [(digit, index) for digit in range(10) for index in range(20)]
"""Digit and index of a speaker's recordings; the source has 50 of each digit."""
RATE = 8000
"""Samples a second."""
COLUMNS = ("speaker", "digit", "index", "start", "length", "split")
_CHECKSUMS = Path(__file__).with_suffix(".sha256")


def convert(folder: Path) -> Iterator[tuple[str, bytes]]:
    """A file a speaker, with the recordings end to end, and a table of where each one starts, in samples."""
    rows: list[tuple[str, ...]] = []
    for speaker in SPEAKERS:
        recordings = [_samples(folder / f"recordings/{digit}_{speaker}_{index}.wav") for digit, index in NUMBERS]
        start = 0
        for (digit, index), samples in zip(NUMBERS, recordings, strict=True):
            rows.append((speaker, *map(str, (digit, index, start, len(samples))), split(index)))
            start += len(samples)
        yield f"{speaker}.flac", _flac(np.concatenate(recordings))
    yield "index.tsv", tsv(COLUMNS, rows)


def split(index: int) -> str:
    """The split of the recordings with an index: 0 to 4 are the official test, the two after them our dev."""
    return "test" if index < 5 else "dev" if index < 7 else "train"


def _samples(path: Path) -> npt.NDArray[np.int16]:
    with wave.open(str(path)) as file:
        form = file.getnchannels(), file.getsampwidth(), file.getframerate()
        if form != (1, 2, RATE):
            raise ValueError(f"{path.name}: expected (channels, bytes a sample, rate) (1, 2, {RATE}), found {form}")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)


def _flac(samples: npt.NDArray[np.int16]) -> bytes:
    file = io.BytesIO()
    need("soundfile").write(file, samples, RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()


RECIPE = Recipe(
    name="fsdd",
    about="Spoken digits at 8 kHz: digit (10) and speaker (4) of the same recording; 20 recordings of each pair.",
    licence="CC BY-SA 4.0",
    citation="Jackson et al., Free Spoken Digit Dataset, 2018, doi.org/10.5281/zenodo.1342401",
    sources=(
        github(
            "Jakobovski/free-spoken-digit-dataset",
            "26eb9aaf76e81b692f806f9140c2d2777410d7a1",
            {path: digest for digest, path in map(str.split, _CHECKSUMS.read_text("utf-8").splitlines())},
        ),
    ),
    convert=convert,
    files={
        "george.flac": "39eaa4fba27f06f7f3bef48c7fdd32473f432cf3637b31d371448d57c7f26836",
        "jackson.flac": "42caf048cf654cfa811d61242b89467de926de949b51efd5277ddd89d4b9d2fd",
        "nicolas.flac": "60b97ab1a7b8998b2d983325217a8285071c1fd11ef8ef351ac2cc38bfa4c070",
        "theo.flac": "6a6cdf1705ef4454944c10b4bf5798a032748cb921dfdd5190321a99ef397730",
        "index.tsv": "75b5f769ad832cbfa1f86b1224bc0eea90b75405b580885b8ae7a0b61a9c5ae2",
    },
    size=2_885_329,
    needs={"soundfile": "soundfile"},
)
