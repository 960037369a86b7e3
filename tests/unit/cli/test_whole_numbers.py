"""What a number is does not depend on the order of the types in a union."""

from typing import Optional, Union

import pytest
from jsonargparse import ArgumentParser

import mtl_lightning.cli.parser  # noqa: F401 - it changes how values are read


class Numbers:
    def __init__(self, count: Union[float, int, None] = None, pair: tuple[int, float] | float | str = 0.5) -> None:  # noqa: UP007
        self.count, self.pair = count, pair


@pytest.mark.parametrize(("text", "count"), [("1", 1), ("1.0", 1.0), ("0", 0), ("0.5", 0.5), ("null", None)], ids=str)
def test_a_whole_number_stays_one(text: str, count: float | None) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Numbers, "numbers")
    found = parser.parse_args([f"--numbers.count={text}", "--numbers.pair=[2, 1]"]).numbers
    assert (found.count, type(found.count)) == (count, type(count))
    assert found.pair == (2, 1.0)


def test_python_takes_the_order_that_was_asked_for_first() -> None:
    """Which is why it is left to chance."""
    hints = Optional[Union[complex, int]], Optional[Union[int, complex]]  # noqa: UP007, UP045
    assert hints[0] == hints[1]
