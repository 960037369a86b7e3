"""Rows in parts, one for each process, are as good as whole ones for every Gramian method, and send half as much."""

from pathlib import Path
from typing import Any

import pytest
import torch
from launch import assert_same, run
from scattered import CASES, KINDS, ON_FOUR, SHARED, TASKS, WIDTHS

from mtl_lightning.communication import volumes
from mtl_lightning.communication.volumes import Size

WORLDS = (2, 4)
Found = dict[int, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("scattered")
    run(Path(__file__).parent / "scattered.py", folder, *WORLDS)
    return {world: [torch.load(folder / str(world) / f"{rank}.pt") for rank in range(world)] for world in WORLDS}


@pytest.mark.parametrize(("case", "world"), [*((case, 2) for case in CASES), *((case, 4) for case in ON_FOUR)])
def test_scattered_rows_train_as_whole_ones(found: Found, case: str, world: int) -> None:
    for kind, cls in KINDS.items():
        assert found[world][0][kind][case]["rows"] == cls.__name__
    for rank in found[world]:
        whole = rank["whole"][case]
        assert whole["gramians"]
        for kind in [*KINDS][1:]:
            assert_trains_alike(rank[kind][case], whole)
            assert_same(rank[kind][case]["state"], found[world][0][kind][case]["state"])


def assert_trains_alike(scattered: dict[str, Any], whole: dict[str, Any]) -> None:
    assert_same(scattered["state"], whole["state"], 1e-10)
    assert_same(scattered["gramians"], whole["gramians"], 1e-10)


@pytest.mark.parametrize("case", ON_FOUR)
@pytest.mark.parametrize("world", WORLDS)
def test_long_rows_train_as_short_ones_whether_whole_or_sent_in_pieces(found: Found, case: str, world: int) -> None:
    for rank in found[world]:
        for kind in ("whole", "scattered"):
            assert_trains_alike(rank[f"{kind}, long"][case], rank["whole"][case])
        assert rank["scattered, long"][case]["sent"] == rank["scattered"][case]["sent"]


@pytest.mark.parametrize("world", WORLDS)
def test_scattered_rows_send_what_the_model_says(found: Found, world: int) -> None:
    size = Size(len(TASKS), SHARED, len(TASKS) * (WIDTHS[-1] + 1), bytes=8)
    whole, scattered = (found[world][0][kind]["UPGrad"]["sent"] for kind in ("whole", "scattered"))
    assert whole == pytest.approx(volumes.rows(size).sent(world))
    padding = -SHARED % world * 8 * (len(TASKS) + 1) * (world - 1) / world
    assert scattered == pytest.approx(volumes.scattered_rows(size).sent(world) + padding)


@pytest.mark.parametrize("world", WORLDS)
def test_products_of_parts_are_judged_as_those_of_whole_rows(found: Found, world: int) -> None:
    ranks = [rank["nearly parallel"] for rank in found[world]]
    assert not any(rank["accurate"] for rank in ranks)
    rows = sum(rank["gradients"] for rank in ranks).double()
    for rank in ranks:
        torch.testing.assert_close(rank["exact"], rows @ rows.T, rtol=1e-6, atol=0)
        assert_same(rank["exact"], ranks[0]["exact"])


@pytest.mark.parametrize("world", WORLDS)
def test_a_step_that_is_discarded_leaves_the_connection_in_order(found: Found, world: int) -> None:
    assert [rank["sums"] for rank in found[world]] == [[sum(range(1, world + 1))]] * world
