"""Data of these experiments: characters with their turned twins, and sine waves."""

import os
from pathlib import Path

import numpy as np

SOURCE = Path(os.environ.get("MTL_DATA", "data"), "omniglot_small")
TURNS = 4
_NEW = ("Japanese_(katakana)", "Sanskrit", "Tagalog")
"""Alphabets of small2 that small1 has not."""
_FOR_CHOOSING = "Early_Aramaic"


def omniglot(folder: Path, choosing: bool = False) -> None:
    """Writes ``train.npz``, where each character of small1 turned by 90, 180 and 270 degrees is another character, and
    ``test.npz``, the characters of the alphabets that are in small2 alone, as they are.

    Vinyals et al. (NeurIPS 2016), section 4.1.1, augment the training characters in this way.

    Args:
        folder: Where to.
        choosing: Whether ``test.npz`` is an alphabet of small1, which training has not then: settings are chosen by it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images, names, alphabets = _characters("small1")
    held_out = alphabets == _FOR_CHOOSING if choosing else np.zeros(len(images), bool)
    turned = [np.rot90(images[~held_out], turn, axes=(1, 2)) for turn in range(TURNS)]
    twins = np.concatenate([np.char.add(names[~held_out], f" turned {turn}") for turn in range(TURNS)])
    np.savez_compressed(folder / "train.npz", images=np.concatenate(turned), character=twins)
    if not choosing:
        images, names, alphabets = _characters("small2")
        held_out = np.isin(alphabets, _NEW)
    np.savez_compressed(folder / "test.npz", images=images[held_out], character=names[held_out])


def _characters(part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images [N, H, H], and the names of their characters and alphabets [N]."""
    with np.load(SOURCE / f"{part}.npz") as found:
        images, names = found["images"], found["character_names"][found["character"]]
        alphabets = found["alphabet_names"][found["alphabet"]]
    return images, names, alphabets


def sinusoids(folder: Path, waves: dict[str, int], points: int) -> None:
    """Writes ``train.npz``, ``val.npz`` and ``test.npz``: points of sine waves of random amplitude and phase.

    Amplitudes are uniform in [0.1, 5], phases in [0, π], and x in [-5, 5], as in Finn et al. (ICML 2017), section 5.1.

    Args:
        folder: Where to.
        waves: Their number, by split.
        points: Of each wave.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, (split, size) in enumerate(waves.items()):
        random = np.random.default_rng(number)
        amplitude, phase = random.uniform(0.1, 5, (size, 1)), random.uniform(0, np.pi, (size, 1))
        x = random.uniform(-5, 5, (size, points))
        y = amplitude * np.sin(x - phase)
        wave = np.repeat(np.arange(size), points)
        np.savez(
            folder / f"{split}.npz", x=x.reshape(-1, 1).astype(np.float32), y=y.ravel().astype(np.float32), wave=wave
        )
