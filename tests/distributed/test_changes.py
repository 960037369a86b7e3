"""Callbacks that copy, freeze, unfreeze, prune, replace or average parameters, on one process and two, and resumed."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from changes import CASES, RESUMED, TESTED
from launch import assert_same, run

SCRIPT = Path(__file__).parent / "changes.py"
LATER = [case for case in CASES if case.startswith(("group", "plain", "backbone"))]
everywhere = pytest.mark.parametrize(("world", "rank"), [(1, 0), (2, 0), (2, 1)])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("changes")
    run(SCRIPT, folder, 1, 2)
    return folder


def load(runs: Path, world: int, rank: int, case: str) -> dict[str, Any]:
    found: dict[str, Any] = pickle.loads((runs / str(world) / f"{case}-{rank}.pickle").read_bytes())
    assert "error" not in found, found["error"]
    return found


@everywhere
@pytest.mark.parametrize("case", LATER)
def test_what_is_unfrozen_trains_from_then_on(runs: Path, case: str, world: int, rank: int) -> None:
    whole = load(runs, world, rank, case)["whole"]
    sizes, trains, rates = zip(*whole["epochs"], strict=True)
    assert trains == (False, True, True)
    assert sizes[0] != sizes[1] != sizes[2]
    assert [len(each) for each in rates] == [1, 2, 2] and whole["groups"] == [4, 4]
    assert set(whole["optimizer"]["state"]) == set(range(8)), "each parameter has its state in the optimizer"


@everywhere
@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("frozen later")])
def test_what_is_frozen_rests_from_then_on(runs: Path, case: str, world: int, rank: int) -> None:
    sizes, trains, _ = zip(*load(runs, world, rank, case)["whole"]["epochs"], strict=True)
    assert trains == (True, False, False)
    assert sizes[0] == sizes[1] == sizes[2]


@everywhere
@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("pruned")])
def test_heads_train_from_the_start(runs: Path, case: str, world: int, rank: int) -> None:
    whole = load(runs, world, rank, case)["whole"]
    heads = [name for name in whole["start"] if name.startswith("heads")]
    assert heads and all(not torch.equal(whole["start"][name], whole["after_epoch"][name]) for name in heads)


@pytest.mark.parametrize("case", CASES)
def test_processes_agree(runs: Path, case: str) -> None:
    first, second = (load(runs, 2, rank, case)["whole"] for rank in (0, 1))
    for part in ("epochs", "state", "optimizer"):
        assert_same(first[part], second[part], 0, part)


@pytest.mark.parametrize(
    ("case", "world", "rank"),
    [(case, world, rank) for world in RESUMED for case in RESUMED[world] for rank in range(world)],
)
def test_a_resumed_run_goes_on_as_if_it_had_not_been_stopped(runs: Path, case: str, world: int, rank: int) -> None:
    found = load(runs, world, rank, case)
    whole, resumed = found["whole"], found["resumed"]
    assert_same(resumed["epochs"], whole["epochs"][-len(resumed["epochs"]) :], 0)
    assert_same({n: resumed[n] for n in ("state", "optimizer")}, {n: whole[n] for n in ("state", "optimizer")}, 0)


@everywhere
@pytest.mark.parametrize("case", [case for case in CASES if case.startswith(TESTED)])
def test_the_best_checkpoint_is_what_is_tested(runs: Path, case: str, world: int, rank: int) -> None:
    whole = load(runs, world, rank, case)["whole"]
    assert_same({name: whole["evaluated"][name] for name in whole["best"]}, whole["best"], 0)
    assert sum(name.startswith("heads") for name in whole["best"]) >= 4


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("average") and "statistics" not in case])
def test_averages_are_of_encoder_and_heads(runs: Path, case: str) -> None:
    whole = load(runs, 1, 0, case)["whole"]
    weights = [name for name in whole["trained"] if name.startswith(("encoder", "heads")) and "num" not in name]
    assert weights and all(not torch.equal(whole["trained"][name], whole["state"][name]) for name in weights)
