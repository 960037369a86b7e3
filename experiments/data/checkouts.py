"""Finds the files of a source in a folder, and makes sure that they are those of its revision."""

import tarfile
from pathlib import Path

from experiments.data.contents import sha256
from experiments.data.sources import Source
from mtl_lightning.errors import UserError
from mtl_lightning.writing import writing


def checkout(source: Source, folder: Path, unpacked: Path) -> Path:
    """The folder that the source's paths start from: the one given, or the one in it that has the source's name.

    Args:
        source: What is looked for.
        folder: A checkout, a folder of checkouts, or one that has the source's archive.
        unpacked: Folder to unpack an archive into.

    Raises:
        UserError: If a file is not there, or is that of another revision.
    """
    if not folder.is_dir():
        raise UserError(f"--from {folder}: there is no such folder; make it by `{source.obtain}`")
    root = _root(source, folder, unpacked)
    for path, expected in source.files.items():
        if not (root / path).is_file():
            raise UserError(
                f"--from {folder}: no file {path} of {source.title} is in it, or in a folder {source.name} there; "
                f"make a checkout by `{source.obtain}`"
            )
        _check(source, root / path, expected)
    return root


def unpack(source: Source, archive: Path, folder: Path) -> None:
    """Takes the source's files out of its archive.

    Args:
        source: Which is in an archive.
        archive: Of which the checksum is right.
        folder: That the source's paths will start from.

    Raises:
        UserError: If they cannot be written.
    """
    with tarfile.open(archive) as content:
        members = {member.name.partition("/")[2]: member for member in content.getmembers() if member.isfile()}
        for path in source.files:
            file = content.extractfile(members[path])
            assert file is not None  # isfile
            with writing(folder / path):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(file.read())


def _root(source: Source, folder: Path, unpacked: Path) -> Path:
    first = next(iter(source.files))
    for root in (folder, folder / source.name):
        if (root / first).is_file():
            return root
    if source.archive and (archive := folder / source.archive[0]).is_file():
        _check(source, archive, source.archive[1])
        unpack(source, archive, unpacked / source.name)
        return unpacked / source.name
    return folder


def _check(source: Source, file: Path, expected: str) -> None:
    if (found := sha256(file.read_bytes())) != expected:
        raise UserError(
            f"{file} differs from that of {source.title} at {source.revision} (SHA-256 {found[:12]}…, expected "
            f"{expected[:12]}…); make a checkout of that revision by `{source.obtain}`"
        )
