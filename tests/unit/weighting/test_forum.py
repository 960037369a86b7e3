"""FORUM: the problem of each step is solved, and bilevel problems with quadratic losses end where they must."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting import FORUM, gramian
from mtl_lightning.weighting.forum import _upper_weights
from mtl_lightning.weighting.solvers import Array, SolverError, least_on_simplex

NAMES, EVERYONE = ["a", "b", "c"], torch.arange(3)
CENTRES = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
"""Of the losses |x - c|² / 2 of the lower level: for weights w that sum to one, its optimum is Σ w c."""


def ask(weighting: FORUM, lower: Tensor, upper: Tensor, tasks: Tensor = EVERYONE) -> Tensor:
    """Weights [2, T] for the gradients [T, P] in both batches."""
    weights: Tensor = weighting(gramian(torch.cat([lower, upper])), torch.ones(2 * len(tasks)).double(), tasks)
    return weights.view(2, -1)


def descend(weighting: FORUM, targets: Tensor, steps: int = 400) -> Tensor:
    """The point that both levels end in, of upper losses |x - v|² / 2; steps get ever shorter."""
    point = torch.tensor([1.0, 0.5], dtype=torch.float64)
    for step in range(steps):
        rate = 0.98**step
        weighting.learning_rate = 0.1 * rate
        lower, upper = point - CENTRES, point - targets
        point = point - 0.3 * rate * (ask(weighting, lower, upper).flatten() @ torch.cat([lower, upper]))
    return point


def value(weights: Array, cosines: Array, along: Array, least: float) -> float:
    """What the weights of the upper level make least, with the best force put in."""
    force = max(least - float(weights @ along), 0.0)
    joint = np.append(weights, [force])
    products = np.block([[cosines, along[:, None]], [along, np.ones(1)]])
    return float(joint @ products @ joint - force * least)


# -- one step ----------------------------------------------------------------------------------------------------------
def test_the_step_of_its_formulas() -> None:
    """Written out for the gradients of three tasks, with the weights of the upper level as they are found."""
    random = torch.Generator().manual_seed(3)
    lower, upper = (torch.randn(3, 4, generator=random, dtype=torch.float64) for _ in range(2))
    weighting = FORUM(NAMES, rho=0.7, length=0.3, learning_rate=0.01)
    weighting.logits = torch.tensor([0.2, -0.1, 0.0], dtype=torch.float64)
    shares = weighting.logits.softmax(0)
    mean = shares @ lower
    of_weights = 0.3 * shares * ((lower - mean) @ mean)
    squared = float(mean @ mean + of_weights @ of_weights)
    units = upper / upper.norm(dim=1, keepdim=True)
    found = ask(weighting, lower, upper)

    expected = _upper_weights((units @ units.T).numpy(), (units @ mean).numpy() / squared**0.5, 0.7 * squared**0.5)
    torch.testing.assert_close(found[1] * upper.norm(dim=1), torch.from_numpy(expected))
    force = max(0.0, 0.7 - float(torch.from_numpy(expected) @ units @ mean) / squared)
    assert force > 0
    torch.testing.assert_close(found[0], force * shares)
    moved = torch.tensor([0.2, -0.1, 0.0]).double() - 0.01 * of_weights.sign()  # Adam's first step
    torch.testing.assert_close(weighting.logits, moved)


def test_the_weighted_loss_falls_as_fast_as_asked() -> None:
    """A step of length 1 lowers the gap by 0.4 |∇q|² or more; the weights' part of it is moved by the same gradient."""
    random = torch.Generator().manual_seed(0)
    for _ in range(50):
        lower, upper = (torch.randn(3, 5, generator=random, dtype=torch.float64) for _ in range(2))
        mean = lower.mean(0)
        of_weights = 0.5 / 3 * ((lower - mean) @ mean)
        squared = mean @ mean + of_weights @ of_weights
        found = ask(FORUM(NAMES, rho=0.4), lower, upper)
        force = found[0].sum()  # the weights of the lower level sum to one
        fall = mean @ (found.flatten() @ torch.cat([lower, upper])) + force * of_weights @ of_weights
        assert fall >= 0.4 * squared * (1 - 1e-9)


@pytest.mark.parametrize("where", ["force", "kink", "no force"])
def test_the_weights_of_the_upper_level_are_optimal(where: str) -> None:
    """On both sides of the kink and in it, nothing that is sampled does better."""
    random, seen = np.random.default_rng(0), 0
    for _ in range(150):
        rows = random.normal(size=(4, 3)) + 2 * random.normal(size=3)
        rows /= np.linalg.norm(rows, axis=1)[:, None]
        edge = rows.mean(0) + 0.5 * random.normal(size=3)
        edge /= np.linalg.norm(edge)
        cosines, along, least = rows @ rows.T, rows @ edge, random.uniform(0.05, 1.0)
        found = _upper_weights(cosines, along, least)
        assert found.min() >= 0 and found.sum() == pytest.approx(1)
        excess = found @ along - least
        if where != ("kink" if abs(excess) < 1e-9 else "force" if excess < 0 else "no force"):
            continue
        seen += 1
        others = np.vstack([np.eye(4), random.dirichlet(np.full(4, 0.4), size=60), found + 0.02 * np.eye(4)])
        reached = value(found, cosines, along, least)
        assert min(value(other / other.sum(), cosines, along, least) for other in others) >= reached - 1e-12
    assert seen > 10


