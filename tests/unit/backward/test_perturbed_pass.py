"""Gradients at perturbed parameters, on quadratic losses whose gradients are known everywhere."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtl_lightning.backward import Executor
from mtl_lightning.errors import UserError
from mtl_lightning.weighting import FSMTL, SAMO, EqualWeighting, GramianWeighting, Weighting

TASKS = ["a", "b"]
RHO = 0.1
Equal: Any = EqualWeighting


class Quadratic:
    """Losses ``(x - c)ᵀ A (x - c) / 2 + |h - e|² / 2`` of a shared vector and a head for each task."""

    def __init__(self, weighting: Weighting, **options: Any) -> None:
        random = torch.Generator().manual_seed(0)
        self.matrices = [m @ m.T for m in torch.randn(2, 4, 4, generator=random, dtype=torch.float64)]
        self.centres = torch.randn(2, 4, generator=random, dtype=torch.float64)
        self.shared = nn.Parameter(torch.randn(4, generator=random, dtype=torch.float64))
        self.heads = {task: nn.Parameter(torch.ones(3, dtype=torch.float64)) for task in TASKS}
        self.executor = Executor(weighting, [self.shared], {t: [h] for t, h in self.heads.items()}, **options)
        self.asked: list[tuple[str, bool]] = []

    def gradient(self, task: int, at: Tensor) -> Tensor:
        return self.matrices[task] @ (at - self.centres[task])

    def losses(self, *tasks: str, scale: float = 1.0) -> dict[str, Tensor]:
        found = {}
        for number, task in enumerate(TASKS):
            gap = self.shared - self.centres[number]
            quadratic = gap @ self.matrices[number] @ gap / 2
            found[task] = scale * (quadratic + (self.heads[task] - number * 3).square().sum() / 2)
        return {task: found[task] for task in tasks or TASKS}

    def again(self, task: str, probe: bool) -> dict[str, Tensor]:
        self.asked.append((task, probe))
        assert torch.is_grad_enabled() != probe
        return self.losses()

    def step(self) -> Any:
        self.executor.add(self.losses())
        self.executor.add_perturbed(self.again)
        step = self.executor.combine()
        self.executor.backward(step.objective)
        return step

    def written(self) -> tuple[Tensor, ...]:
        return tuple(p.grad for p in (self.shared, *self.heads.values()))  # type: ignore[misc]


def head_gradients(model: Quadratic) -> list[Tensor]:
    """Those of heads that were moved along their own gradient."""
    gaps = [head.detach() - number * 3 for number, head in enumerate(model.heads.values())]
    return [gap + RHO * gap / gap.norm() for gap in gaps]


def test_each_task_s_gradient_at_its_place_as_known_by_hand() -> None:
    model = Quadratic(FSMTL(TASKS, Equal, rho=RHO))
    before = [p.detach().clone() for p in (model.shared, *model.heads.values())]
    gradients = [model.gradient(number, before[0]) for number in range(2)]
    there = [model.gradient(n, before[0] + RHO * g / g.norm()) for n, g in enumerate(gradients)]
    expected = [there[0] + there[1], *head_gradients(model)]
    step = model.step()
    torch.testing.assert_close(list(model.written()), expected)
    assert all(torch.equal(p, was) for p, was in zip((model.shared, *model.heads.values()), before, strict=True))
    products = torch.stack(gradients) @ torch.stack(gradients).T
    torch.testing.assert_close(step.gramian, products)
    torch.testing.assert_close(dict(step.losses), {task: loss.detach() for task, loss in model.losses().items()})
    assert model.asked == [("a", False), ("b", False)]


def test_along_the_gradient_of_the_sum() -> None:
    model = Quadratic(SAMO(TASKS, Equal, rho=RHO, alpha=1.0, seed=0))
    at = model.shared.detach()
    total = model.gradient(0, at) + model.gradient(1, at)
    place = at + RHO * total / total.norm()
    expected = [model.gradient(0, place) + model.gradient(1, place), *head_gradients(model)]
    model.step()
    torch.testing.assert_close(list(model.written()), expected)
    assert model.asked == [(task, probe) for task in TASKS for probe in (True, True, False)]


class Seen(FSMTL):
    """Remembers what it is asked."""

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        self.seen = gramian, losses
        return super().forward(gramian, losses, tasks)


def test_a_method_sees_gradients_and_changes_with_their_losses() -> None:
    weighting = Seen(TASKS, rho=RHO)
    model = Quadratic(weighting)
    at = model.shared.detach().clone()
    gradients = torch.stack([model.gradient(number, at) for number in range(2)])
    moves = RHO * gradients / gradients.norm(dim=1, keepdim=True)
    changes = torch.stack([model.matrices[number] @ moves[number] for number in range(2)])
    step = model.step()
    both = torch.cat([gradients, changes])
    torch.testing.assert_close(weighting.seen[0], both @ both.T)
    assert (weighting.seen[1][2:] > weighting.seen[1][:2]).all()
    weights = weighting(both @ both.T, weighting.seen[1], torch.arange(2))
    torch.testing.assert_close(model.shared.grad, weights @ both)
    assert [float(weight) for weight in step.weights.values()] == pytest.approx(weights[:2].tolist())


@pytest.mark.parametrize("method", [FSMTL, partial(SAMO, seed=0)], ids=["fs-mtl", "samo"])
def test_batches_that_make_up_a_step_count_as_one(method: Any) -> None:
    """Of two batches with losses times 1 and 3, the mean is that of one batch with losses times 2."""
    whole, parts = (Quadratic(method(TASKS, rho=RHO)) for _ in range(2))
    whole.executor.add(whole.losses(scale=2))
    whole.executor.add_perturbed(lambda task, probe: whole.losses(scale=2))
    whole.executor.backward(whole.executor.combine().objective)

    def again(task: str, probe: bool) -> Any:
        return [(parts.losses(scale=scale), dict.fromkeys(TASKS, 1.0)) for scale in (1, 3)]

    for scale, last in ((1, False), (3, True)):
        parts.executor.add(parts.losses(scale=scale))
        if last:
            parts.executor.add_perturbed(again)
        parts.executor.backward(parts.executor.combine(last).objective / 2)
    torch.testing.assert_close(parts.written(), whole.written())


def test_data_sets_of_one_task_each_make_a_step() -> None:
    joined, apart = (Quadratic(FSMTL(TASKS, rho=RHO)) for _ in range(2))
    joined.step()
    for task in TASKS:
        apart.executor.add(apart.losses(task), dict.fromkeys([task], 1.0), complete=[task])
    apart.executor.add_perturbed(lambda task, probe: [(apart.losses(each), {each: 1.0}) for each in TASKS])
    apart.executor.backward(apart.executor.combine().objective)
    torch.testing.assert_close(apart.written(), joined.written())


@pytest.mark.parametrize("method", [FSMTL, partial(SAMO, seed=0)], ids=["fs-mtl", "samo"])
def test_a_task_that_is_missing_is_not_moved(method: Any) -> None:
    model = Quadratic(method(TASKS, Equal, rho=RHO))
    model.executor.add(model.losses("b"))
    model.executor.add_perturbed(model.again)
    model.executor.backward(model.executor.combine().objective)
    assert {task for task, _ in model.asked} == {"b"} and model.heads["a"].grad is None


def test_parameters_are_put_back_where_a_loop_fails() -> None:
    model = Quadratic(FSMTL(TASKS, rho=RHO))
    before = model.shared.detach().clone()

    def fails(task: str, probe: bool) -> dict[str, Tensor]:
        assert not torch.equal(model.shared, before)
        raise KeyboardInterrupt

    model.executor.add(model.losses())
    with pytest.raises(KeyboardInterrupt):
        model.executor.add_perturbed(fails)
    assert torch.equal(model.shared, before)
    model.step()
    assert model.shared.grad is not None


@pytest.mark.parametrize("method", [FSMTL, partial(SAMO, seed=0)], ids=["fs-mtl", "samo"])
@pytest.mark.parametrize("where", ["here", "there"])
def test_a_loss_that_is_not_finite_skips_the_step(method: Any, where: str) -> None:
    weighting = method(TASKS, rho=RHO)
    model = Quadratic(weighting)
    before = model.shared.detach().clone(), weighting.get_extra_state()

    def bad(scale: float) -> dict[str, Tensor]:
        found = model.losses()
        return {**found, "b": found["b"] * scale}

    model.executor.add(bad(torch.nan if where == "here" else 1.0))
    model.executor.add_perturbed(lambda task, probe: bad(torch.nan))
    model.executor.backward(model.executor.combine().objective)
    assert all("'b'" in cause for cause in model.executor.not_finite) and model.executor.not_finite
    assert model.shared.grad is None and torch.equal(model.shared, before[0])
    assert weighting.get_extra_state()["tasks"] == before[1]["tasks"]


def test_heads_are_weighted_where_asked_for() -> None:
    model = Quadratic(FSMTL(TASKS, rho=RHO), head_gradients="weighted")
    expected = head_gradients(model)
    step = model.step()
    for head, gradient, weight in zip(model.heads.values(), expected, step.weights.values(), strict=True):
        torch.testing.assert_close(head.grad, gradient * float(weight))


class Elsewhere(GramianWeighting):
    perturbs_parameters = True

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        return torch.ones_like(losses)


def test_what_is_refused() -> None:
    with pytest.raises(UserError, match="Elsewhere: `perturbs_parameters` is for subclasses of SharpnessAware"):
        Quadratic(Elsewhere(TASKS))
    for options, message in (
        ({"gradient_of": "features"}, "`gradient_of`: SAMO moves all shared parameters and sees all their gradients"),
        ({"refresh_every": 4}, "`refresh_every`: SAMO moves parameters in every step; leave it out"),
    ):
        with pytest.raises(UserError, match=message):
            Quadratic(SAMO(TASKS), **options)
    model = Quadratic(SAMO(TASKS))
    model.executor.add(model.losses())
    with pytest.raises(UserError, match=r"call `executor.add_perturbed\(again\)` before the last `combine`"):
        model.executor.combine()
    model.executor.add(model.losses())
    model.executor.add_perturbed(model.again)
    assert not model.executor.takes_perturbed
    model.executor.combine(last=False)
    with pytest.raises(UserError, match="all batches of the optimizer step come before `add_perturbed`"):
        model.executor.add(model.losses())
    model.executor.add(model.losses())
    with pytest.raises(UserError, match="the loss of task 'a' must be a tensor, found float"):
        model.executor.add_perturbed(lambda task, probe: {"a": 1.0})  # type: ignore[dict-item]


def test_a_shared_part_that_is_frozen_is_left_alone() -> None:
    model = Quadratic(FSMTL(TASKS))
    model.shared.requires_grad_(False)
    assert not model.executor.takes_perturbed
    model.step()
    assert model.asked == [] and all(head.grad is not None for head in model.heads.values())


@pytest.mark.parametrize("method", [FSMTL, SAMO])
def test_autocast_sees_the_parameters_where_they_are(method: Any) -> None:
    """It keeps what it has cast until its context ends, and would go on with parameters as they were."""
    torch.manual_seed(0)
    layer, x = nn.Linear(4, 1), torch.randn(8, 4)
    head = nn.Linear(1, 1)
    executor = Executor(method(["a"], Equal, rho=50.0), list(layer.parameters()), {"a": list(head.parameters())})

    def losses(*_: Any) -> dict[str, Tensor]:
        return {"a": head(layer(x)).float().square().mean()}

    def step() -> float:
        executor.add(losses())
        executor.add_perturbed(losses)
        executor.backward(executor.combine().objective)
        assert layer.weight.grad is not None
        return float(layer.weight.grad.norm())

    exact = step()
    layer.zero_grad()
    head.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        assert 0.5 < step() / exact < 2  # without the change, a hundred thousandth
