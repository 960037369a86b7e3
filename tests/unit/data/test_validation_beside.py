"""Validation batches beside training steps: which rows, in which order, the same after any stop, one clear line."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from mtl_lightning.data import Alternating, RoundRobin
from mtl_lightning.data.beside import ValidationBeside, check_beside
from mtl_lightning.data.sampler import Plan, StepSampler
from mtl_lightning.data.schedules import Moment, Schedule
from mtl_lightning.errors import UserError

SIZES = {"first": 5, "second": 3}
LENGTHS = {"first": np.arange(40) % 7 + 1, "second": np.arange(23) % 5 + 1}
OF_VALIDATION = {"first": np.arange(17) % 4 + 1, "second": np.arange(9) % 4 + 1}
COUNTS = {"first": {"a": 1, "b": 1}, "second": {"a": 1}}


def counts(lengths: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    return {name: {task: np.full(len(lengths[name]), n) for task, n in of.items()} for name, of in COUNTS.items()}


def sampler(
    window: int, rank: int = 0, world: int = 1, schedule: Schedule | None = None, **options: Any
) -> StepSampler:
    found = ValidationBeside(
        OF_VALIDATION, counts(OF_VALIDATION), SIZES, lambda: window, (rank, world), options.get("max_tokens")
    )
    return StepSampler(
        LENGTHS,
        counts(LENGTHS),
        SIZES,
        schedule or RoundRobin(),
        lambda epoch: Moment(3, epoch),
        rank,
        world,
        beside=found,
        window=lambda: window,
        **options,
    )


def rows(plans: list[Plan], name: str) -> list[list[int]]:
    found = [plan[name].validation for plan in plans if name in plan]
    return [beside.indices for beside in found if beside is not None]


@pytest.mark.parametrize("window", [1, 3])
def test_each_optimizer_step_gets_a_batch_beside_its_last_plan(window: int) -> None:
    plans = list(sampler(window))
    for number, plan in enumerate(plans, 1):
        for each in plan.values():
            assert (each.validation is not None) == (number % window == 0)
            assert each.validation is None or each.validation.key is None  # no random changes


def test_of_data_sets_that_are_drawn_in_turn_each_gets_one_beside_its_last() -> None:
    plans = list(sampler(4, schedule=Alternating()))
    assert len(plans) > 8
    for start in range(0, len(plans) - 3, 4):
        names = [next(iter(plan)) for plan in plans[start : start + 4]]
        beside = [next(iter(plan.values())).validation is not None for plan in plans[start : start + 4]]
        assert beside == [name not in names[place + 1 :] for place, name in enumerate(names)]
    assert all(each.validation is None for plan in plans[len(plans) // 4 * 4 :] for each in plan.values())


def test_a_pass_shows_each_example_once_and_epochs_differ() -> None:
    def of_epoch(epoch: int) -> list[list[int]]:
        made = sampler(1)
        made.set_epoch(epoch)
        return rows(list(made), "first")

    first, second = of_epoch(0), of_epoch(1)
    assert len(first) == 8
    seen = Counter(row for batch in first[:4] for row in batch)  # 17 rows in batches of 5, of which the last is smaller
    assert set(seen) == set(range(17)) and set(seen.values()) == {1}
    assert first != second and first[:4] != first[4:]
    assert first == of_epoch(0)


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("schedule", [RoundRobin(), Alternating()], ids=["round robin", "alternating"])
def test_what_is_left_of_an_epoch_is_the_same_after_a_stop(window: int, schedule: Schedule) -> None:
    whole = list(sampler(window, schedule=schedule))
    for stop in range(0, len(whole), window):
        resumed = sampler(window, schedule=schedule)
        resumed.start = (0, stop)
        assert list(resumed) == whole[stop:]


def test_training_reads_what_it_reads_without() -> None:
    with_it = [{name: each._replace(validation=None) for name, each in plan.items()} for plan in sampler(2)]
    without = sampler(2)
    without.beside = None
    assert with_it == list(without)


def test_processes_share_a_batch() -> None:
    parts = [list(sampler(1, rank, 2)) for rank in range(2)]
    for step in zip(*parts, strict=True):
        found: Any = [plan["first"].validation for plan in step]
        assert not set(found[0].indices) & set(found[1].indices)
        assert all(each.indices for each in found)
    shares = [sum(each.validation.shares["a"] for each in step.values()) for step in zip_plans(parts)]
    assert shares == pytest.approx([2.0] * len(shares))  # times the processes, over which gradients are averaged


def zip_plans(parts: list[list[Plan]]) -> list[dict[Any, Any]]:
    """Rows of all processes in each step."""
    return [
        {(rank, name): each for rank, plan in enumerate(step) for name, each in plan.items()}
        for step in zip(*parts, strict=True)
    ]


def test_examples_that_are_too_long_make_a_batch_by_themselves() -> None:
    of = {"first": np.array([3, 90, 2, 4])}
    beside = ValidationBeside(of, {"first": {}}, SIZES, lambda: 1, max_tokens=10)
    plans = beside(iter([{"first": _empty()} for _ in range(3)]), Moment(0, 0), 0, 3)
    assert [1] in rows(list(plans), "first")


def _empty() -> Any:
    return next(iter(sampler(1)))["first"]


def test_what_is_refused() -> None:
    with pytest.raises(UserError, match="data set 'second' has fewer validation examples than there are processes"):
        ValidationBeside(OF_VALIDATION, counts(OF_VALIDATION), SIZES, lambda: 1, (0, 10))
    full, none = {"train": [1], "val": [1]}, {"train": [1], "test": [1]}
    check_beside("Own", {"a": full}, [])
    for tables in ({"a": full, "b": none}, {"a": full, "b": {**full, "val": []}}):
        with pytest.raises(UserError, match=r"Own learns from validation batches, but data\.datasets\.b has no"):
            check_beside("Own", tables, [])
    with pytest.raises(UserError, match=r"which data sets that are read in episodes \('a'\) do not have"):
        check_beside("Own", {"a": full}, ["a"])
