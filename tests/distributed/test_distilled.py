"""A student's step is the same however it is cut: its soft losses are means over all words, its hard ones over tags."""

import itertools
import pickle
from pathlib import Path
from typing import Any

import pytest
from distilled import WAYS, WEIGHTINGS
from launch import assert_same, run

SCRIPT = Path(__file__).parent / "distilled.py"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Any]:
    folder = tmp_path_factory.mktemp("distilled")
    run(SCRIPT, folder, 1, 2)
    return {
        (world, rank): pickle.loads((folder / str(world) / f"{rank}.pickle").read_bytes())
        for world, rank in ((1, 0), (2, 0), (2, 1))
    }


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize(("weighting", "way"), [*itertools.product(WEIGHTINGS, WAYS)])
def test_steps_that_are_cut_otherwise_are_the_same(
    runs: dict[tuple[int, int], Any], weighting: str, world: int, way: str
) -> None:
    whole = runs[1, 0][weighting]["whole"]
    assert any(name.startswith("supervision.maps.tags") for name in whole)
    for rank in range(world):
        assert_same(runs[world, rank][weighting][way], whole, 1e-9, way)
