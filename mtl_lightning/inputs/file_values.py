"""Raw values that are files: what they hold as text, and what is said where there is none."""

import base64
import binascii
import re
from io import BytesIO
from pathlib import Path

from mtl_lightning.errors import UserError, did_you_mean, shown

_ADDRESS = re.compile(r"(^|/)(https?|s3|gs|ftp):/")
"""Of the web, as it stands in a path."""

_LONGEST, _LONGEST_NAME = 4095, 255
"""Characters of a path, and of a name in it, beyond which systems refuse it."""

_POINTER = b"version https://git-lfs.github.com/spec/"
"""How the text begins that stands in a checkout in place of a file that Git LFS keeps elsewhere."""


def content_of(text: str, kind: str) -> bytes:
    """What a file holds, of a text that is it in base64, as such or as a data URL.

    Args:
        text: A raw value. It is no path, so that a request to a server reads no file.
        kind: Of file, with an article: ``an image``.

    Raises:
        UserError: If it is none.
    """
    if not text.strip():
        raise UserError(f"the {kind.partition(' ')[2]} is missing: {text!r}")
    try:
        return base64.b64decode(text.partition(";base64,")[2] or text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(
            f"a text must be {kind} file in base64, found {shown(text)}; give a path as a `pathlib.Path`"
        ) from error


def hint_for(path: Path) -> str:
    """How to mend the path of a file that is not there."""
    text = path.as_posix()
    if _ADDRESS.search(text):
        return "addresses are not fetched: fetch the files, and give their paths"
    if "file:" in path.parts:
        return "give a path without `file://`"
    if path.is_symlink():
        return f"it is a link to {path.readlink()}, which is not there"
    if any(part != part.strip() for part in path.parts):
        return "a name in the path begins or ends with a blank; take it out"
    if "\\" in text:
        return "write `/` between folders, not `\\`"
    if "~" in path.parts:
        return "`~` is not expanded in columns; write the folder out"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}; name the one that paths start from as `root`"
    beside = [entry.name for _, entry in zip(range(10_000), path.parent.iterdir(), strict=False)]
    return did_you_mean(path.name, beside) if beside else f"{path.parent} is empty"


def check_path(path: Path) -> None:
    """Raises :class:`UserError` for a path that no system can have: the content of a file, most often."""
    text = str(path)
    if "\0" in text or len(text) > _LONGEST or max(map(len, path.parts), default=0) > _LONGEST_NAME:
        cure = "a text in a table is a path: write contents to files, or keep them as bytes in Parquet"
        raise UserError(f"{shown(path.name or text)} is no path of a file; {cure}")


def fault_of(file: Path | bytes) -> str:
    """What is wrong with a file that no library can read, and how to mend it; an empty text if it is not known.

    Args:
        file: Its path, or what it holds.
    """
    if isinstance(file, Path) and file.is_dir():
        return "is a folder; give the path of a file"
    try:
        with file.open("rb") if isinstance(file, Path) else BytesIO(file) as opened:
            start = opened.read(len(_POINTER))
    except OSError:
        return ""
    if not start:
        return "is an empty file; get it again"
    return "is a pointer of Git LFS, not the file itself; fetch it by `git lfs pull`" if start == _POINTER else ""
