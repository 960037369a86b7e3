"""The examples in docstrings: pytest collects those of the package alone."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("module", ["contents", "place", "tables"])
def test_examples_in_docstrings_hold(module):
    failed, attempted = doctest.testmod(import_module(f"experiments.data.{module}"))
    assert attempted and not failed
