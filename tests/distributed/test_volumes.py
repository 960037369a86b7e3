"""What two gloo processes count of their exchanges is what the model says, and is logged."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from launch import run
from volumes import CASES, TASKS, WIDTHS

from mtl_lightning.communication import volumes
from mtl_lightning.communication.volumes import Size

SHARED = sum((before + 1) * after for before, after in pairwise(WIDTHS))
SIZE = Size(len(TASKS), SHARED, len(TASKS) * (WIDTHS[-1] + 1))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("volumes")
    run(Path(__file__).parent / "volumes.py", folder, 2)
    return [json.loads((folder / "2" / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_a_step_sends_what_the_model_says(found: list[dict[str, Any]], case: str) -> None:
    size = replace(SIZE, compared=(WIDTHS[1] + 1) * WIDTHS[2]) if case == "rows of some" else SIZE
    volume = getattr(volumes, case.split()[0])(size)
    assert found[0][case] == found[1][case] == [len(volume.exchanges), volume.sent(2)]


@pytest.mark.parametrize("way", ["rows", "scattered_rows"])
def test_volumes_are_logged_by_optimizer_step(found: list[dict[str, Any]], way: str) -> None:
    """The module is built before there are other processes, and chooses the kind of rows when training starts."""
    volume, logged = getattr(volumes, way)(SIZE), found[0][f"logged {way}"]
    first, second = logged["train/bytes_sent"]
    assert second == volume.sent(2) < first, "at first, processes agree on what the tasks use"
    assert logged["train/exchanges"][1] == len(volume.exchanges)
