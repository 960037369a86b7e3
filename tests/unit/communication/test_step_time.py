"""The time of a step, in closed form."""

from math import log2

import pytest

from mtl_lightning.communication.exchanges import Exchange
from mtl_lightning.communication.network import Link, Network
from mtl_lightning.communication.step_time import (
    Step,
    StepTime,
    Work,
    distributed_data_parallel,
    known_weights,
    plain,
    predict,
    refreshed,
    rows,
    scattered_rows,
    sharded_plain,
)
from mtl_lightning.communication.volumes import Size, Volume

FAST, SLOW = Link(1e-6, 100.0), Link(1e-3, 10.0)
WORK = Work(forward=1.0, backward=2.0)
NO_LATENCY = Network(Link(0, 100.0), Link(0, 100.0))


def test_a_ring_takes_its_rounds_and_its_bytes() -> None:
    network = Network(FAST, FAST)
    size = 1e6  # where a ring wins
    assert network.seconds(Exchange("all_reduce", size), 8) == pytest.approx(14e-6 + 2 * size * 7 / 8 / 100)
    assert network.seconds(Exchange("reduce_scatter", size), 8) == pytest.approx(7e-6 + size * 7 / 8 / 100)
    assert network.seconds(Exchange("all_reduce", size), 1) == 0


def test_a_tree_wins_where_latency_is_all() -> None:
    network = Network(FAST, SLOW, per_node=4)
    many = 4 * 64
    rounds = log2(4) * FAST.latency + log2(64) * SLOW.latency
    assert network.seconds(Exchange("all_reduce", 0), many) == pytest.approx(2 * rounds)
    ring = (64 * SLOW.latency + (many - 64) * FAST.latency) * (many - 1) / many
    assert network.seconds(Exchange("all_gather", 0), many) == pytest.approx(ring)


def test_a_node_of_its_own_does_not_use_the_slower_link() -> None:
    network = Network(FAST, SLOW, per_node=4)
    within, beyond = (network.seconds(Exchange("all_gather", 1e6), number) for number in (4, 5))
    assert within == pytest.approx(3e-6 + 1e6 * 3 / 4 / 100)
    assert beyond == pytest.approx((2e-3 + 3e-6) * 4 / 5 + 1e6 * 4 / 5 / 10)


@pytest.mark.parametrize(("sending", "waiting"), [(0.5, 0.5), (2.0, 2.0), (3.0, 5.0)], ids=["hidden", "even", "not"])
def test_what_is_early_hides_behind_the_next_stage(sending: float, waiting: float) -> None:
    early = [[Exchange("broadcast", sending * 100 * 2)]] * 3  # of two processes, each sends half of it
    step = Step([1.0, 2.0, 2.0], Volume(early, []))
    assert predict(step, NO_LATENCY, 2) == StepTime(5.0, pytest.approx(waiting))
    assert predict(step, NO_LATENCY, 2, overlap=0.0).waiting == pytest.approx(3 * sending)
    assert predict(step, NO_LATENCY, 1).waiting == 0


def test_what_is_late_is_waited_for() -> None:
    step = Step([3.0], Volume([], [Exchange("all_reduce", 100.0)] * 2))
    assert predict(step, NO_LATENCY, 2) == StepTime(3.0, pytest.approx(2.0))


def test_stages_of_tasks_with_one_input_and_with_an_input_each() -> None:
    assert WORK.by_task(3) == [3.0, 2.0, 2.0]
    assert Work(1.0, 2.0, data_sets=3).by_task(3) == [1.0, 1.0, 1.0]
    assert Work(1.0, 2.0, data_sets=2).by_task(4) == [1.5, 1.0, 1.5, 1.0]
    assert Work(1.0, 2.0, data_sets=5).by_task(3) == [1.0, 1.0, 1.0], "data sets that label the same task"
    assert sum(WORK.by_bucket(5)) == pytest.approx(3.0)
    assert sum(WORK.by_layer(6, passes=2)) == pytest.approx(5.0)


def test_a_transformer_takes_six_operations_a_parameter_and_token() -> None:
    work = Work.of(parameters=1e9, tokens=1000, flops=1e12)
    assert (work.forward, work.backward) == (2.0, 4.0)


def test_waiting_grows_with_the_bytes_of_each_way() -> None:
    size, idle = Size(tasks=4, shared=10_000_000), Work(0.0, 0.0)
    network = Network(Link(0, 1e9), Link(0, 1e9))
    ways = (plain, rows, scattered_rows, sharded_plain)
    once, *others = (predict(way(size, idle), network, 8).waiting for way in ways)
    assert [other / once for other in others] == pytest.approx([4, 5 / 2, 3 / 2], rel=1e-5)
    overlapped = predict(distributed_data_parallel(size, WORK), network, 8).waiting
    assert overlapped < once, "all but the last bucket hide behind the backward pass"


def test_refreshing_is_the_mean_of_its_steps() -> None:
    size = Size(tasks=4, shared=10_000_000)
    asked, between = (predict(way(size, WORK), NO_LATENCY, 8) for way in (rows, known_weights))
    assert refreshed(asked, between, 1) == asked
    assert refreshed(asked, between, 4).total == pytest.approx((asked.total + 3 * between.total) / 4)
