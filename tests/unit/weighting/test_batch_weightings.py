"""Methods that compare several batches: known optima of quadratic losses, no bias by noise, and what they refuse."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting import CRMOGM, MGDA, GramianWeighting, MoDo, SDMGrad, gramian
from mtl_lightning.weighting.batches import of_equal_batches
from mtl_lightning.weighting.per_layer import PerLayer

NAMES, EVERYONE = ["a", "b"], torch.arange(2)
OPTIMA = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
"""Of the losses |x - c|² / 2; the Pareto set is the segment between them."""
POINT = torch.tensor([-1.0, 0.5], dtype=torch.float64)
METHODS = [MoDo, SDMGrad]


def ask(weighting: GramianWeighting, *batches: Tensor) -> Tensor:
    """Weights [b, T] for the gradients [T, P] in each batch."""
    losses = torch.ones(len(batches) * len(batches[0]), dtype=torch.float64)
    weights: Tensor = weighting(gramian(torch.cat(batches)), losses, torch.arange(len(batches[0])))
    return weights.view(len(batches), -1)


def noisy(random: torch.Generator, sizes: Tensor) -> Tensor:
    """The gradients of the quadratic losses in POINT, with noise."""
    noise = torch.randn(2, 2, generator=random, dtype=torch.float64) * sizes[:, None]
    return POINT - OPTIMA + noise


def shortest(jacobian: Tensor, pull: float = 0.0) -> float:
    """The first of two weights for which the combination, with a pull of the mean, is shortest."""
    first, second = jacobian
    difference, rest = first - second, second + pull * jacobian.mean(0)
    return float((-difference @ rest / (difference @ difference)).clamp(0, 1))


def test_modo_takes_the_step_of_its_formula() -> None:
    random = torch.Generator().manual_seed(0)
    batches = [noisy(random, torch.ones(2)) for _ in range(3)]
    weights = torch.full((2,), 0.5, dtype=torch.float64)
    slope = batches[0] @ batches[1].T @ weights + 0.1 * weights
    moved = weights - 0.05 * slope
    expected = moved - (moved.sum() - 1) / 2  # the nearest of sum one, inside of the simplex
    found = ask(MoDo(NAMES, gamma=0.05), *batches)
    torch.testing.assert_close(found, torch.stack([torch.zeros(2).double(), torch.zeros(2).double(), expected]))
    averaged = ask(MoDo(NAMES, gamma=0.05, direction="mean"), *batches)
    torch.testing.assert_close(averaged, (expected / 3).expand(3, 2))


@pytest.mark.parametrize("lam", [0.0, 0.3, 5.0])
def test_sdmgrad_finds_the_shortest_combination_with_the_mean(lam: float) -> None:
    jacobian = POINT - OPTIMA
    found = of_equal_batches(SDMGrad(NAMES, lam=lam, num_iterations=500), gramian(jacobian), torch.ones(2), EVERYONE)
    expected = shortest(jacobian, lam)
    torch.testing.assert_close(found[0], torch.tensor((expected + lam / 2) / (1 + lam)).double())
    torch.testing.assert_close(found.sum(), torch.ones(()).double())


def test_modo_comes_to_the_shortest_combination_where_the_gradients_stay() -> None:
    weighting, jacobian = MoDo(NAMES, gamma=0.05, rho=0.0), POINT - OPTIMA
    for _ in range(300):
        found = of_equal_batches(weighting, gramian(jacobian), torch.ones(2), EVERYONE)
    torch.testing.assert_close(found[0], torch.tensor(shortest(jacobian)).double())


def test_noise_does_not_bias_weights_from_two_batches() -> None:
    """In one batch the noisier task seems to have the longer gradient, and loses its weight."""
    random, sizes = torch.Generator().manual_seed(0), torch.tensor([3.0, 0.0])
    weighting, means = MoDo(NAMES, gamma=2e-3, rho=0.0), []
    for step in range(2500):
        batches = [noisy(random, sizes) for _ in range(3)]
        means.append([float(ask(weighting, *batches)[2, 0]), float(MGDA(NAMES)(gramian(batches[0]), *_rest())[0])])
        means = means if step >= 500 else []
    unbiased, biased = torch.tensor(means).mean(0).tolist()
    expected = shortest(POINT - OPTIMA)
    assert abs(unbiased - expected) < 0.05
    assert abs(biased - expected) > 0.15


def _rest() -> tuple[Tensor, Tensor]:
    return torch.ones(2, dtype=torch.float64), EVERYONE


@pytest.mark.parametrize("method", METHODS)
def test_descent_ends_on_the_pareto_set(method: type[MoDo | SDMGrad]) -> None:
    weighting, point = method(NAMES), POINT.clone()
    for _ in range(200):
        jacobian = point - OPTIMA
        point -= 0.1 * of_equal_batches(weighting, gramian(jacobian), *_rest()) @ jacobian
    along = OPTIMA[1] - OPTIMA[0]
    share = float((point - OPTIMA[0]) @ along / (along @ along))
    assert 0 <= share <= 1
    torch.testing.assert_close(point, OPTIMA[0] + share * along, atol=1e-6, rtol=0)


def test_a_strong_pull_leads_to_the_optimum_of_the_mean_loss() -> None:
    weighting, point = SDMGrad(NAMES, lam=1e9), POINT.clone()
    for _ in range(300):
        jacobian = point - OPTIMA
        point -= 0.1 * of_equal_batches(weighting, gramian(jacobian), *_rest()) @ jacobian
    torch.testing.assert_close(point, OPTIMA.mean(0), atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_tasks_that_are_compared_keep_the_sum_of_their_weights(method: type[MoDo | SDMGrad]) -> None:
    weighting = method(["a", "b", "c"])
    weighting.weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    jacobian = torch.randn(2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = of_equal_batches(weighting, gramian(jacobian), torch.ones(2), torch.tensor([0, 2]))
    torch.testing.assert_close(weights.sum(), torch.ones(()).double())
    assert weighting.weights[1] == 0.3
    torch.testing.assert_close(weighting.weights.sum(), torch.ones(()).double())


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (MoDo, {"gamma": 0.0}, "`gamma` must be a finite number above 0, found 0.0"),
        (MoDo, {"rho": -1.0}, "`rho` must be a finite number of at least 0"),
        (MoDo, {"direction": "first"}, "`direction` must be one of last, mean, found 'first'"),
        (SDMGrad, {"lam": -0.1}, "`lam` must be a finite number of at least 0"),
        (SDMGrad, {"beta": float("inf")}, "`beta` must be a finite number above 0"),
        (SDMGrad, {"num_iterations": 0}, "`num_iterations` must be at least 1"),
        (SDMGrad, {"momentum": 1.0}, "`momentum` must be at least 0 and less than 1"),
        (CRMOGM, {"weighting": MoDo}, "`weighting`: MoDo compares several batches"),
        (PerLayer, {"weighting": SDMGrad}, "`gradient_of: layers`: SDMGrad compares several batches"),
    ],
)
def test_what_is_refused(method: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("[", r"\[")):
        method(NAMES, **options)
