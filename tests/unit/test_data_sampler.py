"""Samplers: purity, partition over processes, shares, buckets."""

from collections import Counter
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.connectors.accelerator_connector import _AcceleratorConnector
from torch.utils.data import DataLoader, RandomSampler

from mtl_lightning.data import Alternating, RoundRobin, Schedule
from mtl_lightning.data.sampler import Plan, Rows, SequentialSampler, StepSampler

SCHEDULES = {"round-robin": RoundRobin, "alternating": Alternating}


class Case(NamedTuple):
    lengths: dict[str, np.ndarray]
    counts: dict[str, dict[str, np.ndarray]]
    batch_sizes: dict[str, int]
    world: int
    bucket: int
    schedule: Schedule
    seed: int

    def sampler(self, rank: int = 0, epoch: int = 0, **changes: Any) -> StepSampler:
        arguments = {"seed": self.seed, "num_replicas": self.world, "bucket": self.bucket, **changes}
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
    schedule = SCHEDULES[draw(st.sampled_from(sorted(SCHEDULES)))]()
    return Case(lengths, counts, batch_sizes, world, draw(st.integers(1, 4)), schedule, draw(st.integers(0, 9)))


def global_batches(ranks: list[list[Plan]], name: str) -> list[list[int]]:
    """The rows of all processes, a batch after the other."""
    steps = [[plan[name].indices for plan in step] for step in zip(*ranks, strict=True) if name in step[0]]
    return [list(chain.from_iterable(parts)) for parts in steps]


def passes(batches: list[list[int]], length: int) -> list[list[int]]:
    """Rows of each whole pass over a data set, of ``length`` batches."""
    starts = range(0, len(batches) - length + 1, length)
    return [list(chain.from_iterable(batches[start : start + length])) for start in starts]


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


@given(cases(), st.integers(0, 1))
@settings(deadline=None, max_examples=60)
def test_processes_divide_each_pass(case: Case, epoch: int) -> None:
    ranks = case.ranks(epoch)
    assert [len(plans) for plans in ranks] == [len(case.sampler())] * case.world
    for step in zip(*ranks, strict=True):
        assert len({tuple(plan) for plan in step}) == 1
        assert all(rows.indices for plan in step for rows in plan.values())
    for name, length in case.lengths.items():
        batches, number = global_batches(ranks, name), case.sampler().num_batches[name]
        assert all(len(batch) <= case.batch_sizes[name] * case.world for batch in batches)
        assert len(batches) >= number
        for rows in passes(batches, number):
            assert len(set(rows)) == len(rows)
            assert set(rows) <= set(range(len(length)))
            missing = len(length) - len(rows)
            rest = len(length) % (case.batch_sizes[name] * case.world)
            assert missing == (rest if rest < case.world else 0)
        rest = batches[len(batches) // number * number :]
        assert len(set(chain(*rest))) == sum(map(len, rest))


@given(cases())
@settings(deadline=None, max_examples=40)
def test_epoch_is_one_pass_over_the_data_set_with_most_batches(case: Case) -> None:
    sampler = case.sampler()
    plans = list(sampler)
    longest = max(sampler.num_batches.values())
    assert len(plans) == longest * (len(case.lengths) if isinstance(case.schedule, Alternating) else 1)
    assert all(len(plan) == (1 if isinstance(case.schedule, Alternating) else len(case.lengths)) for plan in plans)
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
@settings(deadline=None, max_examples=60)
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


def padded(sampler: StepSampler) -> int:
    return sum(
        int(sampler.lengths[name][rows.indices].max()) * len(rows.indices)
        for plan in sampler
        for name, rows in plan.items()
    )


@pytest.mark.parametrize("world", [1, 3])
def test_buckets_save_padding(world: int) -> None:
    lengths = {"a": np.random.default_rng(0).lognormal(3, 1, 1000).astype(int) + 1}
    case = Case(lengths, {"a": {}}, {"a": 8}, world, 50, RoundRobin(), 0)
    bucketed, plain = (sum(padded(case.sampler(r, bucket=b)) for r in range(world)) for b in (50, 1))
    real = lengths["a"].sum()
    assert real <= bucketed < real + 0.25 * (plain - real)


def test_batches_of_a_bucket_are_in_random_order() -> None:
    case = Case({"a": np.arange(400)}, {"a": {}}, {"a": 4}, 1, 50, RoundRobin(), 0)
    shortest = [min(plan["a"].indices) for plan in case.sampler()][:50]
    assert shortest != sorted(shortest)
    assert shortest != sorted(shortest, reverse=True)


# -- evaluation --------------------------------------------------------------------------------------------------------
@given(st.lists(st.integers(0, 30), min_size=1, max_size=3), st.lists(st.integers(1, 9), min_size=3), st.integers(1, 5))
@settings(deadline=None, max_examples=60)
def test_evaluation_shows_each_example_once(sizes: list[int], batch_sizes: list[int], world: int) -> None:
    random = np.random.default_rng(len(sizes))
    lengths = {f"set{i}": random.integers(1, 9, size) for i, size in enumerate(sizes)}
    limits = {f"set{i}": size for i, size in enumerate(batch_sizes)}
    seen: dict[str, list[int]] = {name: [] for name in lengths}
    local: list[Counter[str]] = []
    for rank in range(world):
        sampler = SequentialSampler(lengths, limits, rank, world)
        sampler.set_epoch(7)
        plans = list(sampler)
        assert len(plans) == len(sampler)
        local.append(Counter())
        for plan in plans:
            ((name, rows),) = plan.items()
            assert 0 < len(rows.indices) <= limits[name]
            assert rows.shares == {}
            seen[name] += rows.indices
            local[-1][name] += len(rows.indices)
    for name, length in lengths.items():
        assert sorted(seen[name]) == list(range(len(length)))
        assert max(c[name] for c in local) - min(c[name] for c in local) <= 1


def test_evaluation_is_longest_first_and_keeps_order() -> None:
    plans = list(SequentialSampler({"a": np.array([2, 5, 2, 5, 9])}, {"a": 2}))
    assert [plan["a"].indices for plan in plans] == [[4, 1], [3, 0], [2]]


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
    assert model.seen == [list(case.sampler(epoch=epoch)) for epoch in (0, 1)]


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
