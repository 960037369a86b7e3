"""Weightings that learn from a validation batch: what they see of it, and that it trains nothing."""

import logging
from typing import Any

import pytest
import torch
from test_batch_pass import TASKS, Model
from torch import Tensor, nn

from mtl_lightning.backward import Executor
from mtl_lightning.errors import UserError
from mtl_lightning.weighting import AutoLambda, GramianWeighting, LossWeighting, gramian

BESIDE = 100
"""Number of the batch of validation data."""


class Given(GramianWeighting):
    """Gives the weights that it is told to, and remembers what it saw."""

    needs_validation_batch = True

    def forward(self, found: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        self.seen = found, losses, tasks.tolist()
        return torch.arange(1.0, 1 + self.batches_per_step * len(tasks), dtype=torch.float64)


class GivenOfTwo(Given):
    batches_per_step = 2


def step(model: Model, *batches: Any, beside: Any = TASKS) -> Any:
    """An optimizer step of some batches, and validation data of some tasks."""
    for number, tasks in enumerate(batches):
        model.executor.add(model.losses(number, tasks))
        last = number == len(batches) - 1
        if last and model.executor.takes_validation:
            model.executor.add_validation(model.losses(BESIDE, beside))
        found = model.executor.combine(last=last)
        model.executor.backward(found.objective / len(batches))
    return found


@pytest.mark.parametrize("made", [Given, GivenOfTwo])
@pytest.mark.parametrize("part", ["shared", "weight"])
def test_validation_rows_come_last_and_train_nothing(made: type[Given], part: str) -> None:
    weighting = made(TASKS)
    model, number = Model(weighting, gradient_of=part), weighting.batches_per_step
    rows = torch.stack([model.row(batch, task) for batch in (*range(number), BESIDE) for task in TASKS])
    heads = {name: _mean_gradient(model, name, number) for name in TASKS}
    found = step(model, *[TASKS] * number)
    products, losses, tasks = weighting.seen
    if part == "shared":
        torch.testing.assert_close(products, gramian(rows))
        means = rows[: 3 * number].view(number, 3, -1).mean(0)
        torch.testing.assert_close(found.gramian, gramian(means))
    every = [*range(number), BESIDE]
    torch.testing.assert_close(losses, torch.stack([loss for n in every for loss in model.losses(n).values()]).detach())
    assert tasks == [0, 1, 2]
    weights = torch.arange(1.0, 1 + 3 * number).double()
    torch.testing.assert_close(model.written(), weights @ rows[: 3 * number])
    for name, expected in heads.items():
        torch.testing.assert_close(model.heads[name].weight.grad, expected)
    assert [float(each) for each in found.weights.values()] == weights.view(number, 3).sum(0).tolist()


def _mean_gradient(model: Model, task: str, number: int) -> Tensor:
    weight: Any = model.heads[task].weight
    return torch.stack([torch.autograd.grad(model.losses(n)[task], weight)[0] for n in range(number)]).mean(0)


def test_any_number_of_steps_may_make_the_one_batch_that_trains() -> None:
    weighting = Given(TASKS)
    model = Model(weighting)
    means = [(model.row(0, task) + model.row(1, task)) / 2 for task in TASKS]
    step(model, TASKS, TASKS)
    torch.testing.assert_close(weighting.seen[0][:3, :3], gramian(torch.stack(means)))
    torch.testing.assert_close(model.written(), torch.arange(1.0, 4.0).double() @ torch.stack(means))


def test_a_task_without_validation_labels_keeps_its_weight() -> None:
    weighting = Given(TASKS)
    model = Model(weighting)
    rows = {task: model.row(0, task) for task in TASKS}
    found = step(model, TASKS, beside=["c", "a"])
    assert weighting.seen[2] == [0, 2]
    torch.testing.assert_close(model.written(), rows["a"] + 2 * rows["c"] + rows["b"])
    assert {task: float(weight) for task, weight in found.weights.items()} == {"a": 1.0, "b": 1.0, "c": 2.0}


def test_validation_data_of_a_task_that_the_step_lacks_is_left_out() -> None:
    weighting = Given(TASKS)
    model = Model(weighting)
    step(model, ["a", "b"])
    assert weighting.seen[2] == [0, 1]
    assert model.heads["c"].weight.grad is None


def test_validation_data_may_come_in_parts() -> None:
    """Shares are those in the mean over the parts, whatever steps they come with."""
    weighting = Given(TASKS)
    model = Model(weighting)
    model.executor.setup.num_accumulated = 2
    whole = [model.losses(BESIDE + part) for part in range(2)]
    for number in range(2):
        model.executor.add(model.losses(number))
        model.executor.add_validation(model.losses(BESIDE + number), dict.fromkeys(TASKS, 0.5))
        found = model.executor.combine(last=number == 1)
        model.executor.backward(found.objective / 2)
    expected = torch.stack([sum(each[task] for each in whole) / 2 for task in TASKS]).detach()  # type: ignore[misc]
    torch.testing.assert_close(weighting.seen[1][3:], expected)
    means = [(model.row(BESIDE, task) + model.row(BESIDE + 1, task)) / 2 for task in TASKS]
    torch.testing.assert_close(weighting.seen[0][3:, 3:], gramian(torch.stack(means)))


def test_between_two_times_that_weights_are_found_nothing_is_taken() -> None:
    weighting = Given(TASKS)
    model = Model(weighting, refresh_every=2)
    for asks in (True, False, True):
        assert model.executor.takes_validation == asks
        step(model, TASKS)
        model.executor.add(model.losses(0))
        model.executor.discard()


def test_a_loop_that_gives_none_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    model = Model(Given(TASKS))
    for _ in range(2):
        model.step(TASKS)
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "Given compares 2 batches a step, the last of validation data, but no task had labels in so many" in line


def test_a_validation_loss_that_is_not_finite_skips_the_step() -> None:
    weighting = AutoLambda(TASKS)
    model, before = Model(weighting), weighting.weights.clone()
    model.executor.add(model.losses(0))
    model.executor.add_validation({task: loss * torch.nan for task, loss in model.losses(BESIDE).items()})
    model.executor.backward(model.executor.combine().objective)
    assert model.executor.not_finite == tuple(f"loss of '{task}' (validation data)" for task in TASKS)
    assert torch.equal(weighting.weights, before)
    assert all(parameter.grad is None for parameter in model.shared.parameters())


class OfLosses(LossWeighting):
    needs_validation_batch = True

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses.sum()


def test_what_is_refused() -> None:
    shared, own = [nn.Parameter(torch.ones(1))], {"a": []}
    with pytest.raises(UserError, match="OfLosses: `needs_validation_batch` is for methods that see the Gramian"):
        Executor(OfLosses(["a"]), shared, own)
    with pytest.raises(UserError, match="`gradient_of: features`: AutoLambda compares several batches"):
        Executor(AutoLambda(["a"]), shared, own, gradient_of="features")
    model = Model(Given(TASKS))
    model.executor.add(model.losses(0))
    with pytest.raises(UserError, match="the weighting has no task 'd'"):
        model.executor.add_validation({"d": torch.ones(())})
