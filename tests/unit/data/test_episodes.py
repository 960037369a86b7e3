"""Episodes: what is in one, that they follow from their number alone, and what they are refused for."""

from itertools import chain
from typing import Any

import numpy as np
import pytest

from mtl_lightning.data import Episodes, Moment, RoundRobin
from mtl_lightning.data.episodes import EpisodeList, Form, Pool
from mtl_lightning.data.evaluation_sampler import SequentialSampler
from mtl_lightning.data.sampler import StepSampler
from mtl_lightning.errors import UserError

CLASSES = np.repeat(np.arange(8), 6)
GROUPS = CLASSES // 4
USABLE = np.ones(48, dtype=bool)
SETTINGS = Episodes(shots=2, queries=3, ways=3, within="g", evaluated=11, per_epoch=24)


def pool(**changes: Any) -> Pool:
    given = {"settings": SETTINGS, "usable": USABLE, "classes": CLASSES, "groups": GROUPS, "where": "data.episodes.d"}
    return Pool(**{**given, **changes})


def sampler(rank: int = 0, world: int = 1, size: int = 4) -> StepSampler:
    lengths, counts = {"d": np.ones(48)}, {"d": {"t": np.ones(48, dtype=int)}}
    return StepSampler(
        lengths, counts, {"d": size}, RoundRobin(), lambda e: Moment(3, e), rank, world, pools={"d": pool()}
    )


@pytest.mark.parametrize("number", range(20))
def test_an_episode_has_classes_of_one_group_and_as_many_rows_of_each(number: int) -> None:
    rows, form = pool().draw([number]), SETTINGS.form
    assert len(set(rows)) == len(rows) == form.size == 15
    assert len(set(GROUPS[rows])) == 1
    ((support, query),) = form.parts(len(rows))
    classes = CLASSES[rows[support]][::2]
    assert len(set(classes)) == 3
    assert list(CLASSES[rows[support]]) == list(np.repeat(classes, 2))
    assert list(CLASSES[rows[query]]) == list(np.repeat(classes, 3))
    assert list(np.array(classes)[form.places(15)]) == list(CLASSES[rows])


def test_rows_that_have_no_label_and_classes_that_are_too_small_are_never_drawn() -> None:
    usable = USABLE.copy()
    usable[[0, 6, 7]] = False  # class 0 keeps five rows, class 1 only four
    seen = set(chain.from_iterable(pool(usable=usable).draw([number]) for number in range(60)))
    assert not seen & {0, 6, 7, 8, 9, 10, 11}
    assert {1, 2, 3, 4, 5} <= seen


def test_episodes_without_classes_are_of_one_group() -> None:
    settings = Episodes(shots=5, queries=7, within="g")
    rows = pool(settings=settings, classes=None).draw([1])
    assert len(set(rows)) == 12
    assert len(set(GROUPS[rows])) == 1


def test_two_processes_read_the_episodes_of_one() -> None:
    whole = [plan["d"].indices for plan in sampler(size=4)]
    parts = [[plan["d"].indices for plan in sampler(rank, 2, size=2)] for rank in (0, 1)]
    size = SETTINGS.form.size
    assert len(whole) == 6
    for all_rows, *of_ranks in zip(whole, *parts, strict=True):
        episodes = [all_rows[i : i + size] for i in range(0, 4 * size, size)]
        for rank, rows in enumerate(of_ranks):
            assert [rows[:size], rows[size:]] == episodes[rank::2]


def test_a_run_that_goes_on_in_mid_epoch_reads_the_same_episodes() -> None:
    whole, later = list(sampler()), sampler()
    later.start = (0, 4)
    assert list(later) == whole[4:]
    assert whole[0]["d"].form == SETTINGS.form
    again = sampler()
    again.set_epoch(1)
    assert list(again) != whole


@pytest.mark.parametrize("world", [1, 2, 3])
def test_an_evaluation_has_the_same_episodes_on_any_number_of_processes(world: int) -> None:
    episodes = EpisodeList(pool(), [5])
    samplers = [
        SequentialSampler({"x": np.ones(7)}, {"d": 2, "x": 4}, rank, world, episodes={"d": episodes})
        for rank in range(world)
    ]
    plans = [list(each) for each in samplers]
    assert {len(each) for each in plans} == {len(samplers[0])}
    size = SETTINGS.form.size
    found = [rows for of_rank in plans for plan in of_rank if "d" in plan for rows in [plan["d"].indices]]
    parts = sorted(tuple(rows[i : i + size]) for rows in found for i in range(0, len(rows), size))
    assert parts == sorted(tuple(pool().draw([5, number])) for number in range(11))
    assert sum(len(plan["x"].indices) for of_rank in plans for plan in of_rank if "x" in plan) == 7


def test_places_name_the_classes_of_several_episodes() -> None:
    assert Form(support=2, queries=2, ways=2).places(8) == [0, 1, 0, 1] * 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shots": 0, "queries": 1}, "`shots` must be at least 1, found 0; without examples there is nothing to learn"),
        ({"shots": 1, "queries": 0}, "`queries` must be at least 1, found 0"),
        ({"shots": 1, "queries": 1, "ways": 1}, "`ways` must be at least 2, found 1"),
        ({"shots": 1, "queries": 1, "evaluated": 1}, "`evaluated` must be at least 2"),
        ({"shots": 1, "queries": 1, "eval_ways": 3}, "`eval_ways` needs `ways`"),
    ],
)
def test_settings_out_of_range_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Episodes(**given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ways": 5}, r"needs 5 classes \(`ways`\) with 2 \+ 3 .* of one value of 'g', found at most 4 such"),
        ({"queries": 9}, r"needs 3 classes \(`ways`\) with 2 \+ 9 .* found at most 0 such classes; of 4 in all"),
        ({"ways": None, "queries": 40}, r"needs 2 \+ 40 .* labelled examples of one value of 'g', found at most 24"),
    ],
)
def test_too_few_classes_or_examples_are_refused_in_a_line(changes: dict[str, Any], message: str) -> None:
    settings = Episodes(**{"shots": 2, "queries": 3, "ways": 3, "within": "g", **changes})
    with pytest.raises(UserError, match=message):
        pool(settings=settings, classes=None if settings.ways is None else CLASSES)
