"""The figures of the concepts read well in light and dark, say what they show, and stand on a page."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

CONCEPTS = Path(__file__).parents[3] / "docs" / "concepts"
FIGURES = sorted((CONCEPTS / "figures").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"


def test_there_are_three():
    assert len(FIGURES) == 3


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.stem)
def test_a_figure_follows_the_colours_of_the_page_and_has_a_description(figure):
    picture = ElementTree.parse(figure).find(f".//{SVG}svg")
    assert picture.get("fill") == "currentColor"
    assert len(picture.findtext(f"{SVG}title")) > 80
    colours = set(re.findall(r"#[0-9a-f]{3,6}\b", figure.read_text("utf-8")))
    assert not colours & {"#000", "#fff", "#000000", "#ffffff"}
    ids = [element.get("id") for element in picture.iter() if element.get("id")]
    assert all(name.startswith(f"{picture.get('aria-labelledby').removesuffix('-title')}-") for name in ids)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.stem)
def test_a_figure_stands_on_a_page(figure):
    assert any(f":file: figures/{figure.name}" in page.read_text("utf-8") for page in CONCEPTS.glob("*.md"))
