"""A run that is stopped twice in an epoch, and resumed on one process and on four, reads what it would have read."""

import pickle
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from launch import assert_same, run

SCRIPT = Path(__file__).parent / "worlds.py"
SIZES = {"both": 40, "one": 24, "stream": 40}
Read = list[tuple[int, int, dict[str, list[int]]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worlds")
    for world in (2, 1, 4):
        run(SCRIPT, folder, world)
    return folder


def read(folder: Path, case: str, world: int, which: str = "part") -> Read:
    """What all processes read in each step, in the order in which it was dealt."""
    ranks: list[Any] = [pickle.loads((folder / str(world) / f"{case}-{r}.pickle").read_bytes()) for r in range(world)]
    joined: Read = []
    for step in zip(*(rank[which] for rank in ranks), strict=True):
        ((epoch, batch),) = {(epoch, batch) for epoch, batch, _ in step}
        parts = {name: [each.get(name, []) for *_, each in step] for name in SIZES}
        rows = {name: [r for turn in zip_longest(*part) for r in turn if r is not None] for name, part in parts.items()}
        joined.append((epoch, batch, rows))
    return joined


def test_the_order_is_kept_where_the_joined_batch_is(folder: Path) -> None:
    parts = [read(folder, "joined", world) for world in (2, 1, 4)]
    assert [len(part) for part in parts[:2]] == [2, 2] and parts[2][0][:2] == (0, 4)
    assert parts[0] + parts[1] + parts[2] == read(folder, "joined", 1, "whole")


def test_parameters_are_those_of_an_uninterrupted_run_on_one_process(folder: Path) -> None:
    for rank in range(4):
        found = pickle.loads((folder / "4" / f"joined-{rank}.pickle").read_bytes())["state"]
        assert_same(found, pickle.loads((folder / "1" / "joined-0.pickle").read_bytes())["expected"], 1e-12)


def test_with_other_batches_the_epoch_goes_on_with_what_it_has_not_seen(folder: Path) -> None:
    """Of the stream too, of which a buffer was read already; from the next epoch on the order is kept."""
    parts = [read(folder, "each", world) for world in (2, 1, 4)]
    steps = [[(epoch, batch) for epoch, batch, _ in part] for part in parts]
    assert steps[0] == [(0, batch) for batch in range(4)]  # of 10
    assert steps[1] == [(0, batch) for batch in range(8, 12)]  # of 20
    assert steps[2] == [(0, 3), (0, 4), *((1, batch) for batch in range(5))]  # of 5
    for name, size in SIZES.items():
        seen = [row for part in parts for epoch, _, rows in part if epoch == 0 for row in rows[name]]
        assert sorted(seen[:size]) == list(range(size)), name
    whole = [(step, {n: rows[n] for n in ("both", "one")}) for *step, rows in read(folder, "each", 1, "whole")]
    assert [(step, {n: rows[n] for n in ("both", "one")}) for *step, rows in parts[2][2:]] == whole[5:]
