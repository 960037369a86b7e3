"""Every weighting: two gloo processes equal one process on the joined batch, and a resumed run an uninterrupted one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from launch import assert_same, run
from methods import CASES, METHODS, TASKS

SCRIPT = Path(__file__).parent / "methods.py"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("methods")
    run(SCRIPT, folder, 1, 2)
    return folder


def load(runs: Path, world: int, case: str) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(runs / str(world) / f"{case}.pt", weights_only=True)
    assert "error" not in found, found["error"]
    return found


@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one(runs: Path, case: str) -> None:
    one, two = load(runs, 1, case)["end"], load(runs, 2, case)["end"]
    assert_same(two, one, 1e-10)
    state = one["state"]
    assert all(value.isfinite().all() for value in state.values() if value.is_floating_point())


@pytest.mark.parametrize("case", CASES)
def test_resumed_equals_uninterrupted(runs: Path, case: str) -> None:
    found = load(runs, 2, case)
    assert_same(found["resumed"], found["end"], 0)


def test_running_statistics_stay_in_step(runs: Path) -> None:
    first, second = (torch.load(runs / "2" / f"running statistics {rank}.pt", weights_only=True) for rank in (0, 1))
    assert_same(second, first, 0)
    assert first["encoder.layers.6.running_mean"].abs().max() > 1e-3


def test_methods_differ(runs: Path) -> None:
    """Were the weighting not asked, they would not."""
    ends = [load(runs, 1, name)["end"]["state"]["encoder.layers.0.weight"] for name in METHODS]
    distances = [float((end - ends[0]).abs().max()) for end in ends[1:]]
    assert sum(distance > 1e-6 for distance in distances) >= len(distances) - 2


def test_tasks_have_weights(runs: Path) -> None:
    assert set(load(runs, 1, "UPGrad")["end"]["weights"]) == set(TASKS)
