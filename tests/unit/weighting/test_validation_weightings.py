"""Methods that learn from a validation batch: the known optima of bilevel problems with quadratic losses."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting import CRMOGM, MOML, AutoLambda, GramianWeighting, gramian
from mtl_lightning.weighting.per_layer import PerLayer

NAMES = ["a", "b", "c"]
CENTRES = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
"""Of the training losses |x - c|² / 2: for weights w, x = Σ w c / Σ w is the optimum of the lower problem."""


def ask(weighting: GramianWeighting, training: Tensor, validation: Tensor, tasks: Tensor | None = None) -> Tensor:
    """The weights for gradients in a training and a validation batch, both [T, P]."""
    rows = torch.cat([training, validation])
    weights: Tensor = weighting(
        gramian(rows), torch.ones(len(rows)).double(), torch.arange(len(training)) if tasks is None else tasks
    )
    return weights


def descend(weighting: Any, targets: Tensor, steps: int = 600, rate: float = 0.2) -> Tensor:
    """The point that both problems end in, of validation losses |x - v|² / 2; weights move ever less."""
    point = torch.tensor([1.0, 0.5], dtype=torch.float64)
    for step in range(steps):
        weighting.learning_rate = 0.02 * 0.985**step
        training, validation = point - CENTRES, point - targets
        point = point - rate * ask(weighting, training, validation) @ training
    return point


@pytest.mark.parametrize("target", [[1.0, 1.0], [2.0, 1.5], [0.5, 0.2]])
def test_auto_lambda_reaches_the_optimum_of_the_primary_task(target: list[float]) -> None:
    """It is a combination of the training optima, so that some weights make it the optimum of the lower problem."""
    targets = torch.tensor([target, [9.0, 9.0], [-9.0, 0.0]], dtype=torch.float64)
    weighting = AutoLambda(NAMES, primary_tasks=["a"])
    found = descend(weighting, targets)
    torch.testing.assert_close(found, targets[0], atol=0.02, rtol=0)
    weights = weighting.weights / weighting.weights.sum()
    expected = torch.tensor([1 - sum(target) / 4, target[0] / 4, target[1] / 4]).double()
    torch.testing.assert_close(weights, expected, atol=0.02, rtol=0)


def test_auto_lambda_reaches_the_nearest_point_where_the_optimum_is_out_of_reach() -> None:
    targets = torch.tensor([[3.0, 3.0], [0.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    found = descend(AutoLambda(NAMES, primary_tasks=["a"]), targets)
    torch.testing.assert_close(found, torch.tensor([2.0, 2.0]).double(), atol=0.05, rtol=0)


def test_auto_lambda_with_all_tasks_reaches_the_optimum_of_their_sum() -> None:
    targets = torch.tensor([[2.0, 1.0], [1.0, 2.0], [0.0, 0.6]], dtype=torch.float64)
    found = descend(AutoLambda(NAMES), targets)
    torch.testing.assert_close(found, targets.mean(0), atol=0.02, rtol=0)


def test_auto_lambda_takes_the_first_step_of_adam() -> None:
    weighting = AutoLambda(NAMES, primary_tasks=["b"], initial=0.5, learning_rate=0.01)
    training = torch.tensor([[1.0, 0.0], [-2.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    validation = torch.tensor([[7.0, 7.0], [1.0, 0.0], [-7.0, 7.0]], dtype=torch.float64)
    found = ask(weighting, training, validation)
    torch.testing.assert_close(found, torch.tensor([0.51, 0.49, 0.5]).double())


def test_the_hypergradient_is_the_derivative_of_the_validation_loss_after_a_step() -> None:
    """By finite differences of the weights; its direction is what Adam sees."""
    random = torch.Generator().manual_seed(0)
    point, rate, size = torch.randn(4, generator=random).double(), 1e-6, 1e-3
    centres, targets = (torch.randn(3, 4, generator=random).double() for _ in range(2))

    def after(weights: Tensor) -> Tensor:
        moved = point - rate * weights @ (point - centres)
        return (moved - targets[:2]).square().sum() / 2

    at = torch.full((3,), 0.1).double()
    slopes = torch.stack([(after(at + step) - after(at - step)) / (2 * size) for step in size * torch.eye(3).double()])
    weighting = AutoLambda(NAMES, primary_tasks=["a", "b"])
    ask(weighting, point - centres, point - targets)
    mean = weighting.moments[1] / 0.1  # Adam's mean gradient after one step
    torch.testing.assert_close(rate * mean, slopes, rtol=1e-4, atol=1e-12)


def test_weights_stop_at_zero_and_absent_tasks_keep_theirs() -> None:
    weighting = AutoLambda(NAMES, primary_tasks=["a"], initial=0.02, learning_rate=0.01)
    rows = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    for _ in range(5):
        found = ask(weighting, rows, rows, torch.tensor([0, 2]))
    torch.testing.assert_close(found, torch.tensor([0.07, 0.0]).double())
    assert weighting.weights[1] == 0.02 and not weighting.moments[:, 1].any()


def test_without_a_primary_task_in_the_step_weights_stay() -> None:
    weighting = AutoLambda(NAMES, primary_tasks=["a"])
    found = ask(weighting, torch.ones(2, 2).double(), torch.ones(2, 2).double(), torch.tensor([1, 2]))
    assert found.tolist() == [0.1, 0.1]


# -- MOML --------------------------------------------------------------------------------------------------------------
def test_moml_reaches_an_optimum_that_all_tasks_have() -> None:
    targets = torch.tensor([[1.0, 1.5]] * 3, dtype=torch.float64)
    weighting = MOML(NAMES)
    found = descend(weighting, targets, steps=800, rate=0.5)
    torch.testing.assert_close(found, targets[0], atol=0.02, rtol=0)
    torch.testing.assert_close(
        weighting.logits.softmax(0), torch.tensor([0.375, 0.25, 0.375]).double(), atol=0.02, rtol=0
    )


def test_moml_ends_where_no_weights_lower_all_validation_losses() -> None:
    """The Pareto set of the upper problem is the triangle of the validation optima, all within reach."""
    targets = torch.tensor([[1.0, 1.5], [1.4, 1.5], [1.0, 1.9]], dtype=torch.float64)
    x, y = descend(MOML(NAMES), targets, steps=800, rate=0.5).tolist()
    assert x > 0.98 and y > 1.48 and x + y < 2.92


def test_moml_moves_along_the_slope_of_the_weights() -> None:
    """By finite differences of the numbers under the softmax, for a single validation loss, three times the same."""
    random = torch.Generator().manual_seed(0)
    point, rate, size = torch.randn(4, generator=random).double(), 1e-6, 1e-3
    centres, target = torch.randn(3, 4, generator=random).double(), torch.randn(4, generator=random).double()

    def after(logits: Tensor) -> Tensor:
        moved = point - rate * logits.softmax(0) @ (point - centres)
        return (moved - target).square().sum() / 2

    weighting = MOML(NAMES)
    weighting.logits = at = torch.tensor([0.3, -0.2, 0.1]).double()
    slopes = torch.stack([(after(at + step) - after(at - step)) / (2 * size) for step in size * torch.eye(3).double()])
    ask(weighting, point - centres, (point - target).expand(3, 4))
    torch.testing.assert_close(rate * weighting.moments[1] / 0.1, slopes, rtol=1e-4, atol=1e-12)


def test_moml_of_two_tasks_stays_where_each_asks_for_more() -> None:
    weighting, rows = MOML(["a", "b"]), torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    assert ask(weighting, rows, rows).tolist() == [0.5, 0.5]
    found = ask(weighting, rows, rows[:1].expand(2, 2))
    assert found[0] > 0.5 > found[1]


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (MOML, {"learning_rate": -1.0}, "`learning_rate` must be a finite number above 0"),
        (AutoLambda, {"primary_tasks": ["d"]}, "`primary_tasks` names the unknown task 'd'"),
        (AutoLambda, {"primary_tasks": []}, "`primary_tasks` is empty; name at least one task"),
        (AutoLambda, {"initial": -0.1}, "`initial` must be a finite number of at least 0"),
        (AutoLambda, {"learning_rate": 0.0}, "`learning_rate` must be a finite number above 0"),
        (CRMOGM, {"weighting": AutoLambda}, "`weighting`: AutoLambda compares several batches"),
        (PerLayer, {"weighting": AutoLambda}, "`gradient_of: layers`: AutoLambda compares several batches"),
    ],
)
def test_what_is_refused(method: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        method(NAMES, **options)
