"""Two processes that adapt to two episodes each make the step of one that adapts to all four, and find its scores."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from adapted import CASES
from launch import assert_same, run

SCRIPT = Path(__file__).parent / "adapted.py"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Any]:
    folder = tmp_path_factory.mktemp("adapted")
    run(SCRIPT, folder, 1, 2)
    return {
        (world, rank): pickle.loads((folder / str(world) / f"{rank}.pickle").read_bytes())
        for world, rank in ((1, 0), (2, 0), (2, 1))
    }


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_two_processes_are_one(runs: dict[tuple[int, int], Any], case: str, rank: int) -> None:
    whole = runs[1, 0][case]
    assert {"kind/accuracy", "kind/accuracy_interval", "size/loss_interval"} <= whole.keys()
    assert_same(runs[2, rank][case], whole, 1e-6, case)


def test_episodes_that_adapt_at_once_are_the_same(runs: dict[tuple[int, int], Any]) -> None:
    assert_same(runs[1, 0]["MAML-at-once"], runs[1, 0]["MAML-PCGrad"], 1e-6, "at once")
