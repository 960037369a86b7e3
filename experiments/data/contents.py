"""What a file holds, however it is compressed, and how it is compressed here."""

import gzip
import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import PurePath

from experiments.data.needs import need

DAMAGED = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What is raised where a file does not hold what its name says; of a FLAC file, soundfile's ``RuntimeError``."""


def sha256(data: bytes) -> str:
    """The checksum of some bytes, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def content_sha256(name: str, data: bytes) -> str:
    """The checksum of what a file holds, which does not depend on the release of the library that compressed it.

    Of ``.gz`` that is the text inside, of ``.npz`` each array's name and file, of ``.flac`` the samples, 16 bits each.

    Raises:
        OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error: If the file is damaged (:data:`DAMAGED`).
        UserError: If it takes a library to know which is not installed.

    >>> content_sha256("a.gz", gzip.compress(b"text", 1)) == content_sha256("a", b"text")
    True
    """
    return sha256(_INSIDE.get(PurePath(name).suffix, bytes)(data))


def _arrays(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return b"".join(name.encode() + archive.read(name) for name in archive.namelist())


def _samples(data: bytes) -> bytes:
    samples, _ = need("soundfile").read(io.BytesIO(data), dtype="int16")
    content: bytes = samples.astype("<i2").tobytes()
    return content


_INSIDE: Mapping[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".npz": _arrays, ".flac": _samples}


def gzipped(data: bytes) -> bytes:
    """The data, compressed: the same bytes at any time, under any name.

    >>> gzip.decompress(gzipped(b"text"))
    b'text'
    """
    buffer = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()
