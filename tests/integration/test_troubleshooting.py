"""The lines that ``docs/troubleshooting.md`` quotes are lines that the package prints."""

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

import mtl_lightning

PAGE = Path("docs/troubleshooting.md").read_text("utf-8")
QUOTED = [quoted for _, quoted in re.findall(r"^### (`+) ?(.*?) ?\1$", PAGE, re.MULTILINE)]
ANYTHING = "\0"
"""Stands in a template for what an f-string fills in."""


def texts(node: ast.AST) -> Iterator[str]:
    """Every text that a piece of code writes down, with :data:`ANYTHING` for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else ANYTHING for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield re.sub(r"%[ds]", ANYTHING, node.value)
    for child in ast.iter_child_nodes(node):
        yield from texts(child)


@cache
def templates() -> Sequence[str]:
    """Of the whole package."""
    files = sorted(Path(mtl_lightning.__file__).parent.rglob("*.py"))
    return list({text for file in files for text in texts(ast.parse(file.read_text("utf-8"))) if " " in text})


def holds(template: str, quoted: str) -> bool:
    """Whether the parts of a quoted line between ``…`` stand in a template, in this order."""
    position = 0
    for part in quoted.split("…"):
        position = template.find(part, position)
        if position < 0:
            return False
        position += len(part)
    return True


def test_the_page_quotes_what_users_meet() -> None:
    assert len(QUOTED) == PAGE.count("\n### ") >= 25
    assert len(set(QUOTED)) == len(QUOTED)


@pytest.mark.parametrize("quoted", QUOTED, ids=[quoted.encode("ascii", "ignore").decode() for quoted in QUOTED])
def test_a_quoted_line_is_printed_by_the_package(quoted: str) -> None:
    line = re.sub(r"^(error|note): ", "", quoted)
    assert max(len(part) for part in line.split("…")) > 8, "too little to find it by"
    assert any(holds(template, line) for template in templates())
