"""What the executor's own work costs a task, in torch operators and Python calls, which are free of noise."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mtl_lightning.backward import Executor
from mtl_lightning.weighting import DWA, IMTLG, EqualWeighting, UncertaintyWeighting, UPGrad, Weighting

FEW, MANY = 8, 32


class Count(TorchDispatchMode):
    """Counts operators, those of backward passes too, and calls of Python functions."""

    def __init__(self) -> None:
        super().__init__()
        self.operators = self.calls = 0

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        self.operators += 1
        return operation(*arguments, **(keywords or {}))

    def profile(self, frame: Any, event: str, argument: Any) -> None:
        self.calls += event == "call"


class Model(nn.Module):
    """A small encoder with a linear head for each of some tasks."""

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 8), nn.Tanh())
        self.heads = nn.ModuleDict({f"t{i}": nn.Linear(8, 1) for i in range(num_tasks)})

    def batches(self, several: bool) -> list[dict[str, Tensor]]:
        if several:
            return [{n: head(self.encoder(torch.ones(2, 4))).mean()} for n, head in self.heads.items()]
        features = self.encoder(torch.ones(2, 4))
        return [{name: head(features).mean() for name, head in self.heads.items()}]


def step_of(model: Model, weighting: Callable[..., Weighting], several: bool) -> Callable[[], None]:
    heads = {name: head.parameters() for name, head in model.heads.items()}
    executor = Executor(weighting(list(model.heads)), model.encoder.parameters(), heads)
    executor.setup.weighting.requires_grad_(False)
    executor.start_epoch(0)

    def step() -> None:
        for losses in model.batches(several):
            executor.add(losses)
        executor.backward(executor.combine().objective)

    return step


def bare(model: Model, several: bool) -> Callable[[], None]:
    return lambda: sum(loss for losses in model.batches(several) for loss in losses.values()).backward()


def one_by_one(model: Model, several: bool) -> Callable[[], None]:
    """The floor of a method that compares gradients: a gradient for each task."""

    def step() -> None:
        for losses in model.batches(several):
            for name, loss in losses.items():
                parameters = [*model.encoder.parameters(), *model.heads[name].parameters()]
                torch.autograd.grad(loss, parameters, retain_graph=not several)

    return step


def counted(make: Callable[[Model], Callable[[], None]], num_tasks: int, calls: bool) -> int:
    model = Model(num_tasks)
    step = make(model)
    for _ in range(2):
        step()
        model.zero_grad()
    count = Count()
    if not calls:
        with count:
            step()
        return count.operators
    before = sys.getprofile()
    sys.setprofile(count.profile)
    try:
        step()
    finally:
        sys.setprofile(before)
    return count.calls


def for_each_task(make: Callable[[Model], Callable[[], None]], calls: bool = False) -> float:
    return (counted(make, MANY, calls) - counted(make, FEW, calls)) / (MANY - FEW)


@pytest.mark.parametrize("several", [False, True], ids=["one-input", "several-inputs"])
@pytest.mark.parametrize("method", [EqualWeighting, DWA, UncertaintyWeighting])
def test_a_loss_weighting_costs_next_to_no_operators_a_task(method: type[Weighting], several: bool) -> None:
    plain = for_each_task(lambda model: bare(model, several))
    found = for_each_task(lambda model: step_of(model, method, several))
    assert found - plain <= 1.5  # a sum, or nothing


@pytest.mark.parametrize(("several", "most"), [(False, 4), (True, 8)], ids=["one-input", "several-inputs"])
@pytest.mark.parametrize("method", [IMTLG, UPGrad])
def test_a_gramian_method_costs_few_operators_a_task_beyond_its_gradients(
    method: type[Weighting], several: bool, most: int
) -> None:
    floor = for_each_task(lambda model: one_by_one(model, several))
    found = for_each_task(lambda model: step_of(model, method, several))
    assert found - floor <= most  # a detached loss, and a row, which those of one input share


@pytest.mark.parametrize(("several", "most"), [(False, 5), (True, 22)], ids=["one-input", "several-inputs"])
def test_a_loss_weighting_calls_few_functions_a_task(several: bool, most: int) -> None:
    plain = for_each_task(lambda model: bare(model, several), calls=True)
    found = for_each_task(lambda model: step_of(model, EqualWeighting, several), calls=True)
    assert found - plain <= most
