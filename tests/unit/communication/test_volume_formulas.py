"""What a step sends, in closed form."""

import pytest

from mtl_lightning.communication import volumes
from mtl_lightning.communication.volumes import Size

SIZE, PROCESSES = Size(tasks=5, shared=1000), 8
ROW, SHARE = 4 * 1000, 7 / 8
GRAMIAN, LOSSES, LENGTH = 16 * 5**2, 2 * 4 * 5, 2 * 4
SENT = {
    "distributed_data_parallel": 2 * ROW,
    "plain": 2 * ROW + LOSSES,
    "rows": 2 * 5 * ROW + LOSSES + LENGTH,
    "scattered_rows": (5 + 1) * ROW + GRAMIAN + LOSSES + LENGTH,
    "features": 2 * ROW + GRAMIAN + LOSSES + LENGTH,
    "known_weights": 2 * ROW + LOSSES,
    "sharded_plain": 3 * ROW + LOSSES,
    "sharded_rows": (2 * 5 + 1) * ROW + GRAMIAN + LOSSES + LENGTH,
    "sharded_rows_gathered_once": (5 + 1) * ROW + GRAMIAN + LOSSES + LENGTH,
}


@pytest.mark.parametrize("way", SENT)
def test_bytes_of_a_step(way: str) -> None:
    volume = getattr(volumes, way)(SIZE)
    assert volume.sent(PROCESSES) == pytest.approx(SENT[way] * SHARE)
    assert volume.sent(1) == 0


def test_heads_are_summed_once_however_tasks_are_compared() -> None:
    for way in SENT:
        with_heads = getattr(volumes, way)(Size(5, 1000, heads=60)).sent(PROCESSES)
        assert with_heads - getattr(volumes, way)(SIZE).sent(PROCESSES) == pytest.approx(2 * 4 * 60 * SHARE)


@pytest.mark.parametrize("way", ["rows", "scattered_rows"])
def test_shorter_rows_are_followed_by_the_gradient_of_all(way: str) -> None:
    function = getattr(volumes, way)
    some = Size(tasks=5, shared=1000, compared=100)
    second = function(Size(tasks=5, shared=100)).sent(PROCESSES) + 2 * ROW * SHARE
    gathered = 4 * 100 * SHARE if way == "scattered_rows" else 0  # a combination of the rows is not asked for
    assert function(some).sent(PROCESSES) == pytest.approx(second - gathered)
