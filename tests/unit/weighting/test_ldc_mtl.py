"""LDC-MTL: its objective, the scales of the first losses, what is trained, what is left out."""

import pytest
import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting import LDCMTL

NAMES = ["a", "b", "c"]
EVERYONE = torch.arange(3)


def weights_of(weighting: LDCMTL, losses: Tensor, tasks: Tensor = EVERYONE) -> Tensor:
    given = losses.clone().requires_grad_()
    (found,) = torch.autograd.grad(weighting(given, tasks), given)
    return found


def test_the_objective_is_that_of_the_formula() -> None:
    weighting = LDCMTL(NAMES, lam=0.2, least=0.0)
    first, losses = torch.tensor([2.0, 1.0, 8.0]), torch.tensor([3.0, 0.5, 4.0])
    weighting(first, EVERYONE)
    with torch.no_grad():
        weighting.logits.copy_(torch.tensor([0.1, -0.4, 0.3]))
    weights, scaled = weighting.logits.softmax(0), losses / torch.tensor([2.0, 1.0, 8.0])
    weighted = weights * scaled
    expected = weighted.sum() + 0.2 * ((weighted[0] - weighted[1]).abs() + (weighted[1] - weighted[2]).abs())
    torch.testing.assert_close(weighting(losses, EVERYONE), expected)


def test_losses_that_start_apart_count_alike() -> None:
    weighting = LDCMTL(NAMES, lam=0.0)
    torch.testing.assert_close(
        weights_of(weighting, torch.tensor([2.0, 1.0, 8.0])), torch.tensor([1 / 6, 1 / 3, 1 / 24])
    )


def test_the_larger_of_two_weighted_losses_weighs_more() -> None:
    weighting = LDCMTL(["a", "b"], lam=0.5)
    weighting(torch.ones(2), torch.arange(2))
    found = weights_of(weighting, torch.tensor([2.0, 1.0]), torch.arange(2))
    torch.testing.assert_close(found, torch.tensor([0.75, 0.25]))


def test_rounding_does_not_decide_which_of_two_equal_losses_weighs_more() -> None:
    """In the first step all weighted losses are equal."""
    for losses in (torch.tensor([0.1, 0.7, 1.3]), torch.tensor([1.3, 0.1, 0.7])):
        found = weights_of(LDCMTL(NAMES, lam=1.0), losses)
        torch.testing.assert_close(found, losses.min() / losses / 3)


def test_no_weight_falls_below_the_bound() -> None:
    weighting = LDCMTL(["a", "b"], lam=0.0, least=0.5)
    weighting.requires_grad_(False)
    weighting.logits[0] = -50.0
    found = weights_of(weighting, torch.ones(2), torch.arange(2))
    torch.testing.assert_close(found, torch.tensor([0.2, 0.8]))


def test_the_slope_of_the_logits_is_that_of_both_terms() -> None:
    weighting = LDCMTL(NAMES, lam=0.3).double()
    weighting(torch.tensor([2.0, 1.0, 8.0]).double(), EVERYONE)
    assert torch.autograd.gradcheck(
        lambda logits: torch.func.functional_call(
            weighting, {"logits": logits}, (torch.tensor([3.0, 0.5, 4.0]), EVERYONE)
        ),
        torch.tensor([0.1, -0.1, 0.2], dtype=torch.float64, requires_grad=True),
    )


def test_the_first_loss_above_zero_counts_and_absent_tasks_wait() -> None:
    weighting = LDCMTL(NAMES, lam=0.0)
    weighting(torch.tensor([0.0, 4.0]), torch.tensor([0, 2]))
    assert weighting.first.tolist() == [0.0, 0.0, 4.0]
    weighting(torch.tensor([2.0, 1.0, 7.0]), EVERYONE)
    weighting(torch.tensor([5.0, 5.0, 5.0]), EVERYONE)
    assert weighting.first.tolist() == [2.0, 1.0, 4.0]


def test_what_is_refused() -> None:
    for options, message in (
        ({"lam": -1.0}, "`lam` must be"),
        ({"least": 1.0}, "`least` must be at least 0 and below 1"),
    ):
        with pytest.raises(UserError, match=message):
            LDCMTL(NAMES, **options)
    weighting = LDCMTL(NAMES)
    assert weights_of(weighting, torch.tensor([1.0, -1.0, 1.0])).isnan().any()
    assert weighting.undefined(torch.tensor([1.0, -1.0, 1.0]), EVERYONE).tolist() == [False, True, False]
