"""``{data-sets}``: a section for each data set that ``python -m experiments.data`` writes."""

from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from experiments.data.about import section
from experiments.data.place import obtain
from experiments.data.recipe import Recipe
from experiments.data.recipes import RECIPES

_ROOT = Path(__file__).parents[2]


class DataSets(SphinxDirective):
    """The sections, in alphabetical order, made of the recipes."""

    def run(self) -> list[nodes.Node]:
        text = "\n".join(line for recipe in RECIPES.values() for line in _section(recipe))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def readers(name: str) -> list[str]:
    """The shipped configs that read a data set."""
    files = sorted([*_ROOT.glob("configs/*.yaml"), *_ROOT.glob("experiments/*/config.yaml")])
    lines = {file: file.read_text("utf-8").splitlines() for file in files}
    return [
        str(file.relative_to(_ROOT))
        for file, found in lines.items()
        if any(line.strip() == f"written_by: {obtain(name)}" for line in found)
    ]


def _section(recipe: Recipe) -> Iterator[str]:
    yield f"### {recipe.name}\n"
    yield section(recipe).rstrip()
    if found := readers(recipe.name):
        yield f"- Read by: {', '.join(f'`{file}`' for file in found)}"
    yield ""


def setup(app: Sphinx) -> ExtensionMetadata:
    """Adds the directive."""
    app.add_directive("data-sets", DataSets)
    return {"parallel_read_safe": True}
