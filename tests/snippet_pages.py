"""The fenced blocks of a Markdown page, and what is to be done with each.

- ``python``: run, in order, in one namespace; one whose first line is ``# name.py`` is that file.
- ``sh``: run by bash.
- ``yaml``: a piece of a config of ``fit``; one whose first line is ``# name.yaml`` is that file.
- ``text`` and ``mermaid``: output and pictures.
- ``{code-block} LANGUAGE`` with ``:caption: name``: a file. Other directives of Sphinx hold blocks, or nothing to run.

A block after a line ``<!-- not run: reason -->`` is not run.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.front_matter import front_matter_plugin

RUN = ("python", "sh", "yaml")
SHOWN = ("text", "mermaid")
_HOLD_BLOCKS = {"admonition", "attention", "caution", "danger", "dropdown", "hint", "important", "note", "seealso"}
_HOLD_BLOCKS |= {"tip", "warning"}
_HOLD_NONE = {"code-cell", "csv-table", "contents", "eval-rst", "figure", "image", "include", "list-table", "glue"}
_HOLD_NONE |= {"data-sets", "literalinclude", "math", "table", "toctree", "raw"}
_NOT_RUN = re.compile(r"<!-- not run: \S.*-->")
_FILE = re.compile(r"# ([\w./-]+\.(?:py|yaml|yml))\s*")
_DIRECTIVE = re.compile(r"\{([\w-]+)\}\s*(.*)")
_PARSER = MarkdownIt("commonmark").enable("table").use(colon_fence_plugin).use(front_matter_plugin)


class PageError(Exception):
    """A block that keeps no rule: what nobody would notice if it did not work."""


@dataclass(frozen=True)
class Block:
    """A block that is run, or a file.

    Attributes:
        language: ``python``, ``sh`` or ``yaml``, or whatever the language of a file is.
        text: What is in it.
        line: Of the page, at which the text starts; from 1.
        file: Its name, if it is one.
    """

    language: str
    text: str
    line: int
    file: str | None = None


def blocks(page: Path) -> list[Block]:
    """The blocks of a page that are run, and the files, in order.

    Raises:
        PageError: If the language of a block is not known, or a marker.
    """
    return list(_blocks(page.read_text("utf-8"), page, 1))


def _blocks(text: str, page: Path, first: int) -> Iterator[Block]:
    comment, place = "", ""  # what stands directly before a token, and where
    for token in _PARSER.parse(text):
        if token.map is None:
            continue
        line = first + token.map[0]
        if token.type == "code_block":
            raise PageError(f"{page}:{line}: an indented block; fence it, with its language")
        if token.type not in ("fence", "colon_fence"):
            _check_alone(comment, place)
        elif not comment:
            yield from _found(token, page, line)
        elif not _NOT_RUN.fullmatch(comment):
            raise PageError(f"{place}: write `<!-- not run: reason -->`, found {comment!r}")
        comment, place = token.content.strip() if token.type == "html_block" else "", f"{page}:{line}"
    _check_alone(comment, place)


def _check_alone(comment: str, place: str) -> None:
    """An ordinary comment is no marker of a block."""
    if _NOT_RUN.fullmatch(comment):
        raise PageError(f"{place}: the marker stands before no block")


def _found(token: Token, page: Path, line: int) -> Iterator[Block]:
    info = token.info.strip()
    directive = _DIRECTIVE.fullmatch(info)
    if directive is None:
        yield from _block(info, token.content, line + 1, page)
    elif directive[1] == "code-block":
        yield from _code_block(directive[2], token.content, line + 1, page)
    elif directive[1] in _HOLD_BLOCKS:
        yield from _blocks(token.content, page, line + 1)
    elif directive[1] not in _HOLD_NONE:
        raise PageError(f"{page}:{line}: the directive {info!r} is not known; add it to tests/snippet_pages.py")


def _block(language: str, text: str, line: int, page: Path) -> Iterator[Block]:
    if language in RUN:
        file = _FILE.fullmatch(text.partition("\n")[0]) if language != "sh" else None
        yield Block(language, text, line, file and file[1])
    elif language not in SHOWN:
        known = ", ".join(RUN + SHOWN)
        raise PageError(f"{page}:{line - 1}: a block in {language or 'no language'!r}; known are {known}")


def _code_block(language: str, content: str, line: int, page: Path) -> Iterator[Block]:
    """A block whose first lines are options of the directive, such as ``:caption: name``."""
    options, lines = {}, content.splitlines(keepends=True)
    while lines and (option := re.fullmatch(r":([\w-]+):\s*(.*?)\s*", lines[0])):
        options[option[1]] = option[2]
        lines, line = lines[1:], line + 1
    if lines and not lines[0].strip():
        lines, line = lines[1:], line + 1
    if "caption" in options:
        yield Block(language, "".join(lines), line, options["caption"].strip("`"))
    else:
        yield from _block(language, "".join(lines), line, page)
