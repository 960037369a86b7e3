"""What a recipe is: where a data set comes from, and how its files are made."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from experiments.data.sources import Source

Convert = Callable[..., Iterator[tuple[str, bytes]]]
"""A folder for each source, in order → the name and the content of each file; what is called ``….gz`` is compressed
when it is written."""


@dataclass(frozen=True)
class Recipe:
    """A data set that a command writes.

    Args:
        name: Of the data set, and of its folder.
        about: What it is and which tasks it labels, in one line.
        licence: Under which it may be used, and what it asks for.
        citation: The paper that its authors want to be cited.
        sources: Where its files come from.
        convert: Makes the data set's files out of its sources' folders.
        files: Name of each file → SHA-256 of what it holds (:func:`experiments.data.contents.content_sha256`).
        size: Of all files together, in bytes.
        needs: Libraries that the conversion needs and the project does not: module → name of its package.
    """

    name: str
    about: str
    licence: str
    citation: str
    sources: tuple[Source, ...]
    convert: Convert
    files: Mapping[str, str]
    size: int
    needs: Mapping[str, str] = field(default_factory=dict)
