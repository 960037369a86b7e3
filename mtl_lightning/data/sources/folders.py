"""Images, or recordings, in a folder for each class."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from datasets import Dataset, Features, Value
from lightning.pytorch.utilities import rank_zero_only

from mtl_lightning.data.readers.bad_rows import OnBadRow
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.data.sources.by_split import of_splits
from mtl_lightning.data.sources.splits import Split
from mtl_lightning.errors import UserError
from mtl_lightning.inputs import image_files, sound_files
from mtl_lightning.paths import expanded
from mtl_lightning.rows.columns import Inputs, Labels

_ENDINGS = {"image": image_files.ENDINGS, "sound": sound_files.ENDINGS}

_warn = rank_zero_only(logging.getLogger(__name__).warning)


class FolderSource(DataSource):
    """Images, or recordings, in a folder for each class: ``cat/1.jpg``, ``dog/2.jpg``.

    Splits are folders of their own that hold the classes' folders (``{train: train, val: valid}``), or ``split``
    divides a single one. Columns are ``image`` (or ``sound``), the path, and ``class``, the name of the folder; files
    in folders inside a class's folder belong to the class. Files of other kinds, hidden ones, and those beside the
    classes' folders are passed over.

    Args:
        labels: Column of each task, usually ``{kind: class}``.
        root: Folder that paths start from.
        folders: Folder of each split; null: ``root`` holds the classes' folders, and ``split`` divides them.
        split: How to divide a single folder; see :class:`FileSource`.
        inputs: Column of the encoder's input; null: ``{image: image}``, or ``{sound: sound}``.
        label_maps: See :class:`DataSource`.
        on_bad_row: See :class:`DataSource`.
        written_by: Command that writes the files; the error names it where the folder is not there.
        kind: What the files are, an ``image`` or a ``sound`` each.
    """

    def __init__(
        self,
        labels: Labels,
        root: str = ".",
        folders: dict[str, str] | None = None,
        split: Split | None = None,
        inputs: Inputs | None = None,
        label_maps: dict[str, str | dict[str, list[str]]] | None = None,
        on_bad_row: OnBadRow = "error",
        written_by: str = "",
        kind: Literal["image", "sound"] = "image",
    ) -> None:
        super().__init__(inputs or {kind: kind}, labels, label_maps, on_bad_row)
        self.kind = kind
        if (folders is None) != (split is not None):
            raise UserError(
                "`folders` must name a folder for each split, or `split` divide a single one, say "
                "`split: {class_path: FractionSplit, init_args: {val: 0.1, test: 0.1}}`"
            )
        self.root = expanded(root, "root")
        self.folders = {"": "."} if folders is None else of_splits("folders", folders)
        self.split = split
        self.written_by = written_by

    def check_files(self) -> None:
        for folder in self.folders.values():
            self._check(Path(self.root, folder))

    def load(self) -> dict[str, Dataset]:
        tables = {name: self._read(folder) for name, folder in self.folders.items()}
        return tables if self.split is None else self.split.divide(tables[""])

    def describe(self, split: str, row: int, line: int | None = None, word: int | None = None) -> str:
        return f"{Path(self.root, self.folders.get(split, '.'))}, {self.kind} {row + 1}"

    def _read(self, folder: str) -> Dataset:
        path, endings = Path(self.root, folder), _ENDINGS[self.kind]
        self._check(path)
        found, others = [], 0
        for label in sorted(each for each in _seen(path.iterdir()) if each.is_dir()):
            files = sorted(_files(label))
            good = [each for each in files if each.suffix.lower() in endings]
            others += len(files) - len(good)
            if not good:
                hint = self._hint(files)
                raise UserError(
                    f"{label} has no {self.kind}s ({', '.join(endings)}); remove the folder, or fill it{hint}"
                )
            found += [(str(each.relative_to(self.root)), label.name) for each in good]
        if not found:
            raise UserError(f"{path} has no folders of {self.kind}s, one for each class")
        if others:
            _warn(f"{path}: files that are no {self.kind}s were passed over: {others:,}")
        if beside := sum(each.suffix.lower() in endings and each.is_file() for each in _seen(path.iterdir())):
            _warn(
                f"{path}: {self.kind}s beside the classes' folders, which have no class, were passed over: {beside:,}"
            )
        features = Features({self.kind: Value("string"), "class": Value("string")})
        columns = dict(zip(features, zip(*found, strict=True), strict=True))
        return Dataset.from_dict({name: list(values) for name, values in columns.items()}, features)

    def _hint(self, files: Sequence[Path]) -> str:
        """What else the files may be."""
        kinds = [kind for kind, endings in _ENDINGS.items() if any(each.suffix.lower() in endings for each in files)]
        return f"; for {kinds[0]}s, set `kind: {kinds[0]}`" if kinds else ""

    def _check(self, path: Path) -> None:
        if path.is_dir():
            return
        how = f": `{self.written_by}` writes it, or name another one as `root`" if self.written_by else ""
        raise UserError(f"there is no folder {path}{how}")


def _seen(paths: Iterable[Path]) -> Iterator[Path]:
    """Those that are not hidden."""
    return (path for path in paths if not path.name.startswith("."))


def _files(folder: Path) -> Iterator[Path]:
    """With links to what is not there, which are named when they are read."""
    for path in folder.rglob("*"):
        is_file = path.is_file() or (path.is_symlink() and not path.exists())
        if is_file and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path
