"""Whether the bytes of a checkpoint are those that were written."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import IO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from mtl_lightning.errors import shown

_SIGNATURE = b"PK\x03\x04"
_LOCAL = struct.Struct("<4s22xHH")
"""What stands in front of a record: signature, lengths of its name and of the field behind that."""

_FOLDER = 0x10
"""Attribute of a record that torch reads nothing of: the tensor would be what memory holds."""

_CHUNK = 1 << 20
_MISREAD = (BadZipFile, ValueError, NotImplementedError, EOFError, OverflowError, struct.error)


class ArchiveError(Exception):
    """Says what is wrong with a file that should be a checkpoint."""


def check_archive(file: IO[bytes]) -> None:
    """Makes sure that a file is an archive of ``torch.save``, whole and unchanged.

    torch does not compare records with the CRC-32 that the archive keeps of each: a flipped bit would be another
    parameter. Each record is read once more for that, which costs a third of what loading does (measured: .35 of it at
    100 MB, .1 to .5 at 1 GB, from memory; 5 GB/s).

    What ``torch.save`` never writes is refused before anything is unpacked: compressed records, which could be larger
    than memory, records that share bytes, two of one name.

    Args:
        file: Open, at its start.

    Raises:
        ArchiveError: If it is not.
    """
    start = file.read(len(_SIGNATURE))
    if start != _SIGNATURE:
        raise ArchiveError(_foreign(start))
    try:
        with ZipFile(file) as archive:
            records = sorted(archive.infolist(), key=lambda record: record.header_offset)
            _check_kind(records)
            for record, first, last in _extents(file, records, archive.start_dir):
                if _crc(file, first, last) != record.CRC:
                    raise ArchiveError(f"damaged: {shown(record.filename)} is not what was written")
    except _MISREAD as error:
        raise ArchiveError("cut off or damaged: no table of contents that fits") from error


def _foreign(start: bytes) -> str:
    if not start:
        return "it is empty"
    old = ", or one of torch before 1.6" if start[:1] == b"\x80" else ""
    return f"it is not an archive of torch.save{old}"


def _check_kind(records: Sequence[ZipInfo]) -> None:
    names = {record.filename for record in records}
    if len(names) != len(records):
        raise ArchiveError("damaged: two of its records have the same name")
    if "constants.pkl" in {name.rpartition("/")[2] for name in names}:
        raise ArchiveError("it is a model of TorchScript")
    if not any(name.endswith("/data.pkl") for name in names):
        raise ArchiveError("it is not an archive of torch.save, but one of something else")
    for record in records:
        if record.compress_type != ZIP_STORED or record.compress_size != record.file_size:
            raise ArchiveError(f"{shown(record.filename)} is compressed, which torch.save never does")
        if record.external_attr & _FOLDER:
            raise ArchiveError(f"damaged: {shown(record.filename)} would be a folder")


def _extents(file: IO[bytes], records: Sequence[ZipInfo], end: int) -> Iterator[tuple[ZipInfo, int, int]]:
    """Where the bytes of each record begin and end; the records are in order."""
    limits = [*(record.header_offset for record in records[1:]), end]
    for record, limit in zip(records, limits, strict=True):
        file.seek(record.header_offset)
        signature, name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
        first = record.header_offset + _LOCAL.size + name + extra
        if signature != _SIGNATURE or file.read(name) != record.orig_filename.encode():
            raise ArchiveError(f"damaged: what stands before {shown(record.filename)} is not what was written")
        if first + record.file_size > limit:
            raise ArchiveError(f"cut off or damaged: {shown(record.filename)} runs into what follows it")
        yield record, first, first + record.file_size


def _crc(file: IO[bytes], first: int, last: int) -> int:
    file.seek(first)
    crc, left = 0, last - first
    while left:
        chunk = file.read(min(left, _CHUNK))
        if not chunk:
            raise ArchiveError("it is cut off")
        crc, left = zlib.crc32(chunk, crc), left - len(chunk)
    return crc
