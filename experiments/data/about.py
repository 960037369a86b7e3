"""What is said of a data set: in the list, and in the README.md of its folder."""

from collections.abc import Iterable

from rich.filesize import decimal

from experiments.data.recipe import Recipe


def readme(recipe: Recipe) -> str:
    """A page in Markdown: what the data set is, whose, and which files it has."""
    sources = (f"- [{source.title}]({source.home}), revision `{source.revision}`" for source in recipe.sources)
    files = (f"- `{name}`: SHA-256 of its content `{digest}`" for name, digest in recipe.files.items())
    parts = [
        f"# {recipe.name}",
        recipe.about,
        f"Licence: {recipe.licence}",
        f"Please cite: {recipe.citation}",
        f"Source, as of which `python -m experiments.data {recipe.name}` made these files:",
        "\n".join(sources),
        "\n".join(files),
    ]
    return "\n\n".join(parts) + "\n"


def listing(recipes: Iterable[Recipe]) -> str:
    """A paragraph for each data set: what it is, its size, its licence, its sources, libraries that only it needs."""
    return "\n\n".join("\n".join(_lines(recipe)) for recipe in recipes)


def _lines(recipe: Recipe) -> Iterable[str]:
    yield f"{recipe.name}  ({decimal(recipe.size)})"
    yield f"    {recipe.about}"
    yield f"    licence: {recipe.licence}"
    yield from (f"    source:  {source.home}" for source in recipe.sources)
    yield from (f"    needs:   {package}" for package in recipe.needs.values())
