"""What is done to the gradients of many tasks at once gives what it gives one by one."""

import pytest
import torch
from torch import nn

from mtl_lightning.backward import rows
from mtl_lightning.backward.lengths import Lengths
from mtl_lightning.backward.rows import Rows

SHAPES = [(3, 2), (2,), (), (4, 2), (1,), (70, 70), (2, 2, 2)]


@pytest.fixture
def parameters() -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape)) for shape in SHAPES]


def test_lengths_are_those_of_all_gradients_that_there_are(parameters: list[nn.Parameter]) -> None:
    gradients = [None if i == 1 else torch.randn_like(p) for i, p in enumerate(parameters)]
    found = torch.stack(Lengths(parameters).find(gradients))
    expected = torch.cat([g.flatten() for g in gradients if g is not None]).norm()
    torch.testing.assert_close(found.norm(), expected)
    assert Lengths(parameters).find([None] * len(parameters)) == Lengths([]).find([]) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", range(len(SHAPES)))
def test_lengths_tell_of_one_number_that_is_not_finite(
    parameters: list[nn.Parameter], place: int, value: float
) -> None:
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    assert parameters[place].grad is not None
    parameters[place].grad.view(-1)[-1] = value
    assert sum(not length.isfinite() for length in Lengths(parameters).written()) == 1


@pytest.mark.parametrize("long", [0, 30, 1 << 18], ids=["each alone", "two together", "all together"])
def test_rows_are_their_gradients_however_many_are_written_at_once(monkeypatch: pytest.MonkeyPatch, long: int) -> None:
    monkeypatch.setattr(rows, "_LONG", long)
    torch.manual_seed(0)
    sources = [nn.Parameter(torch.randn(3, 2)), nn.Parameter(torch.randn(9))]
    memory, tasks = Rows(sources, 5), ["a", "b", "c", "d", "e"]
    given = {task: [torch.randn(3, 2), None if task == "b" else torch.randn(9)] for task in tasks}
    memory.values.fill_(torch.nan)
    for labelled, order in ((tasks[:4], ["a", "b", "d"]), (tasks, ["e", "b", "c"])):  # "c" has no labels at first
        memory.start_batch(labelled)
        for task in order:
            memory.add(task, given[task], sources)
        memory.end_batch()
    memory.gather(torch.device("cpu"))
    missing = torch.zeros(9)
    for task, row in zip(memory.tasks, memory.values, strict=True):
        expected = torch.cat([missing if g is None else g.flatten() for g in given[task]])
        assert row.equal(2 * expected if task == "b" else expected)
    assert memory.used == [True, True]
