"""``log: true`` combines the gradients of the logarithms of the losses, exactly, in every method that has it."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from experiments.benchmark.instances import exported, maker
from mtl_lightning.backward import Executor
from mtl_lightning.errors import UserError
from mtl_lightning.testing import check_weighting
from mtl_lightning.weighting import MGDA, GramianWeighting, UPGrad, gramian
from mtl_lightning.weighting.batches import of_equal_batches

NAMES = ["a", "b", "c"]
HAVE_IT = [name for name, cls in exported().items() if "log" in inspect.signature(cls).parameters]
Factory = Callable[[Sequence[str]], GramianWeighting]
SEEDED: dict[str, Any] = {"PCGrad": {"seed": 0}, "GradVac": {"seed": 0}}
methods = pytest.mark.parametrize("name", HAVE_IT)


def of(name: str, log: bool = True) -> Factory:
    if name == "PIVRG":
        return lambda tasks: exported()[name](tasks, dict.fromkeys(tasks, 1.0), log=log)
    return partial(maker(name), log=log, **SEEDED.get(name, {}))


def evidence() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    jacobian = torch.randn(3, 5, generator=random, dtype=torch.float64)
    return jacobian, torch.tensor([0.1, 3.0, 20.0], dtype=torch.float64)


def test_all_methods_have_it_that_it_changes() -> None:
    others = {name for name, cls in exported().items() if issubclass(cls, GramianWeighting)} - set(HAVE_IT)
    assert others == {"CRMOGM", "FSMTL", "GradNorm", "IMTL", "NashMTL", "SAMO", "TorchJDWeighting"}


@methods
def test_contract(name: str) -> None:
    check_weighting(of(name))


@methods
def test_the_direction_is_that_of_the_gradients_of_the_logarithms(name: str) -> None:
    jacobian, losses = evidence()
    everyone, logs = torch.arange(3), jacobian / losses[:, None]
    found = of_equal_batches(of(name)(NAMES), gramian(jacobian), losses, everyone) @ jacobian
    expected = of_equal_batches(of(name, log=False)(NAMES), gramian(logs), losses, everyone) @ logs
    torch.testing.assert_close(found, expected)


@methods
def test_a_loss_of_zero_has_nothing_to_gain_and_a_negative_one_is_not_defined(name: str) -> None:
    jacobian, losses = evidence()
    losses[1] = 0
    weighting, everyone = of(name)(NAMES), torch.arange(3)
    weights = of_equal_batches(weighting, gramian(jacobian), losses, everyone)
    assert weights[1] == 0
    assert weights.isfinite().all()
    losses[1] = -1
    assert of_equal_batches(weighting, gramian(jacobian), losses, everyone).isnan().any()
    assert weighting.undefined(losses, everyone).tolist() == [False, True, False]
    assert weighting.domain == "losses of at least 0 with `log: true`"


def test_the_executor_writes_the_gradient_of_the_logarithms() -> None:
    """Against UPGrad on logarithms that autograd differentiates."""
    written = []
    for log in (True, False):
        torch.manual_seed(0)
        encoder = torch.nn.Linear(4, 3).double()
        heads = torch.nn.ModuleDict({name: torch.nn.Linear(3, 1).double() for name in "ab"})
        own = {name: head.parameters() for name, head in heads.items()}
        executor = Executor(UPGrad(["a", "b"], log=log), encoder.parameters(), own)
        features = encoder(torch.randn(8, 4, dtype=torch.float64))
        losses = {name: (head(features) - 3).square().mean() for name, head in heads.items()}
        executor.add(losses if log else {name: loss.log() for name, loss in losses.items()})
        executor.backward(executor.combine().objective)
        written.append([parameter.grad for parameter in encoder.parameters()])
    torch.testing.assert_close(*written)


def test_losses_divide_once() -> None:
    with pytest.raises(UserError, match="`log` divides by the losses, as `normalization: loss` does"):
        MGDA(NAMES, "loss", log=True)
