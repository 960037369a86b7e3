"""The executor writes the gradients that the weighting means, whatever family it is of."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from mtl_lightning.backward import Executor
from mtl_lightning.weighting import (
    EqualWeighting,
    FixedWeighting,
    GramianWeighting,
    JacobianWeighting,
    LossWeighting,
    Weighting,
)

TASKS = ["a", "b", "c"]
Batches = Sequence[Mapping[str, float]]
"""Data sets of a step, each as the share of its batch in each task that it labels."""

ONE_INPUT: Batches = [{"a": 1.0, "b": 1.0, "c": 1.0}]
INPUT_PER_TASK: Batches = [{"c": 1.0}, {"a": 1.0}, {"b": 1.0}]
MIXED: Batches = [{"a": 0.25, "b": 1.0}, {"a": 0.75, "c": 0.5}, {"c": 0.5}]
SINGLE = {"rtol": 1e-5, "atol": 1e-6}
"""Tolerance where weights come from losses, which the weighting sees in float32."""

STEPS = {"one-input": ONE_INPUT, "input-per-task": INPUT_PER_TASK, "mixed": MIXED}


class Model(nn.Module):
    """A shared part and a head for each task, in float64."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.shared = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh())
        self.heads = nn.ModuleDict({task: nn.Linear(4, 2) for task in TASKS})
        self.double()
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)

    def losses(self, batches: Batches) -> list[dict[str, Tensor]]:
        """Mean loss of each task in each batch, from one pass through the shared part for each batch."""
        losses = []
        for i, tasks in enumerate(batches):
            inputs = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(i))
            hidden = self.shared(inputs)
            losses.append({task: self.heads[task](hidden).square().mean() + 0.5 for task in tasks})
        return losses

    def step_losses(self, batches: Batches) -> dict[str, Tensor]:
        """Loss of each task in the step, in the order of the tasks."""
        losses = self.losses(batches)
        return {
            task: sum(part[task] * shares[task] for part, shares in zip(losses, batches, strict=True) if task in part)
            for task in TASKS
            if any(task in shares for shares in batches)
        }

    def gradients(self) -> dict[str, Tensor | None]:
        return {name: parameter.grad for name, parameter in self.named_parameters()}


def executor_of(
    model: Model, weighting: Weighting, head_gradients: Literal["own", "weighted"] = "own", spare: Sequence[Any] = ()
) -> Executor:
    own = {task: head.parameters() for task, head in model.heads.items()}
    return Executor(weighting, [*model.shared.parameters(), *spare], own, head_gradients)


def step(model: Model, executor: Executor, batches: Batches, factor: float = 1.0) -> tuple[Any, Any, Any]:
    for losses, shares in zip(model.losses(batches), batches, strict=True):
        executor.add(losses, shares)
    found = executor.combine()
    executor.backward(found.objective * factor)
    return found.objective, found.losses, found.weights


def expected_gradients(
    batches: Batches, objective: Callable[[dict[str, Tensor]], Tensor], model: Model | None = None
) -> dict[str, Tensor | None]:
    """What autograd gives for an objective written down plainly."""
    model = model or Model()
    objective(model.step_losses(batches)).backward()
    return model.gradients()


def total(losses: dict[str, Tensor]) -> Tensor:
    first, *others = losses.values()
    for loss in others:
        first = first + loss
    return first


def assert_same(found: dict[str, Tensor | None], expected: dict[str, Tensor | None], **tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (found[name] is None) == (value is None), name
        if value is not None:
            torch.testing.assert_close(found[name], value, **(tolerance or {"rtol": 1e-12, "atol": 1e-12}), msg=name)


class SumOfLogs(LossWeighting):
    """No learnable parameter; the weight of a task is one over its loss."""

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses.log().sum()


class LearnedLogs(LossWeighting):
    """A learnable parameter for each task; the weight of a task is its exponential over the loss."""

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__(tasks)
        self.scale = nn.Parameter(torch.tensor([0.5, -1.0, 0.25]))

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return (self.scale[tasks].exp() * losses.log()).sum()


class Constants(GramianWeighting):
    """The same weights always; keeps what it was asked."""

    weights: Tensor

    def __init__(self, tasks: Sequence[str], weights: Sequence[float] = (1.0, 1.0, 1.0)) -> None:
        super().__init__(tasks)
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float64))

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        self.asked = (gramian, losses, tasks)
        return self.weights[tasks]


