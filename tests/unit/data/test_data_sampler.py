"""Samplers: purity, partition over processes, shares, buckets, bounds, resuming."""

import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise, zip_longest
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.connectors.accelerator_connector import _AcceleratorConnector
from torch.utils.data import DataLoader, RandomSampler

from mtl_lightning.data import (
    Alternating,
    Annealed,
    FixedProbabilities,
    Moment,
    Proportional,
    RoundRobin,
    Schedule,
    Temperature,
    Uniform,
    ValidationDriven,
)
from mtl_lightning.data import sampler as data_sampler
from mtl_lightning.data.evaluation_sampler import SequentialSampler
from mtl_lightning.data.passes import Passes
from mtl_lightning.data.sampler import Plan, Rows, StepSampler
from mtl_lightning.data.shares import shares_of
from mtl_lightning.data.stretches import Stretch
from mtl_lightning.errors import UserError

SCHEDULES = {"round-robin": RoundRobin, "alternating": Alternating}
DRAWN: list[Callable[[list[str]], Schedule]] = [
    lambda names: RoundRobin(),
    lambda names: RoundRobin("shortest"),
    lambda names: Alternating(),
    lambda names: Alternating("sum"),
    lambda names: Proportional(),
    lambda names: Uniform(epoch_length="longest"),
    lambda names: Temperature(0.5, batches_per_step=3),
    lambda names: FixedProbabilities(dict.fromkeys(names, 0.5), batches_per_step=2, epoch_length=9),
    lambda names: Annealed(batches_per_step=4),
    lambda names: ValidationDriven(epoch_length=1),
]


class Case(NamedTuple):
    lengths: dict[str, np.ndarray]
    counts: dict[str, dict[str, np.ndarray]]
    batch_sizes: dict[str, int]
    world: int
    bucket: int
    schedule: Schedule
    seed: int
    max_tokens: int | None = None

    def sampler(self, rank: int = 0, epoch: int = 0, **changes: Any) -> StepSampler:
        seed = changes.pop("seed", self.seed)
        arguments = {"num_replicas": self.world, "bucket": self.bucket, "max_tokens": self.max_tokens, **changes}
        arguments["moment"] = lambda epoch: Moment(seed, epoch, 4)
        sampler = StepSampler(self.lengths, self.counts, self.batch_sizes, self.schedule, rank=rank, **arguments)
        sampler.set_epoch(epoch)
        return sampler

    def ranks(self, epoch: int = 0) -> list[list[Plan]]:
        return [list(self.sampler(rank, epoch)) for rank in range(self.world)]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """One to three data sets of one to three tasks; some examples, or all, have no label of a task."""
    world = draw(st.integers(1, 4))
    names = ["first", "second", "third"][: draw(st.integers(1, 3))]
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths, counts = {}, {}
    for name in names:
        size = draw(st.integers(world, 40))
        tasks = draw(st.sets(st.sampled_from(["a", "b", "c"]), min_size=1))
        most = {task: draw(st.integers(0, 4)) for task in sorted(tasks)}
        lengths[name] = random.integers(1, 20, size)
        counts[name] = {task: random.integers(0, high + 1, size) for task, high in most.items()}
    batch_sizes = {name: draw(st.integers(1, 7)) for name in names}
    schedule = draw(st.sampled_from(DRAWN))(names)
    max_tokens = draw(st.none() | st.integers(max(int(length.max()) for length in lengths.values()), 99))
    bucket, seed = draw(st.integers(1, 4)), draw(st.integers(0, 9))
    return Case(lengths, counts, batch_sizes, world, bucket, schedule, seed, max_tokens)


def global_batches(ranks: list[list[Plan]], name: str) -> list[list[int]]:
    """The rows of all processes, a step after the other, in the order in which they were dealt."""
    steps = [[plan[name].indices for plan in step] for step in zip(*ranks, strict=True) if name in step[0]]
    return [[row for turn in zip_longest(*parts) for row in turn if row is not None] for parts in steps]


def passes(batches: list[list[int]], length: int) -> list[list[int]]:
    """Rows of each whole pass over a data set, of ``length`` batches."""
    starts = range(0, len(batches) - length + 1, length)
    return [list(chain.from_iterable(batches[start : start + length])) for start in starts]


