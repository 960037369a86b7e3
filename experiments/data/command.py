"""From a recipe to a data set in its place."""

from pathlib import Path

from experiments.data.checkouts import checkout
from experiments.data.fetching import fetch
from experiments.data.lock import locked
from experiments.data.needs import need
from experiments.data.recipe import Recipe
from experiments.data.writing import is_complete, write
from mtl_lightning.terminal import say

DOWNLOADS = ".downloads"
"""Folder beside the data sets, of what was downloaded: checkouts that hold only the files that are needed."""


def make(recipe: Recipe, to: Path, given: Path | None) -> None:
    """Writes a data set, if it is not there yet.

    Args:
        recipe: Of the data set.
        to: Folder of data sets.
        given: A checkout of its source, or a folder of checkouts; null: its files are downloaded.

    Raises:
        UserError: If it cannot be had or written.
    """
    folder = to / recipe.name
    if is_complete(recipe, folder):
        say(f"{folder} is complete already")
        return
    for module, package in recipe.needs.items():
        need(module, package)
    say(f"{recipe.name}: {recipe.about}\n  licence: {recipe.licence}")
    with locked(to):
        kept = to / DOWNLOADS
        sources = [checkout(source, given, kept) if given else fetch(source, kept) for source in recipe.sources]
        write(recipe, sources, folder)
    say(f"  please cite: {recipe.citation}")
    say(f"  written to {folder}: {', '.join(recipe.files)}")