class RowSum(JacobianWeighting):
    """The sum of the gradients; keeps what it was asked."""

    def forward(self, jacobian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        self.asked = (jacobian, losses, tasks)
        return jacobian.sum(0)


FAMILIES = {"loss": EqualWeighting, "gramian": Constants, "jacobian": RowSum}


# -- equal to autograd -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("batches", STEPS.values(), ids=STEPS)
def test_equal_weighting_is_the_plain_sum_exactly(batches: Batches) -> None:
    model = Model()
    step(model, executor_of(model, EqualWeighting(TASKS)), batches)
    assert_same(model.gradients(), expected_gradients(batches, total), rtol=0, atol=0)


@pytest.mark.parametrize("batches", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("weighting", [Constants, RowSum], ids=["gramian", "jacobian"])
def test_ones_are_the_plain_sum(batches: Batches, weighting: type[Weighting]) -> None:
    model = Model()
    step(model, executor_of(model, weighting(TASKS)), batches)
    assert_same(model.gradients(), expected_gradients(batches, total))


@pytest.mark.parametrize("batches", STEPS.values(), ids=STEPS)
def test_fixed_weighting_is_the_weighted_sum(batches: Batches) -> None:
    weights = {"a": 0.5, "b": 0.0, "c": 4.0}
    model = Model()
    _, _, found = step(model, executor_of(model, FixedWeighting(TASKS, weights)), batches)
    assert {task: float(weight) for task, weight in found.items()} == weights
    expected = expected_gradients(batches, lambda losses: total({t: losses[t] * weights[t] for t in losses}))
    assert_same(model.gradients(), expected)


@pytest.mark.parametrize("batches", STEPS.values(), ids=STEPS)
def test_weights_of_a_nonlinear_objective_are_its_derivatives(batches: Batches) -> None:
    model = Model()
    objective, losses, weights = step(model, executor_of(model, SumOfLogs(TASKS)), batches)
    expected = torch.stack([*Model().step_losses(batches).values()]).detach()
    assert list(losses) == list(weights) == TASKS
    torch.testing.assert_close(torch.stack([*losses.values()]), expected)
    torch.testing.assert_close(torch.stack([*weights.values()]), 1 / expected)
    torch.testing.assert_close(objective.detach(), expected.log().sum())
    logs = expected_gradients(batches, lambda losses: total({task: loss.log() for task, loss in losses.items()}))
    assert_same(model.gradients(), logs, **SINGLE)


@pytest.mark.parametrize("factor", [1.0, 0.25], ids=["alone", "with-a-factor"])
@pytest.mark.parametrize("batches", STEPS.values(), ids=STEPS)
def test_parameters_of_a_weighting_learn(batches: Batches, factor: float) -> None:
    model, weighting, twin = Model(), LearnedLogs(TASKS), LearnedLogs(TASKS)
    _, losses, weights = step(model, executor_of(model, weighting), batches, factor)
    values = torch.stack(list(losses.values()))
    torch.testing.assert_close(torch.stack(list(weights.values())), weighting.scale.detach().exp() / values)
    expected = expected_gradients(
        batches, lambda losses: twin(torch.stack(list(losses.values())), torch.arange(3)) * factor
    )
    assert twin.scale.grad is not None
    torch.testing.assert_close(weighting.scale.grad, twin.scale.grad)
    assert_same(model.gradients(), expected, **SINGLE)


# -- heads -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("batches", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("head_gradients", ["own", "weighted"])
def test_heads_receive_their_own_gradient_or_the_weighted_one(batches: Batches, head_gradients: Any) -> None:
    factors = dict(zip(TASKS, (2.0, 0.5, 0.0), strict=True))
    model = Model()
    _, _, weights = step(model, executor_of(model, Constants(TASKS, [*factors.values()]), head_gradients), batches)
    assert {task: float(weight) for task, weight in weights.items()} == factors
    weighted = expected_gradients(batches, lambda losses: total({t: losses[t] * factors[t] for t in losses}))
    own = expected_gradients(batches, total)
    heads = weighted if head_gradients == "weighted" else own
    expected = {name: heads[name] if name.startswith("heads") else value for name, value in weighted.items()}
    assert_same(model.gradients(), expected)


# -- what the weighting is asked ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("batches", STEPS.values(), ids=STEPS)
def test_evidence_is_in_the_order_of_the_tasks(batches: Batches) -> None:
    twin, jacobian, products = Model(), RowSum(TASKS), Constants(TASKS)
    losses = twin.step_losses(batches)
    parameters = list(twin.shared.parameters())
    rows = [torch.autograd.grad(losses[task], parameters, retain_graph=True) for task in TASKS]
    expected = torch.stack([torch.cat([gradient.flatten() for gradient in row]) for row in rows])
    for weighting in (jacobian, products):
        model = Model()
        _, _, weights = step(model, executor_of(model, weighting), batches)
        assert bool(weights) == (weighting is products)
        torch.testing.assert_close(weighting.asked[1], torch.stack([*losses.values()]).detach())
        assert weighting.asked[2].tolist() == [0, 1, 2]
    torch.testing.assert_close(jacobian.asked[0], expected)
    torch.testing.assert_close(products.asked[0], expected @ expected.T)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_absent_tasks_are_left_out(family: type[Weighting]) -> None:
    model, weighting = Model(), family(TASKS)
    batches = [{"c": 1.0}, {"a": 1.0}]
    _, losses, weights = step(model, executor_of(model, weighting), batches)
    assert list(losses) == ["a", "c"]
    assert list(weights) in (["a", "c"], [])
    if not isinstance(weighting, LossWeighting):
        assert weighting.asked[2].tolist() == [0, 2]
    assert all(parameter.grad is None for parameter in model.heads["b"].parameters())
    assert_same(model.gradients(), expected_gradients(batches, total))


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_step_knows_nothing_of_the_one_before(family: type[Weighting]) -> None:
    model = Model()
    executor = executor_of(model, family(TASKS))
    for batches in (MIXED, [{"b": 1.0}], ONE_INPUT):
        model.zero_grad()
        step(model, executor, batches)
        assert_same(model.gradients(), expected_gradients(batches, total))


# -- the trainer's part ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_gradients_accumulate(family: type[Weighting]) -> None:
    model = Model()
    executor = executor_of(model, family(TASKS))
    step(model, executor, MIXED, factor=0.5)
    step(model, executor, [{"a": 1.0}], factor=0.5)
    twin = Model()
    (total(twin.step_losses(MIXED)) * 0.5).backward()
    assert_same(model.gradients(), expected_gradients([{"a": 1.0}], lambda losses: total(losses) * 0.5, twin))


def test_parameters_of_a_weighting_accumulate() -> None:
    model, weighting = Model(), LearnedLogs(TASKS)
    executor = executor_of(model, weighting)
    step(model, executor, MIXED)
    assert weighting.scale.grad is not None
    once = weighting.scale.grad.clone()
    step(model, executor, MIXED)
    torch.testing.assert_close(weighting.scale.grad, 2 * once)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("factor", [0.25, 65536.0], ids=["accumulation", "scaler"])
def test_factor_on_the_loss_is_honoured(family: type[Weighting], factor: float) -> None:
    model, scaled = Model(), Model()
    step(model, executor_of(model, family(TASKS)), MIXED)
    step(scaled, executor_of(scaled, family(TASKS)), MIXED, factor)
    assert_same(scaled.gradients(), {name: g if g is None else g * factor for name, g in model.gradients().items()})


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_frozen_parameters_stay_out(family: type[Weighting]) -> None:
    model, twin = Model(), Model()
    for some in (model, twin):
        some.shared[0].requires_grad_(False)
        some.heads["b"].weight.requires_grad_(False)
    step(model, executor_of(model, family(TASKS)), MIXED)
    expected = expected_gradients(MIXED, total, twin)
    assert expected["shared.0.weight"] is None
    assert expected["heads.b.weight"] is None
    assert_same(model.gradients(), expected)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_unused_parameters_do_no_harm(family: type[Weighting]) -> None:
    model, spare = Model(), nn.Parameter(torch.ones(3, dtype=torch.float64))
    model.heads["a"].register_parameter("spare", nn.Parameter(torch.ones(2, dtype=torch.float64)))
    step(model, executor_of(model, family(TASKS), spare=[spare]), MIXED)
    found = model.gradients()
    assert found.pop("heads.a.spare") is None
    assert spare.grad is None or not spare.grad.any()
    assert_same(found, expected_gradients(MIXED, total))


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_heads_train_on_a_frozen_encoder(family: type[Weighting]) -> None:
    model, twin = Model(), Model()
    for some in (model, twin):
        some.shared.requires_grad_(False)
    step(model, executor_of(model, family(TASKS)), MIXED)
    assert_same(model.gradients(), expected_gradients(MIXED, total, twin))


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("frozen", [False, True], ids=["trained", "frozen"])
def test_labels_that_only_other_processes_have(family: type[Weighting], frozen: bool) -> None:
    model, twin = Model(), Model()
    for some in (model, twin):
        some.shared.requires_grad_(not frozen)
    executor = executor_of(model, family(TASKS))
    (losses,) = model.losses([{"a": 1.0}])
    executor.add(losses, {"a": 1.0, "b": 0.0})
    found = executor.combine()
    executor.backward(found.objective)
    assert list(found.losses) == ["a", "b"]
    assert float(found.losses["b"]) == 0
    assert_same(model.gradients(), expected_gradients([{"a": 1.0}], total, twin))
