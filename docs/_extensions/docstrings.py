"""What the docstring and the signature of a plug-in's class say of it."""

import inspect
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

LABELS = ("Reference", "Difference", "Helps", "Fails", "Needs", "Cost")
"""Words that begin a paragraph, or a sentence of such a paragraph, with a colon."""


@dataclass(frozen=True)
class Option:
    """An argument in the config.

    Attributes:
        name: In the config.
        default: As in Python; empty where a value must be given.
        meaning: What the docstring says.
    """

    name: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Docstring:
    """The parts of a docstring, in reStructuredText.

    Attributes:
        summary: The first paragraph.
        description: The rest of what it says of the method, formulas above all.
        labelled: Paragraphs by label.
        meanings: Of the arguments, by name.
        example: Its session.
    """

    summary: str
    description: str
    labelled: dict[str, str]
    meanings: dict[str, str]
    example: str

    @property
    def paper(self) -> str:
        """Authors and year."""
        reference = self.labelled.get("Reference", "")
        authors = re.search(r'([A-Z][^"()]*?), "', reference)
        year = re.search(r"\([^()]*?\b((?:19|20)\d\d)\b[^()]*\)", reference)
        return " ".join(found.group(1) for found in (authors, year) if found)


def docstring(cls: type) -> Docstring:
    """That of a class."""
    paragraphs = re.split(r"\n{2,}", inspect.getdoc(cls) or "")
    prose = [text for text in paragraphs if not re.match(rf"Args:|Attributes:|Raises:|>>>|({'|'.join(LABELS)}):", text)]
    return Docstring(
        summary=prose[0],
        description="\n\n".join(prose[1:]),
        labelled=dict(_labelled(paragraphs)),
        meanings=dict(_arguments(paragraphs)),
        example="\n".join(text for text in paragraphs if text.startswith(">>>")),
    )


def options(cls: type, given: Collection[str]) -> Iterator[Option]:
    """The arguments of a class.

    Args:
        cls: The class.
        given: Those that a config does not name.
    """
    meanings = docstring(cls).meanings
    for name, parameter in inspect.signature(cls).parameters.items():
        if name not in given:
            yield Option(name, _shown(parameter.default), meanings.get(name, ""))


def _shown(default: object) -> str:
    """A default as Python writes it, a class by its name."""
    if inspect.isclass(default):
        return "" if default is inspect.Parameter.empty else default.__name__
    return repr(default)


def _labelled(paragraphs: list[str]) -> Iterator[tuple[str, str]]:
    for text in paragraphs:
        if re.match(rf"({'|'.join(LABELS)}):", text):
            parts = re.split(rf"\b({'|'.join(LABELS)}):", text)[1:]
            yield from ((label, said.strip()) for label, said in zip(parts[::2], parts[1::2], strict=True))


def _arguments(paragraphs: list[str]) -> Iterator[tuple[str, str]]:
    for text in paragraphs:
        if text.startswith("Args:"):
            for entry in re.split(r"\n {4}(?=\S)", text)[1:]:
                name, _, meaning = entry.partition(":")
                yield name, " ".join(meaning.split())
