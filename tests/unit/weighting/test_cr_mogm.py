"""CR-MOGM averages the weights of any Gramian method, and hands on what that method needs, keeps and is told."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
import torchjd.aggregation as torchjd
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.testing import check_weighting
from mtl_lightning.testing.common import checkpointed
from mtl_lightning.weighting import (
    CRMOGM,
    DWA,
    MGDA,
    PIVRG,
    GradNorm,
    GradVac,
    GramianWeighting,
    TorchJDWeighting,
    UPGrad,
    gramian,
)

NAMES = ["a", "b", "c"]
Factory = Callable[[Sequence[str]], GramianWeighting]
METHODS: dict[str, Factory] = {
    "mgda": MGDA,
    "log": partial(UPGrad, log=True),
    "stateful": GradNorm,
    "random": partial(GradVac, seed=0),
    "told": lambda tasks: PIVRG(tasks, dict.fromkeys(tasks, 0.5)),
}
all_methods = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def steps(*present: Sequence[int]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Gramian, losses and tasks of steps in which the given tasks are present."""
    random = torch.Generator().manual_seed(0)
    found = []
    for tasks in present:
        jacobian = torch.randn(len(tasks), 6, generator=random, dtype=torch.float64)
        losses = 0.5 + torch.rand(len(tasks), generator=random, dtype=torch.float64)
        found.append((gramian(jacobian), losses, torch.tensor(tasks)))
    return found


MIXED = ([0, 1, 2], [2], [0, 2], [0, 1, 2], [1], [0, 1, 2])


@all_methods
@pytest.mark.parametrize("num_tasks", [2, 8])
def test_contract(method: Factory, num_tasks: int) -> None:
    check_weighting(partial(CRMOGM, weighting=method), num_tasks)


@all_methods
def test_weights_are_the_average_of_the_method_s(method: Factory) -> None:
    weighting, alone = CRMOGM(NAMES, method, alpha=0.7), method(NAMES)
    kept: dict[int, float] = {}
    for products, losses, tasks in steps(*MIXED):
        for task, weight in zip(tasks.tolist(), alone(products, losses, tasks).tolist(), strict=True):
            kept[task] = 0.7 * kept[task] + 0.3 * weight if task in kept else weight
        found = weighting(products, losses, tasks)
        torch.testing.assert_close(found, torch.tensor([kept[task] for task in tasks.tolist()]).double())


def test_it_agrees_with_torchjd() -> None:
    theirs = partial(TorchJDWeighting, name="UPGradWeighting")
    weighting, other = CRMOGM(NAMES, theirs), torchjd.CRMOGMWeighting(torchjd.UPGradWeighting())
    for products, losses, tasks in steps(*[[0, 1, 2]] * 4):
        torch.testing.assert_close(weighting(products, losses, tasks), other(products))


@all_methods
def test_with_alpha_0_it_is_the_method(method: Factory) -> None:
    weighting, alone = CRMOGM(NAMES, method, alpha=0.0), method(NAMES)
    for products, losses, tasks in steps(*MIXED):
        torch.testing.assert_close(weighting(products, losses, tasks), alone(products, losses, tasks))


@all_methods
def test_what_the_method_needs_is_handed_on(method: Factory) -> None:
    weighting, alone = CRMOGM(NAMES, method), method(NAMES)
    for name in ("needs_epochs", "needs_validation", "needs_losses_after", "domain"):
        assert getattr(weighting, name) == getattr(alone, name)
    losses, everyone = torch.tensor([-1.0, 1.0, 2.0]).double(), torch.arange(3)
    assert torch.equal(weighting.undefined(losses, everyone), alone.undefined(losses, everyone))


def test_the_method_is_told_of_validations() -> None:
    weighting = CRMOGM(NAMES, METHODS["told"])
    weighting.on_validation_end(torch.tensor([1.0, 0.5], dtype=torch.float64), torch.tensor([0, 2]))
    assert isinstance(weighting.weighting, PIVRG)
    assert weighting.weighting.delays.tolist() == [100, 0, 0]


@all_methods
def test_training_goes_on_from_a_checkpoint(method: Factory) -> None:
    weighting, fresh = CRMOGM(NAMES, method), CRMOGM(NAMES, method)
    *before, last = steps(*MIXED)
    for step in before:
        weighting(*step)
    fresh.load_state_dict(checkpointed(weighting.state_dict()))
    assert torch.equal(fresh(*last), weighting(*last))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.0}, "`alpha` must be from 0 to below 1, found 1.0"),
        ({"weighting": DWA}, "`weighting` must be a Gramian method, whose weights can be averaged, found DWA"),
    ],
)
def test_arguments_are_checked(options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        CRMOGM(NAMES, **options)
