"""Tests are dealt so that each process begins with long ones and ends with quick ones."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from order import arranged


@dataclass(frozen=True)
class Item:
    path: Path
    number: int


def items(**sizes: int) -> list[Item]:
    """So many tests of each file; the files' names say where they are."""
    return [Item(Path("tests", *name.split("_")), number) for name, size in sizes.items() for number in range(size)]


ITEMS = items(distributed_a=3, integration_b=2, integration_c=4, slurm_d=1, unit_e=20, unit_f=30)


def is_long(item: Item) -> bool:
    return "unit" not in item.path.parts


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_each_test_is_there_once_and_after_those_before_it_in_its_file(processes: int) -> None:
    found = arranged(ITEMS, processes)
    assert Counter(found) == Counter(ITEMS)
    for path in {item.path for item in ITEMS}:
        assert [item.number for item in found if item.path == path] == sorted(i.number for i in ITEMS if i.path == path)


def test_one_process_keeps_the_order() -> None:
    assert arranged(ITEMS, 1) == ITEMS


@pytest.mark.parametrize("processes", [2, 3])
def test_each_part_begins_with_whole_long_files_and_ends_with_quick_tests(processes: int) -> None:
    found, size = arranged(ITEMS, processes), len(ITEMS) // processes
    parts = [found[process * size : (process + 1) * size] for process in range(processes)]
    for part in parts:
        kinds = [is_long(item) for item in part]
        assert kinds == sorted(kinds, reverse=True) and any(kinds) and not all(kinds)
    files = [{item.path for item in part if is_long(item)} for part in parts]
    assert sum(map(len, files)) == len(set().union(*files)) == 4


def test_where_nearly_all_are_long_none_is_lost() -> None:
    few = items(integration_a=9, slurm_b=1, unit_c=1)
    assert Counter(arranged(few, 2)) == Counter(few)
