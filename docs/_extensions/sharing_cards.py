"""A card for each exported sharing, and the table of all: a new sharing has its card by itself."""

from collections.abc import Iterator
from pathlib import Path

import generated
from cards import list_table, option_table, ratio, section
from docstrings import docstring, options
from sharing_sizes import NUM_TASKS, Size, size
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from experiments.benchmark.sharings import exported

GENERATED = Path("sharing", "generated")


def pages() -> dict[str, str]:
    """The text of each generated file: cards in reStructuredText, by sharing, and a table in Markdown."""
    sizes = {name: size(name) for name in exported()}
    cards = {f"{name}.rst": "\n".join(_card(name, sizes[name], sizes["HardSharing"])) + "\n" for name in sizes}
    return {**cards, "table.inc": "\n".join(_table(sizes)) + "\n"}


def _card(name: str, own: Size, hard: Size) -> Iterator[str]:
    said = docstring(exported()[name])
    yield from (name, "=" * len(name), "", said.summary, "")
    yield f":In a config: ``sharing: {name}``"
    yield f":Loss terms: {', '.join(f'``{term}``' for term in own.terms) or 'none'}"
    yield f":Class: :class:`mtl_lightning.sharing.{name}`"
    yield from ("", said.description, "", *section("When to use it"))
    yield from (f"**Helps**: {said.labelled['Helps']}", "", f"**Fails**: {said.labelled['Fails']}", "")
    yield from (*section("Options"), *option_table(list(options(exported()[name], {"tasks", "encoder"}))), "")
    yield from (*section("Cost"), _sentence(said.labelled["Cost"]), "")
    yield f"Counted with its defaults, for {NUM_TASKS} tasks on a convolutional encoder, relative to hard sharing:"
    yield ""
    rows = [(what, ratio(value)) for what, value in _ratios(own, hard).items()]
    yield from (*list_table(("", "ratio"), rows), "")
    yield from (*section("Paper"), _sentence(said.labelled["Reference"]), "")
    yield from (f"**Difference from the paper**: {said.labelled['Difference']}", "")


def _sentence(said: str) -> str:
    """With a capital, as it stands behind no label here."""
    return said[:1].upper() + said[1:]


def _ratios(own: Size, hard: Size) -> dict[str, float]:
    return {
        "parameters": own.parameters / hard.parameters,
        "forward pass for all tasks, FLOPs": own.flops / hard.flops,
        "forward pass for one task, FLOPs": own.flops_of_one / hard.flops_of_one,
    }


def _table(sizes: dict[str, Size]) -> Iterator[str]:
    yield "| sharing | paper | parameters | FLOPs, all tasks | FLOPs, one task |"
    yield "|---|---|---|---|---|"
    for name, own in sizes.items():
        cells = [f"[{name}](generated/{name}.rst)", docstring(exported()[name]).paper]
        cells += [ratio(value) for value in _ratios(own, sizes["HardSharing"]).values()]
        yield f"| {' | '.join(cells)} |"


def _write(app: Sphinx) -> None:
    generated.write(app.srcdir / GENERATED, pages())


def setup(app: Sphinx) -> ExtensionMetadata:
    """Called by Sphinx."""
    app.connect("builder-inited", _write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
