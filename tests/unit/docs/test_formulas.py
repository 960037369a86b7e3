"""The formulas of docstrings can be drawn: the site, which takes minutes to build, draws them by the same function."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from docutils.utils.math import latex2mathml

import mtl_lightning

PACKAGE = Path(mtl_lightning.__file__).parent
INLINE = re.compile(r":math:`([^`]+)`")
BLOCK = re.compile(r"^( *)\.\. math::(.*(?:\n(?:\1 +.*| *))*)", re.MULTILINE)


def docstrings(file: Path) -> Iterator[str]:
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found = (node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, nodes))
    yield from filter(None, map(ast.get_docstring, found))


def formulas(text: str) -> Iterator[tuple[str, bool]]:
    yield from ((formula, False) for formula in INLINE.findall(text))
    yield from ((formula.strip(), True) for _, formula in BLOCK.findall(text))


def problem(formula: str, as_block: bool) -> str:
    try:
        latex2mathml.tex2mathml(formula, as_block)
    except Exception as error:
        return f"{error}: {formula}"
    return ""


def test_a_formula_that_cannot_be_drawn_is_found():
    text = "The sum :math:`g_1, \\dots, g_K`, and\n\n.. math::\n\n    a = \\frac{b}{c}\n\nwhich is short."
    assert list(formulas(text)) == [("g_1, \\dots, g_K", False), ("a = \\frac{b}{c}", True)]
    assert problem("g_1, \\dots, g_K", False).startswith("Unknown LaTeX command")
    assert not problem("a = \\frac{b}{c}", True)


def test_all_formulas_can_be_drawn():
    found = {
        f"{file.relative_to(PACKAGE)}: {wrong}"
        for file in PACKAGE.rglob("*.py")
        for text in docstrings(file)
        for formula, as_block in formulas(text)
        if (wrong := problem(formula, as_block))
    }
    assert not found
