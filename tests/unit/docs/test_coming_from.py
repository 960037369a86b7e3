"""The diffs of the pages for newcomers are short, say what is run, and change what trains but not what is trained."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

PAGES = sorted((Path(__file__).parents[3] / "docs" / "coming_from").glob("[!i]*.md"))
MOST_LINES = 20


def blocks(page: Path, before: int) -> list[str]:
    """The Python blocks of a page that stand before a position."""
    return re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8")[:before], re.DOTALL | re.MULTILINE)


def side(diff: str, sign: str) -> str:
    """One of the two texts that a diff is between: ``-`` what was, ``+`` what is."""
    return "".join(f"{line[1:]}\n" for line in diff.splitlines() if line[0] in {" ", sign})


def the_diff(page: Path) -> tuple[str, int, int]:
    (found,) = re.finditer(r"^```diff\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return found[1], found.start(), found.end()


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_the_diff_is_short_and_ends_in_what_is_run(page):
    diff, start, _ = the_diff(page)
    assert len(diff.splitlines()) <= MOST_LINES
    everything = blocks(page, len(page.read_text("utf-8")))
    assert side(diff, "+") == everything[len(blocks(page, start))]


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "libmtl"], ids=lambda page: page.stem)
def test_both_sides_train_the_same_parameters(page):
    diff, start, _ = the_diff(page)
    trained: list[Any] = []
    for sign in "-+":
        names: dict[str, Any] = {}
        for block in [*blocks(page, start), side(diff, sign)]:
            exec(block, names)
        trained.append([*names["encoder"].parameters(), *names["heads"].parameters()])
    for there, here in zip(*trained, strict=True):
        torch.testing.assert_close(here, there, atol=1e-3, rtol=1e-3)
