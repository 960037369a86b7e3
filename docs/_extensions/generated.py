"""Folders of pages that our extensions write when the site is built."""

from collections.abc import Mapping
from pathlib import Path


def write(folder: Path, texts: Mapping[str, str]) -> None:
    """Writes the files that differ from those that are there, and removes all others.

    Args:
        folder: Of generated files alone; made if there is none.
        texts: By name of the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in set(folder.iterdir()) - {folder / name for name in texts}:
        old.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
