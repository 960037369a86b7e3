"""When rows are kept in parts: with NCCL, where the parts are of some size, unless a Jacobian method sees them."""

import pytest
import torch
from torch import nn

from mtl_lightning.backward import Executor, evidence, processes
from mtl_lightning.backward.rows import Rows
from mtl_lightning.backward.scattered_rows import ScatteredRows
from mtl_lightning.weighting import DWA, MoCo, UPGrad, Weighting

ONE_MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    ("backend", "number", "size", "expected"),
    [
        ("nccl", 8, ONE_MEGABYTE, True),
        ("nccl", 8, ONE_MEGABYTE - 8, False),
        ("nccl", 1, ONE_MEGABYTE, False),
        ("gloo", 8, ONE_MEGABYTE, False),
    ],
    ids=["large", "small parts", "one process", "gloo"],
)
def test_parts_pay(monkeypatch: pytest.MonkeyPatch, backend: str, number: int, size: int, expected: bool) -> None:
    monkeypatch.setattr(processes, "num_processes", lambda: number)
    monkeypatch.setattr("torch.distributed.get_backend", lambda: backend)
    assert processes.adds_up_parts_sooner(size) is expected


@pytest.mark.parametrize(("weighting", "kind"), [(UPGrad, ScatteredRows), (DWA, ScatteredRows), (MoCo, Rows)])
def test_the_rows_of_a_jacobian_method_are_whole(
    monkeypatch: pytest.MonkeyPatch, weighting: type[Weighting], kind: type[Rows]
) -> None:
    shared, heads = nn.Linear(3, 2), {task: nn.Linear(2, 1).parameters() for task in "ab"}
    executor = Executor(weighting(["a", "b"]), shared.parameters(), heads)
    assert type(executor._rows) is Rows
    asked: list[int] = []
    monkeypatch.setattr(evidence, "adds_up_parts_sooner", lambda size: bool(asked.append(size)) or True)
    executor.discard()  # as when training starts, and the other processes are there
    assert type(executor._rows) is kind
    assert asked == ([] if kind is Rows else [4 * 8])


def test_no_process_holds_the_jacobian_of_scattered_rows() -> None:
    with pytest.raises(NotImplementedError):
        ScatteredRows([nn.Parameter(torch.zeros(3))], num_tasks=2).jacobian(None)
