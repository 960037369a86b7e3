"""Data sets with a file for each example and column: arrays of NumPy, or images."""

from pathlib import Path

from datasets import Dataset

from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.data.sources.by_split import of_splits
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.inputs.image_files import ARRAYS, ENDINGS
from mtl_lightning.paths import expanded
from mtl_lightning.rows.columns import Inputs, Labels

_ENDINGS = (ARRAYS, *ENDINGS)


class NpyFolderSource(DataSource):
    """Examples in folders ``SPLIT/COLUMN/NAME.npy``: a column is a folder, an example the files of one name in all.

    Files may be images as well: ``NAME.jpg`` in one folder, ``NAME.png`` in another.

    NYUv2 and Cityscapes are passed around so, preprocessed (``train/image/0.npy``, ``train/depth/0.npy``, ...). An
    example without a file in the folder of a label has no such label. Examples are in the order of their names, numbers
    by their size.

    Args:
        folders: Folder of each split; one folder may serve two.
        inputs: See :class:`DataSource`; columns are names of folders.
        labels: See :class:`DataSource`; columns are names of folders.
        root: Folder that paths start from.
        written_by: Command or page that the data comes from; the error names it where the folder is not there.
    """

    def __init__(
        self, folders: dict[str, str], inputs: Inputs, labels: Labels, root: str = ".", written_by: str = ""
    ) -> None:
        super().__init__(inputs, labels)
        self.root, self.folders = expanded(root, "root"), of_splits("folders", folders)
        self.written_by = written_by

    def check_files(self) -> None:
        for folder in self.folders.values():
            self._existing(Path(self.root, folder))

    def load(self) -> dict[str, Dataset]:
        return {split: self._table(Path(self.root, folder)) for split, folder in self.folders.items()}

    def describe(self, split: str, row: int, line: int | None = None, word: int | None = None) -> str:
        if split not in self.folders:
            return super().describe(split, row)
        folder = Path(self.root, self.folders[split])
        return f"{folder}, example {self._names(folder)[row]}"

    def _table(self, folder: Path) -> Dataset:
        self._existing(folder)
        names, columns = self._names(folder), dict.fromkeys([*self.input_columns, *self.label_columns])
        there = {column: _files(folder / column) for column in columns if (folder / column).is_dir()}
        optional = set(self.label_columns) - set(self.input_columns)
        return Dataset.from_dict(
            {
                column: [
                    None if column in optional and name not in files else str(files.get(name, folder / column / name))
                    for name in names
                ]
                for column, files in there.items()
            }
        )

    def _names(self, folder: Path) -> list[str]:
        """Of the examples: those of the first input's files."""
        first = folder / self.input_columns[0]
        found = list(_files(first))
        if not found:
            beside = sorted(path.name for path in folder.iterdir() if path.is_dir())
            hint = did_you_mean(first.name, beside) if beside else f"{folder} has no folders"
            raise UserError(f"{first} holds no {ARRAYS} files and no images; {hint}")
        return sorted(found, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))

    def _existing(self, folder: Path) -> None:
        if not folder.is_dir():
            how = f"; it comes from {self.written_by}" if self.written_by else ""
            raise UserError(f"no folder {folder}{how}: name another one as `root`")


def _files(folder: Path) -> dict[str, Path]:
    """Arrays and images by their names without the ending."""
    paths = folder.iterdir() if folder.is_dir() else ()
    return {path.stem: path.absolute() for path in sorted(paths) if path.suffix.lower() in _ENDINGS}
