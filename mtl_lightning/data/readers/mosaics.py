"""Images that stand side by side in one large image."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, Value

from mtl_lightning.data.readers.bad_rows import OnBadRow
from mtl_lightning.data.readers.tables import chunks
from mtl_lightning.errors import UserError, did_you_mean, shown
from mtl_lightning.inputs.image_files import decoded, png


@dataclass(frozen=True)
class Mosaic:
    """An image of which each tile is the image of a row; it becomes a column of the table.

    Args:
        file: Path of the image.
        tile: Height and width of a tile, one number for both.
        column: Name of the column that is added.
        index: Column that has the number of each row's tile, from 0, line by line; null: the row's own number.
    """

    file: str
    tile: int | tuple[int, int]
    column: str = "image"
    index: str | None = None

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise UserError(f"mosaic.tile must be at least 1, found {self.tile}")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a tile."""
        return (self.tile, self.tile) if isinstance(self.tile, int) else self.tile

    def makes(self, wanted: Collection[str], known: Collection[str]) -> bool:
        """Whether its column is wanted, not known, and can be made of the known ones."""
        return self.column in wanted and self.column not in known and self.index in (None, *known)


def with_tiles(table: Dataset, mosaic: Mosaic, path: Path, on_bad_row: OnBadRow = "error") -> Dataset:
    """A table with a column of the tiles of its rows, each the content of a file.

    Args:
        table: What a file holds.
        mosaic: Which tile is which row's.
        path: Of the image.
        on_bad_row: Where a row has no tile, ``skip`` leaves it without an image.

    Raises:
        UserError: If the image cannot be read, or has no such tile.
    """
    if mosaic.column in table.column_names:
        raise UserError(f"`mosaic.column`: the table has a column '{mosaic.column}' already; choose another name")
    image, (height, width) = decoded(path, 3), mosaic.size
    columns, number = image.width // width, (image.width // width) * (image.height // height)
    tiles: list[bytes | None] = []
    for row, value in enumerate(_indices(table, mosaic)):
        try:
            index = _index(value, mosaic.index)
            if not 0 <= index < number:
                raise UserError(f"row {row + 1} has tile {index} of {path}, which has {number}; check `mosaic.tile`")
        except UserError:
            if on_bad_row == "error":
                raise
            tiles.append(None)
            continue
        top, left = index // columns * height, index % columns * width
        tiles.append(png(image.crop((left, top, left + width, top + height))))
    return table.add_column(mosaic.column, tiles, feature=Value("binary"))


def _indices(table: Dataset, mosaic: Mosaic) -> Sequence[Any]:
    if mosaic.index is None:
        return range(len(table))
    if mosaic.index not in table.column_names:
        raise UserError(f"`mosaic.index`: no column '{mosaic.index}'; {did_you_mean(mosaic.index, table.column_names)}")
    return [value for chunk in chunks(table, mosaic.index) for value in chunk]


def _index(value: Any, column: str | None) -> int:
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise UserError(f"`mosaic.index`: column '{column}' must hold whole numbers, found {shown(value)}") from error
