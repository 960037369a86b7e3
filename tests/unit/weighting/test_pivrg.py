"""PIVRG solves its equation, and follows how far tasks are behind their single-task models."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.testing import check_weighting
from mtl_lightning.testing.common import checkpointed
from mtl_lightning.weighting import PIVRG, FairGrad, gramian

NAMES = ["a", "b", "c"]
BASELINES = {"a": 1.0, "b": 0.5, "c": 20.0}


def made(**options: Any) -> PIVRG:
    return PIVRG(NAMES, BASELINES, **options)


def ask(weighting: PIVRG, jacobian: Tensor, present: Sequence[int] = (0, 1, 2)) -> Tensor:
    found: Tensor = weighting(gramian(jacobian), torch.ones(len(jacobian)).double(), torch.tensor(present))
    return found


def random_jacobian() -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randn(3, 12, generator=random, dtype=torch.float64) * torch.tensor([[1.0], [9.0], [0.1]])


def validated(losses: Mapping[str, float], **options: Any) -> PIVRG:
    weighting = made(**options)
    values = torch.tensor(list(losses.values()), dtype=torch.float64)
    weighting.on_validation_end(values, torch.tensor([NAMES.index(name) for name in losses]))
    return weighting


@pytest.mark.parametrize("num_tasks", [2, 3, 8, 32])
def test_contract(num_tasks: int) -> None:
    check_weighting(lambda tasks: PIVRG(tasks, dict.fromkeys(tasks, 0.7)), num_tasks)


def test_before_a_validation_it_is_fairgrad_of_alpha_2() -> None:
    jacobian = random_jacobian()
    expected = FairGrad(NAMES, alpha=2.0)(gramian(jacobian), torch.ones(3).double(), torch.arange(3))
    torch.testing.assert_close(ask(made(), jacobian), expected)


@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e10])
def test_weights_solve_the_equation(scale: float) -> None:
    """Tasks are 40, 0 and 10 % behind: the temperature is 40 / log 3 with a bound of 3."""
    jacobian = random_jacobian() * scale
    weights = ask(validated({"a": 1.4, "b": 0.5, "c": 22.0}, bound=3.0), jacobian)
    powers = 3.0 ** torch.tensor([1.0, 0.0, 0.25], dtype=torch.float64)
    importance = 3 * powers / powers.sum()
    torch.testing.assert_close(jacobian @ jacobian.T @ weights, (importance / weights).sqrt(), rtol=1e-6, atol=0)


def test_small_differences_of_performance_count_little() -> None:
    weighting = validated({"a": 1.02, "b": 0.5, "c": 20.0}, min_temperature=10.0)
    powers = torch.tensor([0.2, 0.0, 0.0], dtype=torch.float64).exp()
    torch.testing.assert_close(ask(weighting, torch.eye(3).double()), (3 * powers / powers.sum()) ** (1 / 3))


def test_a_task_that_is_further_behind_gains_more() -> None:
    jacobian = random_jacobian()
    before, after = made(), validated({"a": 1.0, "b": 0.5, "c": 40.0})
    gains = [jacobian @ (ask(weighting, jacobian) @ jacobian) for weighting in (before, after)]
    assert gains[1][2] > gains[0][2] > 0
    assert (gains[1] > 0).all()


def test_tasks_present_alone_are_compared() -> None:
    jacobian = random_jacobian()
    together = validated({"a": 1.4, "b": 0.5, "c": 400.0})
    pair = PIVRG(["a", "b"], {"a": 1.0, "b": 0.5})
    pair.on_validation_end(torch.tensor([1.4, 0.5], dtype=torch.float64), torch.arange(2))
    torch.testing.assert_close(ask(together, jacobian[:2], [0, 1]), ask(pair, jacobian[:2], [0, 1]))


def test_a_validation_without_a_task_or_without_a_number_leaves_the_task_as_it_was() -> None:
    weighting = validated({"a": 1.4, "b": 0.6, "c": 22.0})
    weighting.on_validation_end(torch.tensor([1.5, torch.nan], dtype=torch.float64), torch.tensor([0, 1]))
    torch.testing.assert_close(weighting.delays, torch.tensor([50.0, 20.0, 10.0], dtype=torch.float64))


def test_performance_is_in_the_checkpoint() -> None:
    weighting, fresh, jacobian = validated({"a": 1.4, "b": 0.6, "c": 22.0}), made(), random_jacobian()
    fresh.load_state_dict(checkpointed(weighting.state_dict()))
    assert torch.equal(ask(fresh, jacobian), ask(weighting, jacobian))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baselines": {"a": 1.0}}, "`baselines` misses b, c; give every task a number"),
        ({"baselines": {**BASELINES, "b": 0.0}}, r"`baselines\.b` must be a finite number above 0, found 0"),
        ({"baselines": BASELINES, "bound": 1.0}, "`bound` must be a finite number above 1, found 1"),
        ({"baselines": BASELINES, "min_temperature": 0.0}, "`min_temperature` must be a finite number above 0"),
    ],
)
def test_arguments_are_checked(options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        PIVRG(NAMES, **options)
