"""A sharded encoder: two gloo processes find the gradients, and write the checkpoints, that they do with DDP."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from launch import assert_same, run
from methods import METHODS
from sharded import MORE, NAMES, OFTEN, TRAINED, TYPES

from mtl_lightning.weighting import GramianWeighting

SCRIPT = Path(__file__).parent / "sharded.py"
TOLERANCES = dict(zip(TYPES, (1e-10, 1e-5), strict=True))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharded")
    run(SCRIPT, folder, 2)
    run(SCRIPT, folder, 1)
    return folder


@cache
def load(runs: Path, name: str, rank: int = 0, world: int = 2) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(runs / str(world) / f"{name}-{rank}.pt", weights_only=True)
    assert "error" not in found, found["error"]
    return found


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_gradients_equal_those_of_a_whole_encoder(runs: Path, name: str, dtype: torch.dtype) -> None:
    whole, sharded = load(runs, "gradients")[f"{name} {dtype}"]
    assert len(whole) >= 10 * TYPES[dtype] and all(gradient.isfinite().all() for gradient in whole)
    assert_same(sharded, whole, TOLERANCES[dtype])


def test_gradients_in_bfloat16_are_close(runs: Path) -> None:
    whole, sharded = (torch.cat([g.flatten() for g in each]) for each in load(runs, "gradients")["bfloat16"])
    assert whole.dtype == sharded.dtype == torch.float32
    assert (sharded - whole).norm() < 0.02 * whole.norm()


def test_a_head_may_have_sparse_gradients(runs: Path) -> None:
    whole, sharded = load(runs, "gradients")["sparse"]
    assert whole[-1][0].any() and not whole[-1][1].any()
    assert_same(sharded, whole, 1e-10)


def test_each_process_holds_its_part(runs: Path) -> None:
    first, second = (load(runs, "gradients", rank)["held"] for rank in (0, 1))
    assert (first, second) == ([[4, 5], [4], [2, 7], [2]], [[3, 5], [3], [2, 7], [2]])


@pytest.mark.parametrize("name", TRAINED)
def test_trained_resumed_and_saved_as_by_ddp(runs: Path, name: str) -> None:
    """With a skipped step, gradients clipped and accumulated, and evaluations of different lengths."""
    found = load(runs, name)
    expected, sharded, resumed = (found[how] for how in ("ddp", "fsdp2", "resumed"))
    assert expected["metrics"].keys() >= {"val/average", "val/a/loss"}
    assert sum(sharded["held"]) <= 0.6 * sum(expected["held"])
    assert_same({**sharded, "held": None}, {**expected, "held": None}, 1e-10)
    assert_same({**resumed, "held": None}, {**sharded, "held": None}, 0)


def test_what_is_gathered_once_trains_alike(runs: Path) -> None:
    found = load(runs, OFTEN)
    assert_same(found["gathered once"], found["fsdp2"], 0)


@pytest.mark.parametrize("name", ["parts", "parts from parts", "fsdp2 from ddp", "ddp from fsdp2", "ddp from parts"])
def test_saved_in_parts_and_resumed_with_another_strategy(runs: Path, name: str) -> None:
    found = load(runs, MORE)
    expected = found["ddp" if name.startswith("ddp") else "fsdp2"]
    assert found[name]["held"] == expected["held"]
    assert_same(found[name], expected, 1e-10 if "ddp" in name else 0)


def test_parts_are_on_both_processes_and_those_of_no_other_checkpoint(runs: Path) -> None:
    folder = runs / MORE / "parts" / "epoch=1.ckpt.parts"
    (parts,) = folder.iterdir()
    assert {path.name for path in parts.iterdir()} == {".metadata", "__0_0.distcp", "__1_0.distcp"}
    whole, rest = (runs / MORE / name / "epoch=1.ckpt" for name in ("fsdp2", "parts"))
    saved = torch.load(rest, weights_only=True)
    assert saved["state_dict"]["encoder.layers.0.weight"] is None and saved["parts"]["folder"] == parts.name
    assert rest.stat().st_size < whole.stat().st_size


@pytest.mark.parametrize("name", ["parts", "fsdp2"])
def test_another_number_of_processes_loads_it(runs: Path, name: str) -> None:
    loaded, saved = load(runs, "loaded", world=1)[name]
    assert len(saved["optimizer_states"][0]["state"]) > 4
    assert_same(loaded, saved, 0)


def test_gramian_methods_are_among_them() -> None:
    compared = {name: cls for name, cls in METHODS.items() if issubclass(cls, GramianWeighting)}
    assert {name for name, cls in compared.items() if not cls.perturbs_parameters} <= set(NAMES)
