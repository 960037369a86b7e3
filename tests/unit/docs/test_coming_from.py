"""The diffs of the pages for newcomers are short, say what is run, and change what trains but not what is trained."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torchjd import aggregation, scalarization

from mtl_lightning import weighting

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
    compile(side(diff, "-"), page.name, "exec")
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


def rows(page: str, heading: str) -> Iterator[list[list[str]]]:
    """The rows of the table with a heading: of each cell, what stands in backticks."""
    text = next(one for one in PAGES if one.stem == page).read_text("utf-8")
    table = text.partition(heading)[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        yield [re.findall(r"`([^`]*)`", cell) for cell in line.strip("|").split("|")]


def test_what_libmtl_calls_otherwise_is_called_so_here():
    found = list(rows("libmtl", "| LibMTL's `--weighting` |"))
    assert len(found) > 15
    for theirs, ours, options in found:
        assert theirs
        for name in ours:
            parameters = inspect.signature(getattr(weighting, name)).parameters
            assert set(options[1::2]) <= {*parameters, "5", "--model.refresh_every"} or options[0] in parameters


def test_what_torchjd_has_is_called_so_there_and_here():
    there = {*aggregation.__all__, *scalarization.__all__}
    named = {name for theirs, *_ in rows("torchjd", "| TorchJD | here |") for name in theirs if name.isidentifier()}
    assert len(named & there) > 20
    assert named - there == {"tasks_params", "shared_params", "parallel_chunk_size"}
    for theirs, ours in rows("torchjd", "| TorchJD | here |"):
        same = {name for name in theirs if name.isidentifier()} if not ours and len(theirs) > 5 else set()
        assert all(hasattr(weighting, name) for name in same | {name for name in ours if name.isidentifier()} & there)