def numbers_of_batches(case: Case, name: str, epoch: int) -> list[int]:
    """How many batches each step takes from a data set, where it takes any."""
    steps = case.schedule.steps(case.sampler().num_batches, Moment(case.seed, epoch, 4))
    return [step.count(name) for step in steps if name in step]


# -- training ----------------------------------------------------------------------------------------------------------
@given(cases(), st.integers(0, 3))
@settings(deadline=None, max_examples=40)
def test_plans_are_a_function_of_seed_and_epoch(case: Case, epoch: int) -> None:
    sampler = case.sampler(epoch=epoch)
    plans = list(sampler)
    assert list(sampler) == plans
    np.random.seed(epoch)
    assert list(case.sampler(epoch=epoch)) == plans


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_other_epoch_or_seed_is_another_order(schedule: type[Schedule]) -> None:
    lengths = {"a": np.arange(60), "b": np.arange(45)}
    counts = {name: {"task": np.ones(len(length), dtype=int)} for name, length in lengths.items()}
    case = Case(lengths, counts, {"a": 4, "b": 4}, 1, 50, schedule(), 0)
    plans = list(case.sampler())
    for other in (case.sampler(epoch=1), case.sampler(seed=1)):
        for name in lengths:
            rows = [[plan[name].indices for plan in steps if name in plan] for steps in (plans, list(other))]
            assert rows[0] != rows[1]
    # Data sets of one size are not shuffled alike.
    twins = case._replace(lengths={"a": np.arange(60), "b": np.arange(60)}, counts={"a": {}, "b": {}})
    orders = {name: list(chain(*(p[name].indices for p in twins.sampler() if name in p))) for name in "ab"}
    assert orders["a"] != orders["b"]


@given(cases(), st.integers(0, 3))
@settings(deadline=None, max_examples=40)
def test_processes_divide_the_batch_of_a_step(case: Case, epoch: int) -> None:
    ranks = case.ranks(epoch)
    assert [len(plans) for plans in ranks] == [len(case.sampler())] * case.world
    for step in zip(*ranks, strict=True):
        assert len({tuple(plan) for plan in step}) == 1
        for name in step[0]:
            parts = [plan[name].indices for plan in step]
            assert len(parts[-1]) > 0 and len(parts[0]) - len(parts[-1]) <= 1
            assert sorted(map(len, parts), reverse=True) == list(map(len, parts))
            assert {plan[name].step_size for plan in step} == {sum(map(len, parts))}
    for name in case.lengths:
        numbers = numbers_of_batches(case, name, epoch)
        for batch, number in zip(global_batches(ranks, name), numbers, strict=True):
            assert len(batch) <= case.batch_sizes[name] * case.world * number


@given(cases(), st.integers(0, 3))
@settings(deadline=None, max_examples=100)
def test_each_pass_shows_each_example_once(case: Case, epoch: int) -> None:
    """A pass has the same number of batches and of rows whatever the epoch; fewer rows than processes are left out."""
    ranks, sampler = case.ranks(epoch), case.sampler()
    for name, length in case.lengths.items():
        rows = list(chain(*global_batches(ranks, name)))
        size = int(sampler.passes[name].sizes.sum())
        whole, rest = divmod(sum(numbers_of_batches(case, name, epoch)), sampler.num_batches[name])
        assert len(length) - case.world < size <= len(length)
        assert whole * size <= len(rows) < (whole + 1) * size
        assert (rest == 0) == (len(rows) == whole * size)
        for start in range(0, len(rows), size):
            shown = rows[start : start + size]
            assert len(set(shown)) == len(shown)
            assert set(shown) <= set(range(len(length)))


@given(cases())
@settings(deadline=None, max_examples=40)
def test_without_a_bound_on_tokens_batches_are_full(case: Case) -> None:
    sampler = case.sampler(max_tokens=None)
    for name, length in case.lengths.items():
        full, rest = divmod(len(length), case.batch_sizes[name] * case.world)
        assert sampler.num_batches[name] == full + (rest >= case.world)


