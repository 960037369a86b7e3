"""A sharded encoder: two gloo processes find the gradients, and write the checkpoints, that they do with DDP."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from launch import assert_same, run
from methods import METHODS
from sharded import NAMES, TRAINED, TYPES

from mtl_lightning.weighting import GramianWeighting

SCRIPT = Path(__file__).parent / "sharded.py"
TOLERANCES = dict(zip(TYPES, (1e-10, 1e-5), strict=True))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharded")
    run(SCRIPT, folder, 2)
    return folder


@cache
def load(runs: Path, name: str, rank: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(runs / "2" / f"{name}-{rank}.pt", weights_only=True)
    assert "error" not in found, found["error"]
    return found


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_gradients_equal_those_of_a_whole_encoder(runs: Path, name: str, dtype: torch.dtype) -> None:
    whole, sharded = load(runs, "gradients")[f"{name} {dtype}"]
    assert len(whole) >= 20 and all(gradient.isfinite().all() for gradient in whole)
    assert_same(sharded, whole, TOLERANCES[dtype])


def test_gradients_in_bfloat16_are_close(runs: Path) -> None:
    whole, sharded = (torch.cat([g.flatten() for g in each]) for each in load(runs, "gradients")["bfloat16"])
    assert whole.dtype == sharded.dtype == torch.float32
    assert (sharded - whole).norm() < 0.02 * whole.norm()


def test_each_process_holds_its_part(runs: Path) -> None:
    first, second = (load(runs, "gradients", rank)["held"] for rank in (0, 1))
    assert (first, second) == ([[4, 5], [4], [2, 7], [2]], [[3, 5], [3], [2, 7], [2]])


@pytest.mark.parametrize("name", TRAINED)
def test_trained_resumed_and_saved_as_by_ddp(runs: Path, name: str) -> None:
    """With a skipped step, gradients clipped and accumulated, and evaluations of different lengths."""
    found = load(runs, name)
    expected, sharded, resumed = (found[how] for how in ("ddp", "fsdp2", "resumed"))
    assert sum(sharded["held"]) <= 0.6 * sum(expected["held"])
    assert_same({**sharded, "held": None}, {**expected, "held": None}, 1e-10)
    assert_same({**resumed, "held": None}, {**sharded, "held": None}, 0)


def test_gramian_methods_are_among_them() -> None:
    assert {name for name, cls in METHODS.items() if issubclass(cls, GramianWeighting)} <= set(NAMES)
