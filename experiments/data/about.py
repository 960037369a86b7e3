"""What is said of a data set: in the list, in the README.md of its folder, and on the site."""

import textwrap
from collections.abc import Iterable, Iterator

from rich.filesize import decimal

from experiments.data.recipe import Recipe

_WIDTH = 100


def readme(recipe: Recipe) -> str:
    """A page in Markdown: what the data set is, whose, and what its files hold."""
    checksums = (f"- `{name}`: `{digest}`" for name, digest in recipe.files.items())
    parts = [
        f"# {recipe.name}",
        section(recipe).rstrip(),
        f"`python -m experiments.data {recipe.name}` wrote these files. SHA-256 of what each holds, decompressed:",
        "\n".join(checksums),
    ]
    return "\n\n".join(parts) + "\n"


def section(recipe: Recipe) -> str:
    """What a data set is, and a list of what there is to know of it, in Markdown."""
    return "\n".join((recipe.about, "", *_facts(recipe))) + "\n"


def listing(recipes: Iterable[Recipe]) -> str:
    """A paragraph for each data set: what it is, its size, its licence, its sources, libraries that only it needs."""
    return "\n\n".join("\n".join(_lines(recipe)) for recipe in recipes)


def _facts(recipe: Recipe) -> Iterator[str]:
    files = ", ".join(f"`{name}`" for name in recipe.files)
    yield f"- Files: {files} ({decimal(recipe.size)})"
    yield f"- Licence: {recipe.licence}"
    yield f"- Please cite: {recipe.citation}"
    for source in recipe.sources:
        yield f"- Source: [{source.title}]({source.home}) at `{source.revision[:12]}`"
    if recipe.needs:
        yield f"- Needs: `pip install {' '.join(recipe.needs.values())}`"


def _lines(recipe: Recipe) -> Iterator[str]:
    yield f"{recipe.name}  ({decimal(recipe.size)})"
    yield textwrap.fill(recipe.about, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    licence = f"licence: {recipe.licence}"
    yield textwrap.fill(licence, _WIDTH, initial_indent="    ", subsequent_indent=" " * 13)
    yield from (f"    source:  {source.home}" for source in recipe.sources)
    yield from (f"    needs:   {package}" for package in recipe.needs.values())
