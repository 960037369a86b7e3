"""A task's loss is the mean over its tokens of the whole step, however the step is cut."""

import itertools
import pickle
from pathlib import Path
from typing import Any

import pytest
from launch import assert_same, run
from tokens import ADAPTED, WAYS, WEIGHTINGS

SCRIPT = Path(__file__).parent / "tokens.py"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Any]:
    folder = tmp_path_factory.mktemp("tokens")
    run(SCRIPT, folder, 1, 2)
    return {
        (world, rank): pickle.loads((folder / str(world) / f"{rank}.pickle").read_bytes())
        for world, rank in ((1, 0), (2, 0), (2, 1))
    }


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize(
    ("weighting", "way"), [*itertools.product(WEIGHTINGS, WAYS), (ADAPTED, "whole"), (ADAPTED, "accumulated")]
)
def test_steps_that_are_cut_otherwise_are_the_same(
    runs: dict[tuple[int, int], Any], weighting: str, world: int, way: str
) -> None:
    whole = runs[1, 0][weighting]["whole"]
    for rank in range(world):
        assert_same(runs[world, rank][weighting][way], whole, 1e-9, way)


def test_an_adapter_alone_trains(runs: dict[tuple[int, int], Any]) -> None:
    names = set(runs[1, 0][ADAPTED]["whole"])
    assert {name.split(".")[0] for name in names} == {"encoder", "heads"}
    assert all("lora_" in name for name in names if name.startswith("encoder"))
