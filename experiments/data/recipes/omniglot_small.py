"""Omniglot's two small background sets: handwritten characters of a few alphabets, for few-shot learning."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from experiments.data.needs import need
from experiments.data.recipe import Recipe
from experiments.data.sources import github

SIZE = 28
"""Pixels a side; the source has 105."""
_FOLDER = "python"


def convert(folder: Path) -> Iterator[tuple[str, bytes]]:
    """An archive of arrays for each of the two sets."""
    for name in ("small1", "small2"):
        with zipfile.ZipFile(folder / _FOLDER / f"images_background_{name}.zip") as archive:
            arrays = _arrays(archive)
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, **arrays)
        yield f"{name}.npz", file.getvalue()


def _arrays(archive: zipfile.ZipFile) -> dict[str, npt.NDArray[np.generic]]:
    """N images [N, 28, 28] by alphabet, character and drawer, and what each one is [N]: positions among the names.

    A path says it: ``…/ALPHABET/CHARACTER/NUMBER_DRAWER.png``.
    """
    paths = sorted(PurePosixPath(name) for name in archive.namelist() if name.endswith(".png"))
    alphabet_names, alphabet = np.unique([path.parts[-3] for path in paths], return_inverse=True)
    character_names, character = np.unique(["/".join(path.parts[-3:-1]) for path in paths], return_inverse=True)
    return {
        "images": np.stack([_image(archive.read(str(path))) for path in paths]),
        "alphabet": alphabet.astype(np.uint8),
        "character": character.astype(np.int16),
        "drawer": np.array([int(path.stem.partition("_")[2]) for path in paths], np.uint8),
        "alphabet_names": alphabet_names,
        "character_names": character_names,
    }


def _image(content: bytes) -> npt.NDArray[np.uint8]:
    """An image in grey, made small with Lanczos's filter, then inverted: ink is 255."""
    pillow = need("PIL.Image", "Pillow")
    with pillow.open(io.BytesIO(content)) as image:
        small = image.convert("L").resize((SIZE, SIZE), pillow.Resampling.LANCZOS)
    return 255 - np.asarray(small)


_FILES = {
    "images_background_small1.zip": "f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4",
    "images_background_small2.zip": "3ccaa407515a8778e5d0861875af38b17e418f301ad5bb3b5a6b65d901a41c7f",
}

RECIPE = Recipe(
    name="omniglot_small",
    about=(
        "Handwritten characters, 20 drawers of each, 28 x 28 pixels: Omniglot's two small background sets, of 136 "
        "characters in 5 alphabets and of 156 in 5 (Greek and Latin are in both)."
    ),
    licence="MIT",
    citation="Lake et al., Human-Level Concept Learning through Probabilistic Program Induction, Science 350, 2015",
    sources=(
        github(
            "brendenlake/omniglot",
            "057f034baf2ecb8530bc5710e5a23584d2a519cc",
            {f"{_FOLDER}/{path}": digest for path, digest in _FILES.items()},
        ),
    ),
    convert=convert,
    files={
        "small1.npz": "8cf327645ce1895d0bfdf8f4efcd67aec09ca3c00c8874ebb24d28ee21adf744",
        "small2.npz": "84dff2ef76d71ddcb52ce685ddb02c35902a5ff60d8f7d0eb3cda00a62498932",
    },
    size=1_183_477,
    needs={"PIL": "Pillow"},
)
