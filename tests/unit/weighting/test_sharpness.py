"""FS-MTL and SAMO: where parameters are moved to, what the other method is asked, what is handed on and refused."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.testing import check_weighting
from mtl_lightning.testing.common import checkpointed
from mtl_lightning.weighting import (
    CRMOGM,
    FSMTL,
    IMTLL,
    MGDA,
    PIVRG,
    SAMO,
    CAGrad,
    EqualWeighting,
    FixedWeighting,
    GradNorm,
    MoDo,
    SharpnessAware,
    UPGrad,
    gramian,
)
from mtl_lightning.weighting.per_layer import PerLayer

NAMES = ["a", "b", "c"]
EVERYONE = torch.arange(3)
Factory = Callable[[Sequence[str]], SharpnessAware]


def told(tasks: Sequence[str]) -> PIVRG:
    return PIVRG(tasks, dict.fromkeys(tasks, 0.5))


METHODS: dict[str, Factory] = {
    "fs-mtl": FSMTL,
    "fs-mtl, together": partial(FSMTL, weighting=MGDA, apart=False),
    "fs-mtl, stateful": partial(FSMTL, weighting=GradNorm),
    "fs-mtl, averaged": partial(FSMTL, weighting=partial(CRMOGM, weighting=UPGrad)),
    "fs-mtl, told": partial(FSMTL, weighting=told),
    "fs-mtl, equal": partial(FSMTL, weighting=EqualWeighting),
    "samo": partial(SAMO, seed=0),
    "samo, log": partial(SAMO, weighting=partial(UPGrad, log=True), seed=0),
}
all_methods = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def rows(number: int) -> Tensor:
    return torch.randn(number, 7, generator=torch.Generator().manual_seed(number), dtype=torch.float64)


def ask(weighting: SharpnessAware, jacobian: Tensor) -> Tensor:
    losses = torch.linspace(0.5, 2, len(jacobian), dtype=torch.float64)
    found: Tensor = weighting(gramian(jacobian), losses, EVERYONE)
    return found


@all_methods
def test_contract(method: Factory) -> None:
    check_weighting(method)


def test_changes_are_combined_apart_or_with_the_gradients() -> None:
    gradients, changes = rows(6).split(3)
    alone, losses = CAGrad(NAMES), torch.ones(3, dtype=torch.float64)
    expected = [alone(gramian(each), losses, EVERYONE) for each in (gradients, changes, gradients + changes)]
    torch.testing.assert_close(ask(FSMTL(NAMES), rows(6)), torch.cat(expected[:2]))
    torch.testing.assert_close(ask(FSMTL(NAMES, apart=False), rows(6)), expected[2].repeat(2))


def test_constant_weights_multiply_gradients_and_changes() -> None:
    fixed = partial(FixedWeighting, weights={"a": 1.0, "b": 2.0, "c": 4.0})
    said, found = fixed(NAMES).constant_weights, FSMTL(NAMES, fixed)(torch.eye(4), torch.ones(4), torch.tensor([2, 0]))
    assert said is not None and found.tolist() == pytest.approx([said["c"], said["a"]] * 2)


# -- where to ----------------------------------------------------------------------------------------------------------
PARAMETERS = [torch.tensor([[1.0, -2.0]]), torch.tensor([0.5])]
GRADIENTS = [torch.tensor([[3.0, 0.0]]), torch.tensor([-4.0])]


def nowhere(changes: Sequence[Tensor]) -> Tensor:
    raise AssertionError("no forward pass is needed")


def test_a_step_of_the_length_rho_along_the_gradient() -> None:
    weighting = FSMTL(NAMES, rho=0.1)
    changes = weighting.perturb(PARAMETERS, GRADIENTS, nowhere)
    torch.testing.assert_close(changes, [torch.tensor([[0.06, 0.0]]), torch.tensor([-0.08])])
    torch.testing.assert_close(weighting.perturb_head(PARAMETERS, GRADIENTS), changes)
    assert weighting.perturb_head([], []) == []


def test_an_adaptive_step_is_longer_where_parameters_are() -> None:
    changes = FSMTL(NAMES, rho=0.1, adaptive=True).perturb(PARAMETERS, GRADIENTS, nowhere)
    length = (3.0**2 + 2.0**2) ** 0.5
    torch.testing.assert_close(changes, [torch.tensor([[0.3 / length, 0.0]]), torch.tensor([-0.1 / length])])


@pytest.mark.parametrize("value", [0.0, torch.inf, torch.nan])
def test_without_a_direction_parameters_stay(value: float) -> None:
    changes = FSMTL(NAMES).perturb(PARAMETERS, [torch.full((1, 2), value), torch.zeros(1)], nowhere)
    assert not any(change.any() for change in changes)


def slope(direction: Sequence[Tensor], changes: Sequence[Tensor]) -> Tensor:
    """The loss that has a gradient."""
    return torch.stack([(d * c).sum() for d, c in zip(direction, changes, strict=True)]).sum()


def test_samo_moves_by_the_gradient_of_the_sum_and_a_random_direction_that_increases_the_task_s_loss() -> None:
    seen: list[Sequence[Tensor]] = []

    def loss_at(changes: Sequence[Tensor]) -> Tensor:
        seen.append([change.clone() for change in changes])
        return slope([torch.tensor([[1.0, 1.0]]), torch.tensor([2.0])], changes)

    weighting = SAMO(NAMES, rho=0.2, alpha=0.3, mu=0.05, seed=3)
    changes = weighting.perturb(PARAMETERS, GRADIENTS, loss_at)
    up, down = seen
    torch.testing.assert_close(up, [-each for each in down])
    generator = SAMO(NAMES, seed=3).generator()
    drawn = [torch.randn(p.shape, generator=generator) for p in PARAMETERS]
    torch.testing.assert_close(up, [0.05 * each for each in drawn])
    sign = (loss_at(up) - loss_at(down)).sign()
    mixed = [0.3 * g + 0.7 * sign * z * g.norm() / z.norm() for g, z in zip(GRADIENTS, drawn, strict=True)]
    length = torch.cat([each.flatten() for each in mixed]).norm()
    torch.testing.assert_close(changes, [0.2 * each / length for each in mixed])
    assert weighting.num_draws == 1  # type: ignore[attr-defined]  # declared by add_state


def test_with_alpha_0_the_loss_of_the_task_increases_on_the_way() -> None:
    weighting, own = SAMO(NAMES, rho=0.2, alpha=0.0, seed=0), [torch.tensor([-1.0, 0.5])]
    for _ in range(20):
        assert slope(own, weighting.perturb([torch.zeros(2)], [torch.ones(2)], partial(slope, own))) > 0


def test_a_task_whose_loss_does_not_change_follows_the_sum() -> None:
    changes = SAMO(NAMES, rho=0.1, seed=0).perturb(PARAMETERS, GRADIENTS, lambda _: torch.zeros(()))
    torch.testing.assert_close(changes, [torch.tensor([[0.06, 0.0]]), torch.tensor([-0.08])])


# -- around another method ---------------------------------------------------------------------------------------------
@all_methods
def test_training_goes_on_from_a_checkpoint(method: Factory) -> None:
    weighting, fresh = method(NAMES), method(NAMES)
    ask(weighting, rows(3 * weighting.gradients_per_task))
    weighting.on_validation_end(torch.ones(3).double(), EVERYONE)
    fresh.load_state_dict(checkpointed(weighting.state_dict()))
    again = rows(3 * weighting.gradients_per_task) + 1
    assert torch.equal(ask(fresh, again), ask(weighting, again))


def test_both_methods_are_told_of_validations() -> None:
    weighting: Any = FSMTL(NAMES, told)
    weighting.on_validation_end(torch.tensor([1.0, 0.5], dtype=torch.float64), torch.tensor([0, 2]))
    assert weighting.weighting.delays.tolist() == weighting.of_changes.delays.tolist() == [100, 0, 0]
    assert weighting.needs_validation


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (FSMTL, {"rho": 0.0}, "`rho` must be a finite number above 0, found 0.0"),
        (FSMTL, {"weighting": IMTLL}, "`weighting` must be a Gramian method, or one of constant weights, found IMTLL"),
        (SAMO, {"weighting": MoDo}, "`weighting`: MoDo compares several batches, which does not go with"),
        (SAMO, {"weighting": FSMTL}, "`weighting`: FSMTL perturbs parameters itself; give one of the two alone"),
        (SAMO, {"alpha": 1.5}, "`alpha` must be from 0 to 1, found 1.5"),
        (SAMO, {"mu": 0.0}, "`mu` must be a finite number above 0"),
        (CRMOGM, {"weighting": SAMO}, "`weighting`: SAMO stands around other methods, not in them: put CRMOGM inside"),
        (PerLayer, {"weighting": FSMTL}, "`gradient_of: layers`: FSMTL moves all shared parameters at once"),
    ],
)
def test_what_is_refused(method: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        method(NAMES, **options)
