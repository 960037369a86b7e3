"""The sampler of evaluations: each example once, padded little, and fair where only some steps are evaluated."""

from collections import Counter
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_lightning.data.evaluation_sampler import SequentialSampler, _sample
from mtl_lightning.data.sampler import Plan


@given(st.lists(st.integers(0, 30), min_size=1, max_size=3), st.lists(st.integers(1, 9), min_size=3), st.integers(1, 5))
@settings(deadline=None, max_examples=40)
def test_evaluation_shows_each_example_once(sizes: list[int], batch_sizes: list[int], world: int) -> None:
    random = np.random.default_rng(len(sizes))
    lengths = {f"set{i}": random.integers(1, 9, size) for i, size in enumerate(sizes)}
    limits = {f"set{i}": size for i, size in enumerate(batch_sizes)}
    seen: dict[str, list[int]] = {name: [] for name in lengths}
    local: list[Counter[str]] = []
    steps = []
    for rank in range(world):
        sampler = SequentialSampler(lengths, limits, rank, world)
        sampler.set_epoch(7)
        plans = list(sampler)
        assert len(plans) == len(sampler)
        steps.append(plans)
        local.append(Counter())
        for name, rows in chain(*(plan.items() for plan in plans)):
            assert 0 < len(rows.indices) <= limits[name]
            assert rows.shares == {}
            seen[name] += rows.indices
            local[-1][name] += len(rows.indices)
    for together in zip(*steps, strict=True):  # equally many, or one would wait for another
        assert len({name for plan in together for name in plan}) <= 1
    assert steps[0]
    for name, length in lengths.items():
        assert sorted(seen[name]) == list(range(len(length)))
        assert max(c[name] for c in local) - min(c[name] for c in local) <= 1


def test_evaluation_is_longest_first_and_keeps_order() -> None:
    plans = list(SequentialSampler({"a": np.array([2, 5, 2, 5, 9])}, {"a": 2}))
    assert [plan["a"].indices for plan in plans] == [[4, 1], [3, 0], [2]]


def test_a_batch_of_an_evaluation_ends_before_it_would_hold_256_tokens_of_padding() -> None:
    lengths = np.random.default_rng(0).integers(1, 300, 500)
    batches = [lengths[plan["a"].indices] for plan in SequentialSampler({"a": lengths}, {"a": 64})]
    padding = [batch.max() * len(batch) - batch.sum() for batch in batches]
    assert max(padding) < 256
    for batch, following in pairwise(batches):
        joined = [*batch, following[0]]
        assert len(batch) == 64 or max(joined) * len(joined) - sum(joined) >= 256
    assert 5 < len(batches) < 100


def _part(lengths: dict[str, np.ndarray], limit: int | float) -> list[Plan]:
    return list(SequentialSampler(lengths, dict.fromkeys(lengths, 8), limit=limit))


LENGTHS = {name: np.random.default_rng(size).geometric(0.05, size) for name, size in (("a", 900), ("b", 90), ("c", 20))}


@pytest.mark.parametrize("limit", [30, 0.3, 0.7])
def test_a_part_of_an_evaluation_is_a_fair_sample(limit: int | float) -> None:
    steps = _part(LENGTHS, limit)
    rows = {name: [row for plan in steps if name in plan for row in plan[name].indices] for name in LENGTHS}
    fraction = len(steps) / len(SequentialSampler(LENGTHS, dict.fromkeys(LENGTHS, 8)))
    assert len(rows["a"]) == pytest.approx(fraction * len(LENGTHS["a"]), rel=0.1), "data sets keep their proportions"
    assert rows["b"] and rows["c"]
    for name, number in (("a", 4), ("b", 2)):
        assert len(set(rows[name])) == len(rows[name])
        seen, every = (
            np.quantile(each, np.arange(1, number) / number) for each in (LENGTHS[name][rows[name]], LENGTHS[name])
        )
        assert seen == pytest.approx(every, rel=0.3, abs=1), "and no length counts more than another"


def test_a_part_has_the_steps_that_lightning_takes_and_no_batch_above_the_size() -> None:
    for limit in (1, 2, 5, 40, 0.03, 0.33, 0.5, 0.999):
        sampler = SequentialSampler(LENGTHS, {"a": 8, "b": 1, "c": 3}, limit=limit)
        assert len(list(sampler)) == (int(len(sampler) * limit) if isinstance(limit, float) else limit)
        assert all(
            len(rows.indices) <= {"a": 8, "b": 1, "c": 3}[name] for plan in sampler for name, rows in plan.items()
        )


def test_millions_of_examples_have_the_ends_of_their_batches() -> None:
    edges = np.arange(0, 7 * 10**6 + 1, 25)
    _, ends = _sample(edges, len(edges) - 1, 0)
    np.testing.assert_array_equal(ends, edges[1:-1])


def test_a_part_is_read_longest_first() -> None:
    longest = [LENGTHS["a"][plan["a"].indices].max() for plan in _part(LENGTHS, 0.3) if "a" in plan]
    assert longest == sorted(longest, reverse=True) and len(longest) > 10


@given(st.lists(st.integers(0, 60), min_size=1, max_size=3), st.integers(1, 9), st.integers(1, 4))
@settings(deadline=None, max_examples=40)
def test_a_limit_that_leaves_nothing_out_changes_nothing(sizes: list[int], batch_size: int, world: int) -> None:
    lengths = {f"set{i}": np.random.default_rng(i).geometric(0.02, size) for i, size in enumerate(sizes)}
    whole, same = (
        list(SequentialSampler(lengths, dict.fromkeys(lengths, batch_size), world - 1, world, limit))
        for limit in (1.0, 10**6)
    )
    assert whole == same


def test_processes_take_the_same_steps_of_a_part() -> None:
    seen = [list(SequentialSampler(LENGTHS, dict.fromkeys(LENGTHS, 8), rank, 3, 0.5)) for rank in range(3)]
    for together in zip(*seen, strict=True):
        assert len({name for plan in together for name in plan}) == 1
    rows = [row for plans in seen for plan in plans if "a" in plan for row in plan["a"].indices]
    assert len(set(rows)) == len(rows) == pytest.approx(450, rel=0.1)
