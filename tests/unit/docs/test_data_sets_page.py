"""The page on the data sets says what the recipes say, and which configs read each."""

import sys

from real_data import ROOT

from experiments.data.about import section
from experiments.data.recipes import RECIPES

sys.path.append(str(ROOT / "docs" / "_extensions"))

import data_sets


def test_it_names_the_configs_that_read_a_data_set() -> None:
    found = data_sets.readers("snips")
    assert found == sorted(found)
    assert {"configs/customer_service.yaml", "configs/snips.yaml", "experiments/snips/config.yaml"} <= {*found}
    assert data_sets.readers("tox21") == ["configs/tox21.yaml"]
    assert data_sets.readers("ewt") == []


def test_a_section_says_all_that_a_user_has_to_know() -> None:
    for recipe in RECIPES.values():
        text = section(recipe)
        assert text.startswith(recipe.about)
        for fact in (recipe.licence, recipe.citation, *recipe.files, *recipe.needs.values()):
            assert fact in text
        for source in recipe.sources:
            assert source.home in text and source.revision[:12] in text