@pytest.mark.parametrize("max_tokens", [None, 50, 110], ids=["rows", "few-tokens", "more-tokens"])
@pytest.mark.parametrize("batch_size", [1, 6])
def test_what_is_left_out_differs_from_pass_to_pass(batch_size: int, max_tokens: int | None) -> None:
    lengths = {"a": np.arange(1, 51)}
    case = Case(lengths, {"a": {}}, {"a": batch_size}, 4, 2, RoundRobin(), 0, max_tokens)
    assert case.sampler().passes["a"].sizes.sum() == 48
    left_out = [set(range(50)) - set(chain(*global_batches(case.ranks(epoch), "a"))) for epoch in range(40)]
    assert all(len(rows) == 2 for rows in left_out)
    assert len(set.union(*left_out)) > 30


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@given(case=cases())
@settings(deadline=None, max_examples=20)
def test_epoch_is_one_pass_over_the_data_set_with_most_batches(schedule: type[Schedule], case: Case) -> None:
    case = case._replace(schedule=schedule())
    sampler = case.sampler()
    plans = list(sampler)
    longest = max(sampler.num_batches.values())
    assert len(plans) == longest * (len(case.lengths) if schedule is Alternating else 1)
    assert all(len(plan) == (1 if schedule is Alternating else len(case.lengths)) for plan in plans)
    drawn = Counter(name for plan in plans for name in plan)
    assert set(drawn.values()) == {longest}


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("world", [1, 2])
def test_largest_is_seen_once_and_short_ones_start_over_reshuffled(schedule: type[Schedule], world: int) -> None:
    lengths = {"long": np.ones(60), "short": np.ones(20)}
    case = Case(lengths, {"long": {}, "short": {}}, {"long": 4 // world, "short": 4 // world}, world, 50, schedule(), 0)
    ranks = case.ranks()
    assert sorted(chain(*global_batches(ranks, "long"))) == list(range(60))
    turns = passes(global_batches(ranks, "short"), 5)
    assert [sorted(rows) for rows in turns] == [list(range(20))] * 3
    assert turns[0] != turns[1] != turns[2] != turns[0]


@given(cases())
@settings(deadline=None, max_examples=40)
def test_shares_make_the_global_mean(case: Case) -> None:
    """Averaged over processes, share x local mean is the mean over all labels of the step."""
    random = np.random.default_rng(0)
    values = {  # the loss of each label, by data set, task and example
        name: {task: [random.normal(size=n) for n in numbers] for task, numbers in tasks.items()}
        for name, tasks in case.counts.items()
    }
    for step in zip(*case.ranks(), strict=True):
        weighted: dict[str, float] = {}
        labels: dict[str, list[np.ndarray]] = {}
        for plan in step:
            for name, rows in plan.items():
                local = {task: np.concatenate([v[i] for i in rows.indices]) for task, v in values[name].items()}
                for task, found in local.items():
                    labels.setdefault(task, []).append(found)
                    if len(found):
                        weighted[task] = weighted.get(task, 0.0) + rows.shares[task] * found.mean()
                    else:
                        assert rows.shares.get(task, 0) == 0
        means = {task: np.concatenate(v).mean() for task, v in labels.items() if sum(map(len, v))}
        assert set(means) == {task for plan in step for rows in plan.values() for task in rows.shares}
        for task, mean in means.items():
            assert weighted[task] == pytest.approx(case.world * mean, rel=1e-9, abs=1e-12)


def test_task_without_a_label_in_the_step_has_no_share() -> None:
    counts = {"a": {"there": np.array([1, 0]), "absent": np.array([0, 0])}}
    case = Case({"a": np.ones(2)}, counts, {"a": 1}, 2, 1, RoundRobin(), 0)
    (first,), (second,) = case.ranks()
    shares = {plan["a"].indices[0]: plan["a"].shares for plan in (first, second)}
    assert shares == {0: {"there": 2.0}, 1: {"there": 0.0}}


# -- lengths -----------------------------------------------------------------------------------------------------------
def padded(sampler: StepSampler) -> int:
    return sum(
        int(sampler.lengths[name][rows.indices].max()) * len(rows.indices)
        for plan in sampler
        for name, rows in plan.items()
    )


LENGTHS = np.random.default_rng(0).lognormal(3, 0.6, 2000).astype(int) + 1


def lengths_case(schedule: Schedule, world: int = 1, max_tokens: int | None = None, bucket: int = 50) -> Case:
    return Case({"a": LENGTHS}, {"a": {}}, {"a": 8}, world, bucket, schedule, 0, max_tokens)


@pytest.mark.parametrize("world", [1, 3])
def test_buckets_save_padding(world: int) -> None:
    case = lengths_case(RoundRobin(), world)
    bucketed, plain = (sum(padded(case.sampler(r, bucket=b)) for r in range(world)) for b in (50, 1))
    real = LENGTHS.sum()
    assert real <= bucketed < real + 0.15 * (plain - real)


@pytest.mark.parametrize("max_tokens", [None, 400], ids=["rows", "tokens"])
def test_batches_that_are_joined_are_neighbours_in_length(max_tokens: int | None) -> None:
    alone, joined = (lengths_case(Proportional(batches_per_step=n), 1, max_tokens).sampler() for n in (1, 4))
    strangers = np.random.default_rng(0).permutation(LENGTHS)[: 62 * 32].reshape(62, 32).max(1).sum() * 32
    assert padded(alone) < padded(joined) < LENGTHS.sum() + 0.25 * (strangers - LENGTHS.sum())


def test_there_is_no_jump_in_length_between_buckets() -> None:
    """Else batches that lie across one, behind the smaller batch or joined, were padded much: by 25 % here."""
    case = lengths_case(RoundRobin(), bucket=10)._replace(batch_sizes={"a": 7})
    assert padded(case.sampler()) < 1.2 * LENGTHS.sum()


@pytest.mark.parametrize("max_tokens", [None, 400], ids=["rows", "tokens"])
def test_an_epoch_shorter_than_a_pass_has_examples_of_all_lengths(max_tokens: int | None) -> None:
    case = lengths_case(RoundRobin(20), 1, max_tokens, bucket=250)
    rows = [i for epoch in range(40) for plan in case.sampler(epoch=epoch) for i in plan["a"].indices]
    fifths = np.searchsorted(np.quantile(LENGTHS, [0.2, 0.4, 0.6, 0.8]), LENGTHS[rows])
    assert np.bincount(fifths) / len(rows) == pytest.approx(0.2, abs=0.04)


def test_the_smaller_batch_is_not_always_of_the_longest() -> None:
    case = Case({"a": np.arange(46)}, {"a": {}}, {"a": 8}, 1, 50, RoundRobin(), 0)
    batches = [plan["a"].indices for epoch in range(40) for plan in case.sampler(epoch=epoch)]
    small = [min(rows) for rows in batches if len(rows) < 8]
    assert len(small) == 40
    assert set(small) == {0, 8, 16, 24, 32, 40}


@pytest.mark.parametrize("max_tokens", [None, 400], ids=["rows", "tokens"])
def test_batches_come_in_random_order_and_others_in_each_epoch(max_tokens: int | None) -> None:
    case = lengths_case(RoundRobin(), 1, max_tokens)
    epochs = [[plan["a"].indices for plan in case.sampler(epoch=epoch)] for epoch in (0, 1)]
    longest = [max(LENGTHS[rows]) for rows in epochs[0]]
    assert np.corrcoef(longest, range(len(longest)))[0, 1] ** 2 < 0.05
    batches = [{frozenset(rows) for rows in epoch} for epoch in epochs]
    assert len(batches[0] & batches[1]) < 0.02 * len(batches[0])


@given(cases(), st.integers(0, 3))
@settings(deadline=None, max_examples=40)
def test_a_process_has_no_more_than_max_tokens_of_a_batch(case: Case, epoch: int) -> None:
    case = case._replace(schedule=RoundRobin(), max_tokens=case.max_tokens or 20)
    for rank in range(case.world):
        for plan in case.sampler(rank, epoch):
            for name, rows in plan.items():
                assert len(rows.indices) * case.lengths[name][rows.indices].max() <= (case.max_tokens or 0)
                assert len(rows.indices) <= case.batch_sizes[name]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_batches_are_as_large_as_max_tokens_lets_them_be(world: int) -> None:
    case = lengths_case(RoundRobin(), world, 400)._replace(batch_sizes={"a": 1000})
    sampler = case.sampler()
    sizes = [len(rows.indices) * LENGTHS[rows.indices].max() for plan in sampler for rows in plan.values()]
    assert np.mean(sizes) > 0.85 * 400
    assert max(sizes) <= 400
    total = sum(padded(case.sampler(rank)) for rank in range(world))
    assert total < 1.04 * LENGTHS.sum()


def test_an_example_longer_than_max_tokens_is_named() -> None:
    lengths = {"a": np.array([3]), "b": np.array([3, 33, 2])}
    case = Case(lengths, {"a": {}, "b": {}}, {"a": 2, "b": 2}, 1, 5, RoundRobin(), 0)
    assert len(list(case.sampler(max_tokens=33))) == 2
    with pytest.raises(UserError, match=r"max_tokens is 32, but row 1 of data set 'b' has 33 tokens; set it to 33"):
        case.sampler(max_tokens=32)


def test_a_large_data_set_takes_arrays_not_lists() -> None:
    lengths = np.resize(LENGTHS, 400_000).astype(np.int32)
    case = Case({"a": lengths}, {"a": {}}, {"a": 32}, 1, 50, RoundRobin(), 0)
    tracemalloc.start()
    next(iter(case.sampler()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * len(lengths)


# -- going on in mid-epoch ---------------------------------------------------------------------------------------------
@given(cases(), st.integers(0, 3), st.data())
@settings(deadline=None, max_examples=100)
def test_a_start_in_mid_epoch_gives_the_rest_of_it(case: Case, epoch: int, data: st.DataObject) -> None:
    rank = data.draw(st.integers(0, case.world - 1))
    sampler = case.sampler(rank, epoch)
    plans = list(sampler)
    skip = data.draw(st.integers(0, len(plans)))
    sampler.start = (epoch, skip)
    assert list(sampler) == plans[skip:]
    assert len(sampler) == len(plans)
    sampler.set_epoch(epoch + 1)
    assert list(sampler) == list(case.sampler(rank, epoch + 1))


def drawn(ranks: Sequence[Iterable[Plan]]) -> list[dict[str, list[int]]]:
    """What all processes read in each step, in the order in which it was dealt."""
    found = []
    for step in zip(*ranks, strict=True):
        turns = {name: zip_longest(*(plan[name].indices for plan in step)) for name in step[0]}
        found.append({name: [row for turn in each for row in turn if row is not None] for name, each in turns.items()})
    return found


def resumed(case: Case, epoch: int, stretches: list[Stretch]) -> list[StepSampler]:
    """As another number of processes takes up; the last stretch is what is left."""
    last = stretches[-1]
    ranks = [case.sampler(rank, epoch) for rank in range(case.world)]
    for rank in ranks:
        rank.start, rank.stretches = (epoch, last.start), stretches
    return ranks


@given(cases(), st.integers(0, 3), st.integers(1, 4), st.data())
@settings(deadline=None, max_examples=40)
def test_other_processes_keep_the_batches_where_they_are_as_large(
    case: Case, epoch: int, world: int, data: st.DataObject
) -> None:
    case = case._replace(max_tokens=None, batch_sizes=dict.fromkeys(case.lengths, 12 // case.world))
    other = case._replace(world=world, batch_sizes=dict.fromkeys(case.lengths, 12 // world))
    skip = data.draw(st.integers(0, len(case.sampler())))
    begun = Stretch(case.world, case.batch_sizes)
    if other.sampler().can_keep(begun, is_rest=False):
        steps = drawn(case.ranks(epoch))
        ranks = resumed(other, epoch, [begun])
        for rank in ranks:
            rank.start = (epoch, skip)
        assert drawn(ranks) == steps[skip:]
    else:
        assert any(0 < len(length) % 12 < 2 * max(world, case.world) for length in case.lengths.values())


def test_as_many_processes_or_fewer_always_keep_batches_that_are_as_large() -> None:
    for size in range(48, 60):
        case = lengths_case(RoundRobin(), world=4)._replace(batch_sizes={"a": 3}, lengths={"a": np.arange(size)})
        for world in (1, 2):
            keeps = (
                case._replace(world=world, batch_sizes={"a": 12 // world})
                .sampler()
                .can_keep(Stretch(4, {"a": 3}), is_rest=False)
            )
            assert keeps or size % 12 in (1, 2, 3), size  # which four processes leave out


@given(cases(), st.integers(0, 3), st.data())
@settings(deadline=None, max_examples=40)
def test_an_epoch_that_is_cut_anew_shows_what_it_has_not_shown(case: Case, epoch: int, data: st.DataObject) -> None:
    """No example comes twice before all but a few have come; and then it is cut in another way again."""
    stretches, seen = list[Stretch](), {name: list[int]() for name in case.lengths}
    for _ in range(3):
        sizes = {name: data.draw(st.integers(1, 7)) for name in case.lengths}
        most = min(len(length) for length in case.lengths.values())
        case = case._replace(world=data.draw(st.integers(1, min(most, 4))), batch_sizes=sizes)
        total = len(case.sampler())
        start = data.draw(st.integers(0, total))
        stop = data.draw(st.integers(start, total))
        ranks = resumed(case, epoch, [*stretches, Stretch(case.world, sizes, start)])
        plans = [list(rank) for rank in ranks]
        steps = drawn(plans)
        assert list(ranks[-1]) == plans[-1] and len(steps) == total - start
        for step in steps[: stop - start]:
            for name, rows in step.items():
                seen[name] += rows
        stretches.append(Stretch(case.world, sizes, start, stop))
    for name, rows in seen.items():
        once = rows[: max(len(case.lengths[name]) - 3, 0)]  # a pass leaves out fewer than there are processes
        assert len(set(once)) == len(once), name


def test_steps_that_are_left_out_are_not_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = lengths_case(Uniform(batches_per_step=2, epoch_length=500)).sampler()
    planned: list[Any] = []
    monkeypatch.setattr(
        data_sampler, "shares_of", lambda window, *rest: planned.extend(window) or shares_of(window, *rest)
    )
    shuffled: list[Any] = []
    passes = sampler.passes["a"]
    whole_pass = passes.shuffled
    monkeypatch.setattr(passes, "shuffled", lambda random: shuffled.append(1) or whole_pass(random))
    sampler.start = (0, 490)
    list(sampler)
    assert len(planned) == 10
    assert len(shuffled) == 1  # of the four passes that the epoch needs


# -- schedules of the user's own ---------------------------------------------------------------------------------------
class Own(RoundRobin):
    def __init__(self, *steps: tuple[str, ...]) -> None:
        super().__init__(3)
        self.drawn = steps

    def steps(self, num_batches: Any, moment: Moment) -> Any:
        yield from self.drawn


def test_a_schedule_of_ones_own() -> None:
    case = Case({"a": np.ones(12), "b": np.ones(12)}, {"a": {}, "b": {}}, {"a": 2, "b": 3}, 1, 5, RoundRobin(), 0)
    sampler = case._replace(schedule=Own(("b",), ("b", "a", "a"), ("b", "b"))).sampler()
    plans = list(sampler)
    sizes = [{name: len(rows.indices) for name, rows in plan.items()} for plan in plans]
    assert sizes == [{"b": 3}, {"b": 3, "a": 4}, {"b": 6}]
    assert list(plans[1]) == ["b", "a"]
    assert sorted(chain(*(plan["b"].indices for plan in plans))) == list(range(12))


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([("a",), ("reviws",), ("a",)], "Own draws the unknown data set 'reviws'; did you mean 'reviews'?"),
        ([("a",), (), ("a",)], "Own draws no data set in step 2 of epoch 1"),
        ([("a",)] * 2, "Own draws 2 steps in epoch 1, but its num_steps is 3"),
        ([("a",)] * 4, "Own draws more than 3 steps in epoch 1, but its num_steps is 3"),
    ],
)
def test_a_schedule_that_cannot_be_followed(steps: list[tuple[str, ...]], message: str) -> None:
    lengths = {"a": np.ones(4), "reviews": np.ones(4)}
    case = Case(lengths, {"a": {}, "reviews": {}}, {"a": 2, "reviews": 2}, 1, 5, Own(*steps), 0)
    with pytest.raises(UserError, match=r"data\.schedule: " + message.replace("?", r"\?")):
        next(iter(case.sampler(epoch=1)))


def test_arguments_of_the_schedule_are_checked_at_once() -> None:
    case = Case({"a": np.ones(4)}, {"a": {"intent": np.ones(4)}}, {"a": 2}, 1, 5, RoundRobin(), 0)
    case._replace(schedule=ValidationDriven({"intent": 0.9})).sampler()
    with pytest.raises(UserError, match="references names the unknown task 'intend'"):
        case._replace(schedule=ValidationDriven({"intend": 0.9})).sampler()
    with pytest.raises(UserError, match="probabilities names the unknown data set 'b'"):
        case._replace(schedule=FixedProbabilities({"a": 0.9, "b": 0.1})).sampler()


# -- under Lightning ---------------------------------------------------------------------------------------------------
class Recorder(LightningModule):
    """Keeps the plans that it is given."""

    def __init__(self, sampler: Any) -> None:
        super().__init__()
        self.parameter = torch.nn.Parameter(torch.zeros(()))
        self.sampler = sampler
        self.seen: list[list[Plan]] = []
        self.evaluated: list[Plan] = []

    def train_dataloader(self) -> DataLoader[Plan]:
        return DataLoader(Identity(), batch_size=None, sampler=self.sampler)  # type: ignore[arg-type]

    def on_train_epoch_start(self) -> None:
        self.seen.append([])

    def transfer_batch_to_device(self, batch: Any, *args: Any) -> Any:
        return batch

    def training_step(self, batch: Plan, batch_idx: int) -> torch.Tensor:
        self.seen[-1].append(batch)
        return self.parameter * 1

    def test_step(self, batch: Plan, batch_idx: int) -> None:
        self.evaluated.append(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Identity(torch.utils.data.Dataset[Plan]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, plan: Plan) -> Plan:
        return plan


@pytest.fixture
def distributed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes Lightning take a single process for one of several."""
    monkeypatch.setattr(Trainer, "distributed_sampler_kwargs", {"num_replicas": 1, "rank": 0})
    monkeypatch.setattr(_AcceleratorConnector, "is_distributed", True)


QUIET = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


@pytest.mark.usefixtures("distributed")
def test_lightning_keeps_the_sampler_and_sets_its_epoch() -> None:
    case = Case({"a": np.arange(12)}, {"a": {}}, {"a": 4}, 1, 50, RoundRobin(), 0)
    model = Recorder(case.sampler())
    trainer = Trainer(max_epochs=2, accelerator="cpu", **QUIET)
    trainer.fit(model)
    assert trainer.train_dataloader.sampler is model.sampler
    seen = [
        [{n: rows._replace(key=tuple(rows.key)) for n, rows in plan.items()} for plan in epoch] for epoch in model.seen
    ]
    assert seen == [list(case.sampler(epoch=epoch)) for epoch in (0, 1)]


@pytest.mark.usefixtures("distributed")
def test_lightning_replaces_another_sampler() -> None:
    """Otherwise the other tests here would show nothing."""
    model = Recorder(RandomSampler(range(3)))
    trainer = Trainer(max_epochs=1, accelerator="cpu", **QUIET)
    trainer.fit(model)
    assert trainer.train_dataloader.sampler is not model.sampler


@pytest.mark.usefixtures("distributed")
def test_lightning_keeps_the_sampler_of_an_evaluation() -> None:
    model = Recorder(SequentialSampler({"a": np.arange(5)}, {"a": 2}))
    trainer = Trainer(accelerator="cpu", **QUIET)
    trainer.test(model, model.train_dataloader())
    assert model.evaluated == [{"a": Rows([4, 3], {})}, {"a": Rows([2, 1], {})}, {"a": Rows([0], {})}]


@pytest.mark.parametrize("num_replicas", [1, 2])
def test_packed_batches_hold_the_tokens_that_fit(num_replicas: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 40, 300)
    padded, packed = (Passes(lengths, 50, num_replicas, 100, 128, packed=each) for each in (False, True))
    assert packed.sizes.sum() == padded.sizes.sum() == 300
    assert len(packed.sizes) < len(padded.sizes)
    rows, starts = packed.shuffled(np.random.default_rng(1))
    for start, stop in pairwise(starts):
        for rank in range(num_replicas):
            assert lengths[rows[start:stop][rank::num_replicas]].sum() <= 128


@given(cases(), st.integers(2, 4), st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_shares_make_the_mean_of_accumulated_steps(case: Case, window: int, resumed: int) -> None:
    """A mean over the steps of a window in which a task appears; the same where a run resumes within one."""
    ranks = [list(case.sampler(rank, window=lambda: window)) for rank in range(case.world)]
    for start in range(0, len(ranks[0]), window):
        sums: Counter[str] = Counter()
        appearances: Counter[str] = Counter()
        for step in zip(*(plans[start : start + window] for plans in ranks), strict=True):
            rows = [rows for plan in step for rows in plan.values()]
            sums.update({task: 0 for each in rows for task in each.shares})
            for each in rows:
                sums.update(each.shares)
            appearances.update({task for each in rows for task in each.shares})
        for task, number in appearances.items():
            assert sums[task] == pytest.approx(case.world * number)
    again = case.sampler(0, window=lambda: window)
    again.start = (0, min(resumed, len(ranks[0])))
    assert list(again) == ranks[0][again.start[1] :]
