"""Every exported sharing has a card, which says all that a card has to say."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[3] / "docs" / "_extensions"))

import docstrings
import sharing_cards
from sharing_sizes import size

from experiments.benchmark.sharings import exported


@pytest.fixture(scope="module")
def pages():
    return sharing_cards.pages()


@pytest.mark.parametrize("name", exported())
def test_a_card_says_what_it_has_to(name, pages):
    said = docstrings.docstring(exported()[name])
    assert {"Reference", "Difference", "Cost", "Helps", "Fails"} <= set(said.labelled)
    assert all(said.labelled.values())
    assert name == "HardSharing" or "math:" in said.summary + said.description
    assert said.paper
    options = list(docstrings.options(exported()[name], {"tasks", "encoder"}))
    assert all(option.meaning for option in options)
    card = pages[f"{name}.rst"]
    assert all(f"``{option.name}``" in card for option in options)


def test_the_table_names_every_sharing_and_its_card(pages):
    assert set(pages) == {*(f"{name}.rst" for name in exported()), "table.inc"}
    assert all(f"(generated/{name}.rst)" in pages["table.inc"] for name in exported())


def test_sizes_are_those_that_can_be_counted_by_hand():
    hard, separate = size("HardSharing"), size("SeparateEncoders")
    assert separate.parameters == 4 * hard.parameters
    assert separate.flops == 4 * hard.flops == 4 * separate.flops_of_one
