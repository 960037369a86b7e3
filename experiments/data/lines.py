"""Reading texts as their sources have them."""

from pathlib import Path


def lines(path: Path) -> list[str]:
    """The lines of a text in UTF-8, without their ends; other characters that Unicode calls separators end none."""
    return path.read_text("utf-8").removesuffix("\n").split("\n")


def cells(path: Path) -> list[list[str]]:
    """The rows of a table without quotes, whose columns tabs separate."""
    return [line.split("\t") for line in lines(path)]
