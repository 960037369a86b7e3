"""Support sets that other data sets give: what is in them, that they follow from their query sets, what is refused."""

from typing import Any

import numpy as np
import pytest

from mtl_lightning.data import Episodes, Moment, RoundRobin
from mtl_lightning.data.episodes import EpisodeList, Pool, Supports
from mtl_lightning.data.evaluation_sampler import SequentialSampler
from mtl_lightning.data.sampler import StepSampler
from mtl_lightning.errors import UserError

SETTINGS = Episodes(shots=3, queries=4, support=["other", "own"], evaluated=5, per_epoch=8)
USABLE = {"other": np.arange(30) % 3 > 0, "own": np.ones(20, dtype=bool)}


def supports(**changes: Any) -> Supports:
    return Supports(**{"settings": SETTINGS, "usable": USABLE, "name": "own", "split": "train", **changes})


def pool() -> Pool:
    return Pool(SETTINGS, np.ones(20, dtype=bool), where="data.episodes.own")


def sampler(rank: int = 0, world: int = 1, size: int = 4) -> StepSampler:
    lengths = {"own": np.ones(20), "other": np.ones(30)}
    counts = {name: {"t": np.ones(len(each), dtype=int)} for name, each in lengths.items()}
    sizes = {"own": size, "other": size}
    given: Any = {"pools": {"own": pool()}, "supports": {"own": supports()}}
    return StepSampler(lengths, counts, sizes, RoundRobin(), lambda e: Moment(3, e), rank, world, **given)


def episodes(plan: Any) -> list[tuple[list[int], ...]]:
    """Rows of query set and support sets of each episode."""
    rows = plan["own"]
    parts = [rows.indices[i : i + 4] for i in range(0, len(rows.indices), 4)]
    others = [[rows.supports[n].indices[i : i + 3] for i in range(0, 3 * len(parts), 3)] for n in ("other", "own")]
    return list(zip(parts, *others, strict=True))


def test_a_support_set_has_usable_examples_of_each_data_set_and_none_of_the_query_set() -> None:
    queries = [*range(4), *range(4, 8)]
    found = supports().draw(queries, [1])
    assert {name: len(rows) for name, rows in found.items()} == {"other": 6, "own": 6}
    assert USABLE["other"][found["other"]].all()
    for start, rows in ((0, found["own"][:3]), (4, found["own"][3:])):
        assert len(set(rows)) == 3
        assert not set(rows) & set(queries[start : start + 4])
    assert supports().draw(queries[4:], [1]) == {name: rows[3:] for name, rows in found.items()}
    assert supports().draw(queries, [2]) != found


def test_two_processes_read_the_sets_of_one_and_a_run_that_goes_on_the_same() -> None:
    plans = [plan for plan in sampler(size=4) if "own" in plan]
    parts = [[plan for plan in sampler(rank, 2, size=2) if "own" in plan] for rank in (0, 1)]
    assert len(plans) == 8
    for whole, *of_ranks in zip(plans, *parts, strict=True):
        for rank, part in enumerate(of_ranks):
            assert episodes(part) == episodes(whole)[rank::2]
    later = sampler(size=4)
    later.start = (0, 1)
    assert list(later) == list(sampler(size=4))[1:]


@pytest.mark.parametrize("world", [1, 2])
def test_an_evaluation_has_the_same_sets_on_any_number_of_processes(world: int) -> None:
    given = {"own": EpisodeList(pool(), [5], supports())}
    samplers = [SequentialSampler({}, {"own": 2}, rank, world, episodes=given) for rank in range(world)]
    found = sorted(each for one in samplers for plan in one if plan for each in episodes(plan))
    (whole,) = SequentialSampler({}, {"own": 9}, episodes=given)
    assert found == sorted(episodes(whole))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"support": []}, "`support` must name at least one, and none twice, found"),
        ({"support_tasks": ["a", "a"]}, "`support_tasks` must name at least one, and none twice, found"),
        ({"support": ["a"], "ways": 2}, "`support` does not go with `ways`"),
        ({"support": ["a"], "within": "user"}, "`support` does not go with `within`"),
        ({"support_tasks": ["a"], "ways": 2}, "drop `support_tasks`"),
        ({"evaluated": 0, "ways": 2}, "with `ways` an evaluation needs episodes"),
        ({"evaluated": 1}, "`evaluated` must be at least 2, or 0 for none, found 1"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Episodes(shots=1, queries=1, **given)


def test_too_few_examples_are_refused_in_a_line() -> None:
    few = {"other": np.arange(30) < 2, "own": np.arange(20) < 6}
    with pytest.raises(UserError, match=r"needs 3 \(`shots`\) labelled examples of 'other', found 2"):
        supports(usable=few)
    with pytest.raises(UserError, match=r"needs 7 \(`shots` \+ `queries`\) labelled examples of 'own', found 6"):
        supports(usable={**USABLE, "own": few["own"]})
