"""Raw values that are files: what they hold as text, and what is said where there is none."""

import base64
import binascii
import re
from pathlib import Path

from mtl_lightning.errors import UserError, did_you_mean, shown

_ADDRESS = re.compile(r"(^|/)(https?|s3|gs|ftp):/")
"""Of the web, as it stands in a path."""


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
    if _ADDRESS.search(path.as_posix()):
        return "addresses are not fetched: fetch the files, and give their paths"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}; name the one that paths start from as `root`"
    beside = [entry.name for _, entry in zip(range(10_000), path.parent.iterdir(), strict=False)]
    return did_you_mean(path.name, beside) if beside else f"{path.parent} is empty"
