"""Every sharing: two gloo processes equal one process on the joined batch, and each other."""

from pathlib import Path
from typing import Any

import pytest
import torch
from launch import assert_same, run
from sharings import SHARINGS, terms_of
from torch import Tensor

SCRIPT = Path(__file__).parent / "sharings.py"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharings")
    run(SCRIPT, folder, 1, 2)
    return folder


def load(runs: Path, world: int, rank: int, name: str) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(runs / str(world) / f"{name}-{rank}.pt", weights_only=True)
    assert "error" not in found, found["error"]
    return found


def trained(found: dict[str, Any]) -> dict[str, Tensor]:
    """All but what a sharing counts, which each process does for itself."""
    return {name: value for name, value in found["state"].items() if name not in found["counted"]}


@pytest.mark.parametrize("name", SHARINGS)
def test_two_processes_equal_one(runs: Path, name: str) -> None:
    one, first, second = load(runs, 1, 0, name), load(runs, 2, 0, name), load(runs, 2, 1, name)
    assert_same(second["state"], first["state"], 0)
    assert_same(second["terms"], first["terms"], 0)
    if not one["random"]:
        assert_same(trained(first), trained(one), 1e-10)


def test_some_have_terms_of_the_examples_that_a_process_has() -> None:
    assert [name for name, cls in SHARINGS.items() if terms_of(cls) != terms_of(cls, 1)]


def test_most_of_them_draw_no_random_numbers(runs: Path) -> None:
    random = [name for name in SHARINGS if load(runs, 1, 0, name)["random"]]
    assert len(random) < len(SHARINGS) / 4, random


def test_they_differ(runs: Path) -> None:
    """Were they not used, they would not."""
    ends = {tuple(load(runs, 1, 0, name)["state"]["encoder.layers.0.weight"].flatten().tolist()) for name in SHARINGS}
    assert len(ends) > len(SHARINGS) / 2
