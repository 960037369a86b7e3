"""Recipes on checkouts of their real sources, where the variable below names a folder of them."""

import os
from pathlib import Path

import pytest
import real_data

from experiments.data.command import make
from experiments.data.recipes import RECIPES

VARIABLE = "MTL_CHECKOUTS"


def test_data_sets_come_out_as_the_real_ones_byte_by_byte(tmp_path: Path, subtests: pytest.Subtests) -> None:
    given, real = os.environ.get(VARIABLE), real_data.folder()
    if not given:
        pytest.skip(f"{VARIABLE} names no folder of checkouts (those that `python -m experiments.data --from` takes)")
    for name, recipe in RECIPES.items():
        with subtests.test(name):
            make(recipe, tmp_path, Path(given))  # which makes sure of what the files hold
            compared = recipe.sources and real and (real / name).is_dir()  # simulations elsewhere are other ones
            for file in recipe.files if compared else ():
                assert (tmp_path / name / file).read_bytes() == (real / name / file).read_bytes(), file
