"""Each dependency says which release is the oldest: what says nothing is run on its first, which nobody means."""

import pytest
from bounds import direct
from packaging.requirements import Requirement


@pytest.mark.parametrize("requirement", direct(), ids=lambda requirement: requirement.name)
def test_the_oldest_release_is_named(requirement: Requirement) -> None:
    assert {specifier.operator for specifier in requirement.specifier} & {">=", "=="}, str(requirement)
