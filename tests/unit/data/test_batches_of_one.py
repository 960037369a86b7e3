"""No process gets a training batch of a single example, which batch normalisation refuses, where it can be avoided."""

from contextlib import nullcontext
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_lightning.data import Moment, RoundRobin
from mtl_lightning.data.cuts import refuse_other_data
from mtl_lightning.data.passes import Passes
from mtl_lightning.data.position import Position
from mtl_lightning.data.progress import Progress
from mtl_lightning.data.sampler import StepSampler
from mtl_lightning.errors import UserError


def steps(size: int, batch_size: int, epoch: int = 0, **changes: Any) -> list[list[int]]:
    sampler = StepSampler(
        {"a": np.arange(1, size + 1)},
        {"a": {}},
        {"a": batch_size},
        RoundRobin(),
        lambda epoch: Moment(0, epoch, 4),
        **changes,
    )
    sampler.set_epoch(epoch)
    return [plan["a"].indices for plan in sampler]


@given(st.integers(3, 6), st.integers(1, 4), st.data())
@settings(deadline=None, max_examples=60)
def test_the_last_batch_takes_examples_of_the_one_before(batch_size: int, world: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(2 * world, 60))
    ranks = [steps(size, batch_size, rank=rank, num_replicas=world) for rank in range(world)]
    assert {len(rows) for steps in ranks for rows in steps} <= set(range(2, batch_size + 1))
    seen = list(chain(*chain(*ranks)))
    assert len(seen) == len(set(seen)) > size - world


@given(st.lists(st.integers(1, 30), min_size=6, max_size=60), st.integers(30, 99))
@settings(deadline=None, max_examples=60)
def test_a_bound_on_tokens_holds_beside_it(lengths: list[int], max_tokens: int) -> None:
    passes = Passes(np.array(lengths), 7, 1, 5, max_tokens)
    sizes = passes.sizes.tolist()
    longest = np.sort(passes.lengths)[::-1]
    starts = np.cumsum([0, *sizes[:-1]])
    assert all(longest[start] * size <= max_tokens for start, size in zip(starts, sizes, strict=True))
    assert sum(sizes) == len(lengths)
    assert sizes[-1] > 1 or len(sizes) == 1 or sizes[-2] < 3


def test_the_two_smaller_batches_are_of_any_length() -> None:
    small = [rows for epoch in range(40) for rows in steps(33, 8, epoch) if len(rows) < 8]
    assert [len(rows) for rows in small].count(2) == [len(rows) for rows in small].count(7) == 40
    assert {min(rows) for rows in small if len(rows) == 2} == {0, 7, 15, 23, 31}


@pytest.mark.parametrize(("size", "batch_size", "expected"), [(7, 2, [1, 2, 2, 2]), (3, 1, [1, 1, 1]), (1, 8, [1])])
def test_where_it_cannot_be_avoided(size: int, batch_size: int, expected: list[int]) -> None:
    assert sorted(len(rows) for rows in steps(size, batch_size)) == expected


@pytest.mark.parametrize("max_tokens", [None, 40])
def test_drop_last_leaves_out_other_examples_in_each_pass(max_tokens: int | None) -> None:
    epochs = [steps(19, 4, epoch, drop_last=True, max_tokens=max_tokens) for epoch in range(20)]
    shown = [set(chain(*found)) for found in epochs]
    if max_tokens is None:
        assert {len(rows) for found in epochs for rows in found} == {4}
        assert {len(rows) for rows in shown} == {16}
    assert all(len(rows) == sum(map(len, found)) < 19 for rows, found in zip(shown, epochs, strict=True))
    assert len(set.union(*({*range(19)} - rows for rows in shown))) > 10


def test_drop_last_of_fewer_examples_than_a_batch() -> None:
    sampler = StepSampler(
        {"a": np.ones(7)}, {"a": {}}, {"a": 8}, RoundRobin(), lambda e: Moment(0, e, 1), drop_last=True
    )
    assert sampler.num_batches == {"a": 0}


def test_another_number_of_processes_is_refused_in_mid_epoch_where_last_batches_differ() -> None:
    plans = []
    for size, world in ((18, 1), (18, 2), (20, 1), (20, 2)):
        progress = Progress(None, 0, {})
        progress._sampler = StepSampler(
            *({"a": np.ones(size)}, {"a": {}}, {"a": 8 // world}, RoundRobin(), lambda e: Moment(0, e, 1)),
            num_replicas=world,
        )
        plans.append(progress._plan())
    assert plans[0] != plans[1]  # the last batch has 2 examples, or 4
    assert plans[2] == plans[3]
    takes = "the number of examples that the last batch takes of the one before"
    assert [plan[takes] for plan in plans] == [{"a": 0}, {"a": 2}, {"a": 0}, {"a": 0}]


def test_a_checkpoint_that_knows_nothing_of_drop_last_was_saved_without_it() -> None:
    for drop_last in (False, True):
        progress = Progress(None, 0, {})
        progress._sampler = StepSampler(
            {"a": np.ones(16)}, {"a": {}}, {"a": 8}, RoundRobin(), lambda e: Moment(0, e, 1), drop_last=drop_last
        )
        saved = {name: value for name, value in progress._plan().items() if name != "data.drop_last"}
        with (
            pytest.raises(UserError, match=r"data\.drop_last was False; it is True now") if drop_last else nullcontext()
        ):
            refuse_other_data(saved, progress._plan(), Position(0, 1), [], progress._sampler.stretches[0])