def test_without_a_gap_it_is_the_shortest_combination_of_unit_gradients() -> None:
    lower = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    upper = torch.tensor([[0.0, 2.0], [3.0, 0.0]], dtype=torch.float64)
    found = ask(FORUM(["a", "b"]), lower, upper, torch.arange(2))
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0], [0.25, 0.5 / 3]]).double())


def test_the_upper_weights_are_averaged_from_the_second_epoch_on() -> None:
    lower = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    first, second = torch.eye(2).double(), torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    weighting, tasks = FORUM(["a", "b"]), torch.arange(2)
    ask(weighting, lower, first, tasks)
    torch.testing.assert_close(weighting.weights, torch.tensor([0.5, 0.5]).double())
    weighting.on_epoch_end(torch.ones(2), tasks)
    weighting.weights = torch.tensor([0.9, 0.1], dtype=torch.float64)
    ask(weighting, lower, second, tasks)
    rate = 2**-0.75
    expected = (1 - rate) * torch.tensor([0.9, 0.1]).double() + rate * torch.tensor([0.5, 0.5]).double()
    torch.testing.assert_close(weighting.weights, expected)


def test_a_task_without_a_gradient_does_not_hold_up_the_others() -> None:
    upper = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    found = ask(FORUM(NAMES), -CENTRES, upper)
    assert found.isfinite().all() and found[1, 0] == 0 and found[1, 1:].sum() > 0


# -- bilevel problems with known optima --------------------------------------------------------------------------------
@pytest.mark.parametrize("target", [[1.0, 1.0], [2.0, 1.5]])
def test_it_reaches_an_optimum_that_all_tasks_share(target: list[float]) -> None:
    """It is a combination of the centres, so that some weights make it the optimum of the lower level."""
    weighting = FORUM(NAMES, rho=1.0)
    found = descend(weighting, torch.tensor([target] * 3).double())
    torch.testing.assert_close(found, torch.tensor(target).double(), atol=0.01, rtol=0)
    expected = torch.tensor([1 - sum(target) / 4, target[0] / 4, target[1] / 4]).double()
    torch.testing.assert_close(weighting.logits.softmax(0), expected, atol=0.01, rtol=0)


def test_out_of_reach_it_ends_in_the_nearest_point_that_some_weights_make_optimal() -> None:
    found = descend(FORUM(NAMES), torch.tensor([[3.0, 3.0]] * 3).double())
    torch.testing.assert_close(found, torch.tensor([2.0, 2.0]).double(), atol=0.02, rtol=0)


def test_of_several_optima_it_ends_between_them_and_in_that_of_the_weights() -> None:
    weighting = FORUM(NAMES)
    x, y = descend(weighting, torch.tensor([[0.5, 0.5], [1.5, 0.5], [0.5, 1.5]]).double()).tolist()
    assert x > 0.5 and y > 0.5 and x + y < 2
    torch.testing.assert_close(torch.tensor([x, y]).double(), weighting.logits.softmax(0) @ CENTRES, atol=1e-3, rtol=0)


# -- the solver, and what is refused -----------------------------------------------------------------------------------
@pytest.mark.parametrize("rank", [1, 2, 5])
@pytest.mark.parametrize("size", [1e-12, 0.1, 1e9])
def test_the_quadratic_on_the_simplex_meets_its_optimality_conditions(rank: int, size: float) -> None:
    random = np.random.default_rng(0)
    for _ in range(30):
        points = random.normal(size=(rank, 5)) / rank**0.5
        slopes = size * random.normal(size=5)
        found = least_on_simplex(points, slopes, np.eye(5)[0])
        rise = points.T @ points @ found + slopes
        assert found.min() >= 0 and found.sum() == pytest.approx(1)
        assert rise.min() >= rise @ found - 1e-10 * (1 + size)


def test_a_quadratic_that_is_not_finite_is_an_error_of_the_solver() -> None:
    with pytest.raises(SolverError, match="quadratic on the simplex"):
        least_on_simplex(np.full((2, 2), np.nan), np.zeros(2), np.full(2, 0.5))


@pytest.mark.parametrize("option", ["rho", "length", "learning_rate"])
def test_what_is_refused(option: str) -> None:
    options: dict[str, Any] = {option: 0.0}
    with pytest.raises(UserError, match=f"`{option}` must be a finite number above 0, found 0.0"):
        FORUM(NAMES, **options)
