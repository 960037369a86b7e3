"""Requests become batches: of one kind, the oldest first, never more than fit."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from in_process import run

from mtl_lightning.serve.batches import AHEAD, Batches, FullError
from mtl_lightning.serve.outcomes import Outcome


class Computer:
    """Notes batches; computes them once it may."""

    def __init__(self) -> None:
        self.batches: list[tuple[Any, list[Any]]] = []
        self.may = asyncio.Event()

    async def __call__(self, kind: Any, inputs: Sequence[Any]) -> Sequence[Outcome]:
        self.batches.append((kind, list(inputs)))
        await self.may.wait()
        if "broken" in inputs:
            raise RuntimeError("broken")
        return [Outcome(f"{kind}{each}") for each in inputs]


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def asked(batches: Batches, *requests: tuple[str, list[Any]]) -> list[asyncio.Task[Sequence[Outcome]]]:
    return [asyncio.create_task(batches.ask(*request)) for request in requests]


def test_the_oldest_goes_first_with_others_of_its_kind() -> None:
    async def work() -> None:
        computer = Computer()
        batches = Batches(computer, size=3, wait=0.0, most=100)
        tasks = asked(batches, ("a", [1]), ("b", [2]), ("a", [3, 4]), ("a", [5]), ("b", [6]))
        await settled()
        running = asyncio.create_task(batches.run())
        await settled()
        assert computer.batches == [("a", [1, 3, 4]), ("b", [2, 6])] and AHEAD == 2
        assert len(batches) == 1
        computer.may.set()
        found = await asyncio.gather(*tasks)
        assert [[each.text for each in one] for one in found] == [["a1"], ["b2"], ["a3", "a4"], ["a5"], ["b6"]]
        running.cancel()

    run(work())


def test_who_has_left_is_not_computed_and_makes_room() -> None:
    async def work() -> None:
        computer = Computer()
        batches = Batches(computer, size=3, wait=0.0, most=2)
        first, second = asked(batches, ("a", [1]), ("a", [2]))
        await settled()
        with pytest.raises(FullError):
            await batches.ask("a", [3])
        first.cancel()
        await settled()
        assert len(batches) == 1
        running = asyncio.create_task(batches.run())
        computer.may.set()
        assert [each.text for each in await second] == ["a2"] and computer.batches == [("a", [2])]
        running.cancel()

    run(work())


def test_a_full_batch_does_not_wait_and_others_wait_for_more() -> None:
    async def work() -> None:
        computer = Computer()
        computer.may.set()
        batches = Batches(computer, size=2, wait=50.0, most=100)
        running = asyncio.create_task(batches.run())
        tasks = asked(batches, ("a", [1]), ("b", [2]), ("a", [3]))
        await settled()
        assert computer.batches == [("a", [1, 3])] and len(batches) == 1
        tasks += asked(batches, ("b", [4]))
        await asyncio.gather(*tasks)
        assert computer.batches[1] == ("b", [2, 4])
        running.cancel()

    run(work())


def test_nobody_waits_for_more_once_no_more_come() -> None:
    async def work() -> None:
        computer = Computer()
        computer.may.set()
        batches = Batches(computer, size=2, wait=5_000.0, most=100)
        running = asyncio.create_task(batches.run())
        (task,) = asked(batches, ("a", [1]))
        await settled()
        assert not computer.batches
        batches.hurry()
        assert [each.text for each in await task] == ["a1"]
        running.cancel()

    run(work())


def test_a_fault_reaches_each_request_of_the_batch_and_the_next_one_is_computed() -> None:
    async def work() -> None:
        computer = Computer()
        computer.may.set()
        batches = Batches(computer, size=2, wait=0.0, most=100)
        running = asyncio.create_task(batches.run())
        for _ in range(AHEAD + 1):
            found = await asyncio.gather(*asked(batches, ("a", ["broken"]), ("a", [2])), return_exceptions=True)
            assert [str(each) for each in found] == ["broken", "broken"]
        assert [each.text for each in await batches.ask("a", [3])] == ["a3"]
        running.cancel()

    run(work())
