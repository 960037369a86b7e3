"""What a file holds, however it is compressed, and how it is compressed here."""

import gzip
import hashlib
import io


def sha256(data: bytes) -> str:
    """The checksum of some bytes, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def content_sha256(name: str, data: bytes) -> str:
    """The checksum of what a file holds: of ``.gz``, the text inside, which no release of zlib changes.

    >>> content_sha256("a.gz", gzip.compress(b"text", 1)) == content_sha256("a", b"text")
    True
    """
    return sha256(gzip.decompress(data) if name.endswith(".gz") else data)


def gzipped(data: bytes) -> bytes:
    """The data, compressed: the same bytes at any time, under any name.

    >>> gzip.decompress(gzipped(b"text"))
    b'text'
    """
    buffer = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()
