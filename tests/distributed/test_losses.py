"""Losses of 100 steps are those that ``losses.json`` keeps: a refactor changes none of them.

``make identity`` writes the file anew.
"""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from launch import run
from losses import NAMES, STEPS

SCRIPT, KEPT = (Path(__file__).with_name(name) for name in ("losses.py", "losses.json"))
COMPUTES = ("torch", "numpy", "scipy", "lightning")


def versions() -> dict[str, str]:
    """All on which the last digits depend."""
    kinds = {
        "machine": platform.machine(),
        "processor": _processor(),
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "OpenBLAS": os.environ.get("OPENBLAS_CORETYPE", ""),  # the kernels that numpy is told to take
    }
    return {**{name: version(name) for name in COMPUTES}, **kinds}


def _processor() -> str:
    """Maker and model: libraries of linear algebra choose by them."""
    known = Path("/proc/cpuinfo")
    lines = [line.partition(":") for line in known.read_text().splitlines()] if known.exists() else []
    facts = {key.strip(): value.strip() for key, _, value in lines}
    return (
        " ".join(facts.get(key, "?") for key in ("vendor_id", "cpu family", "model")) if facts else platform.processor()
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, dict[str, list[str]]]:
    folder = tmp_path_factory.mktemp("losses")
    run(SCRIPT, folder, 1, 2)
    losses = {world: json.loads((folder / world / "losses.json").read_text()) for world in ("1", "2")}
    if request.config.getoption("--write-losses"):
        KEPT.write_text(json.dumps({"versions": versions(), "losses": losses}, indent=0) + "\n")
    return losses


@pytest.mark.parametrize("world", ["1", "2"])
@pytest.mark.parametrize("name", NAMES)
def test_losses_are_those_of_before(found: dict[str, dict[str, list[str]]], name: str, world: str) -> None:
    kept = json.loads(KEPT.read_text())
    losses, before = found[world][name], kept["losses"][world][name]
    assert len(losses) == len(before) == STEPS
    if kept["versions"] == versions():
        assert losses == before
    else:
        assert [*map(float.fromhex, losses)] == pytest.approx([*map(float.fromhex, before)], rel=1e-6, abs=0)


def test_each_weighting_trains_in_its_own_way(found: dict[str, dict[str, list[str]]]) -> None:
    for world in found.values():
        assert len({losses[0] for losses in world.values()}) == 1
        assert len({losses[-1] for losses in world.values()}) == len(NAMES)
