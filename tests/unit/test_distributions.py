"""What says who may use the package agrees with itself, and what is shipped is looked through."""

import hashlib
import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml
from distributions import wrong_in_source, wrong_in_wheel

import mtl_lightning

ROOT = Path(__file__).parents[2]
APACHE_2 = "86d3f3a95c324c9479bd8986968f4327"  # that of many packages
KNOWN = ["mtl_lightning/a.py", "mtl_lightning/demo.yaml", "mtl_lightning/py.typed", "LICENSE", "tests/a.py", ".ci/run"]
INFO = "mtl_lightning-1.dist-info"
WHEEL = [*KNOWN[:3], f"{INFO}/METADATA", f"{INFO}/licenses/LICENSE"]
SOURCE = [f"mtl_lightning-1/{name}" for name in [*KNOWN[:5], "PKG-INFO", "mtl_lightning.egg-info/SOURCES.txt"]]


def citation():
    """``CITATION.cff`` as JSON knows it: dates are texts."""
    return yaml.load((ROOT / "CITATION.cff").read_text("utf-8"), yaml.BaseLoader)


def test_the_citation_keeps_the_official_schema():
    schema = json.loads((ROOT / "tests" / "citation" / "schema-1.2.0.json").read_text("utf-8"))
    validator = jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())
    assert list(validator.iter_errors(citation())) == []
    assert list(validator.iter_errors({**citation(), "license": "Apache"}))


def test_licence_version_and_authors_are_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    said = citation()
    assert said["version"] == mtl_lightning.__version__
    assert said["license"] == project["license"] == "Apache-2.0"
    assert said["authors"] == project["authors"] == [{"name": "The mtl_lightning authors"}]
    assert said["abstract"] == project["description"]
    assert said["keywords"] == project["keywords"]
    assert project["license-files"] == ["LICENSE"]
    assert hashlib.md5((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2


def test_distributions_that_hold_what_they_must():
    assert wrong_in_wheel(WHEEL, KNOWN) == wrong_in_source(SOURCE, KNOWN) == []


@pytest.mark.parametrize("name", WHEEL[1:3] + WHEEL[-1:])
def test_a_wheel_that_lacks_a_file(name):
    (line,) = wrong_in_wheel([other for other in WHEEL if other != name], KNOWN)
    assert line == f"the wheel lacks {name.rpartition('licenses/')[2]}"


@pytest.mark.parametrize("name", ["tests/a.py", "data/snips/train.jsonl", "mtl_lightning/left_over.py"])
def test_distributions_that_hold_too_much(name):
    (line,) = wrong_in_wheel([*WHEEL, name], KNOWN)
    assert line == f"the wheel holds {name}, which does not belong there"
    if name not in KNOWN:
        assert wrong_in_source([*SOURCE, f"mtl_lightning-1/{name}"], KNOWN)


def test_a_source_distribution_without_tests():
    assert wrong_in_source(SOURCE[:4] + SOURCE[5:], KNOWN) == ["the source distribution lacks tests/a.py"]
