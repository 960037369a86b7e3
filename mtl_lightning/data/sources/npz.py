"""Data sets in archives of NumPy arrays."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from mtl_lightning.array_files import packed
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.data.sources.by_split import check_splits, of_splits
from mtl_lightning.data.sources.paths import existing_file
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.image_files import decoded, pillow
from mtl_lightning.paths import expanded
from mtl_lightning.rows.columns import Inputs, Labels

_JPEG, _OFFSETS = "_jpeg", "_offsets"


class NpzSource(DataSource):
    """Examples from ``.npz`` archives, one a split: each array that begins with the number of examples is a column.

    Of arrays that are neither inputs nor labels, those with one value an example are columns, such as groups.

    Images may be JPEG files, all bytes one after another in the array ``NAME_jpeg``, and where each begins, and the
    last one ends, in ``NAME_offsets`` [N + 1]: they are the column ``NAME``, arrays [3, H, W] from 0 to 1.

    Args:
        files: Path of each split's archive.
        inputs: See :class:`DataSource`.
        labels: See :class:`DataSource`.
        root: Folder that paths start from.
        scale: By column, what its numbers are multiplied by: the unit in which integers are written, say.
        size: Height and width to which all that has pixels is resized: JPEGs by averaging, other arrays by the nearest
            pixel; null: as they are.
        written_by: Command that writes the files; the error names it where their folder is not there.
        names: By column, the array [C] of the names that its numbers, 0 to C - 1, stand for.
        only: By split and column, the values of the examples that are kept: ``{test: {alphabet: [Sanskrit]}}``.
    """

    def __init__(
        self,
        files: dict[str, str],
        inputs: Inputs,
        labels: Labels,
        root: str = ".",
        scale: dict[str, float] | None = None,
        size: tuple[int, int] | None = None,
        written_by: str = "",
        names: dict[str, str] | None = None,
        only: dict[str, dict[str, list[str | int | float]]] | None = None,
    ) -> None:
        super().__init__(inputs, labels)
        if size is not None and min(size) < 1:
            raise UserError(f"`size` must be a height and a width of at least 1, found {list(size)}")
        self.root, self.files = expanded(root, "root"), of_splits("files", files)
        self.scale, self.size, self.written_by = dict(scale or {}), size, written_by
        self.names = dict(names or {})
        self.only = dict(only or {})
        check_splits("only", self.only)

    def check_files(self) -> None:
        for file in self.files.values():
            existing_file(Path(self.root, file), self.written_by)

    def load(self) -> dict[str, Dataset]:
        return {split: self._read(file, self.only.get(split, {})) for split, file in self.files.items()}

    def describe(self, split: str, row: int, line: int | None = None, word: int | None = None) -> str:
        file = self.files.get(split)
        return f"{Path(self.root, file)}, example {row + 1}" if file else super().describe(split, row)

    def _read(self, file: str, only: Mapping[str, Sequence[str | int | float]]) -> Dataset:
        path = existing_file(Path(self.root, file), self.written_by)
        names = dict.fromkeys([*self.input_columns, *self.label_columns, *self.names])
        try:
            with np.load(path, allow_pickle=False) as archive:
                found = {name: self._column(archive, name, path) for name in names if _has(archive, name)}
                number = len(next(iter(found.values()), ()))
                others = [name for name in archive.files if name not in found and archive[name].shape == (number,)]
                found |= {name: self._column(archive, name, path) for name in others}  # groups of examples, say
                kept = self._kept(archive, only, path)
                return Dataset.from_dict(
                    found if kept is None else {name: [values[i] for i in kept] for name, values in found.items()}
                )
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} cannot be read: {error}; write it with numpy.savez") from error

    def _column(self, archive: Mapping[str, np.ndarray], name: str, path: Path) -> list[Any]:
        if name not in archive:
            ends, content = archive[name + _OFFSETS], archive[name + _JPEG].tobytes()
            parts = zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
            return [packed(_pixels(content[start:end], self.size, path)) for start, end in parts]
        values = self._named(archive, name, path)
        is_number = values.dtype.kind in "biuf"
        if is_number and name in self.scale:
            values = values * np.float32(self.scale[name])
        if not is_number or values.ndim < 3:
            return list(values.tolist())
        return [packed(value) for value in (values if self.size is None else _nearest(values, self.size))]

    def _named(self, archive: Mapping[str, np.ndarray], name: str, path: Path) -> np.ndarray:
        """A column, with names in the place of numbers."""
        if name not in self.names:
            return archive[name]
        if self.names[name] not in archive:
            raise UserError(f"`names.{name}`: {path} has no array '{self.names[name]}'")
        numbers, words = archive[name], archive[self.names[name]]
        if numbers.dtype.kind not in "iu" or (len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(words)):
            raise UserError(f"`names.{name}`: {path} has values other than the numbers 0 to {len(words) - 1}")
        found: np.ndarray = words[numbers]
        return found

    def _kept(
        self, archive: Mapping[str, np.ndarray], only: Mapping[str, Sequence[str | int | float]], path: Path
    ) -> np.ndarray | None:
        """Numbers of the examples with the values asked for; null: all."""
        kept = None
        for name, wanted in only.items():
            if name not in archive:
                raise UserError(f"`only`: {path} has no array '{name}'")
            values = self._named(archive, name, path)
            for value in wanted:
                if not np.isin(str(value), values.astype(str)):
                    some = ", ".join(map(str, np.unique(values)[:10]))
                    raise UserError(f"`only.{name}`: no example of {path} has {value!r}; it has {some}")
            is_wanted = np.isin(values.astype(str), [str(value) for value in wanted])
            kept = is_wanted if kept is None else kept & is_wanted
        return None if kept is None else np.flatnonzero(kept)


def _has(archive: Mapping[str, np.ndarray], name: str) -> bool:
    return name in archive or (name + _JPEG in archive and name + _OFFSETS in archive)


def _nearest(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Arrays [N, H, W, ...] of another size: the pixel in which the middle of each new one lies."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, values.shape[1:3], strict=True)
    )
    return values[:, rows[:, None], columns]


def _pixels(content: bytes, size: tuple[int, int] | None, path: Path) -> np.ndarray:
    """A JPEG [3, H, W], from 0 to 1."""
    try:
        image = decoded(content, 3)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if size is not None:
        image = image.resize((size[1], size[0]), pillow().Resampling.BOX)
    return np.moveaxis(np.asarray(image, np.float32) / np.float32(255), -1, 0)
