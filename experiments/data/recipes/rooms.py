"""Rooms: rendered scenes with a class, a depth and a normal for each pixel."""

import io
from collections.abc import Iterator

import numpy as np

from experiments.data.needs import need
from experiments.data.recipe import Recipe
from experiments.data.scenes import CLASSES, scene

SIZES = {"train": 240, "dev": 40, "test": 80}
_UNIT = 0.004
"""Metres of one step of depth."""
_STEPS = 63
"""Of the length of a normal."""
_QUALITY = 92


def convert(sizes: dict[str, int] | None = None) -> Iterator[tuple[str, bytes]]:
    """An archive for each split: JPEGs one after another, classes, depth and normals as integers."""
    for number, (split, size) in enumerate((sizes or SIZES).items()):
        views = [scene(np.random.default_rng([number, index])) for index in range(size)]
        jpegs = [_jpeg(view.rgb) for view in views]
        file = io.BytesIO()
        np.savez_compressed(
            file,
            rgb_jpeg=np.frombuffer(b"".join(jpegs), np.uint8),
            rgb_offsets=np.cumsum([0, *map(len, jpegs)]).astype(np.int32),
            seg=np.stack([view.seg for view in views]),
            depth_4mm=np.stack([np.floor(view.depth / _UNIT + 0.5).astype(np.uint16) for view in views]),
            normal=np.stack([np.floor(view.normal * _STEPS + 0.5).astype(np.int8) for view in views]),
            class_names=np.array(CLASSES),
        )
        yield f"{split}.npz", file.getvalue()


def _jpeg(rgb: np.typing.NDArray[np.uint8]) -> bytes:
    pillow, file = need("PIL.Image", "Pillow"), io.BytesIO()
    pillow.fromarray(rgb).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


RECIPE = Recipe(
    name="rooms",
    about=(
        "360 rendered rooms, 72 x 96 pixels, with spheres, boxes, cylinders, cones and tables: eight classes, depth "
        "and surface normals for each pixel, as NYUv2 has them."
    ),
    licence="none, it is rendered here",
    citation="mtl_lightning",
    sources=(),
    convert=convert,
    files={
        "train.npz": "36d00125d1f9f332a51a8ac0900446be6a30a713192fbc5a0b07793a18286872",
        "dev.npz": "64819f280ac17a6d3693f35acda178ef90dc6e84c28c934009cb10de6f99748b",
        "test.npz": "9902195b9364b6e2cecfb41f53d1bf5fd7a54ea882621b03423557b1844757d8",
    },
    size=2_265_946,
    needs={"PIL": "Pillow"},
)
