"""The recipes, one file a data set: whatever is called ``RECIPE`` in a file here can be named on the command line."""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules

from experiments.data.recipe import Recipe


def _all() -> Mapping[str, Recipe]:
    modules = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
    return {module.RECIPE.name: module.RECIPE for module in modules}


RECIPES = _all()
"""Name → recipe, in alphabetical order."""
