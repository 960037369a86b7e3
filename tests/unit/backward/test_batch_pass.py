"""Weightings that take several batches a step: rows by batch, tasks that a batch lacks, steps with too few or many."""

import logging
from collections.abc import Collection
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtl_lightning.backward import Executor
from mtl_lightning.errors import UserError
from mtl_lightning.weighting import GramianWeighting, LossWeighting, MoDo, SDMGrad, gramian

TASKS = ["a", "b", "c"]


class Given(GramianWeighting):
    """Gives the weights that it is told to, and remembers what it saw."""

    batches_per_step = 2

    def forward(self, found: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        self.seen = found, losses, tasks.tolist()
        return torch.arange(1.0, 1 + len(losses), dtype=torch.float64)


class Model:
    """A shared layer and three heads, in float64, and an executor."""

    def __init__(self, weighting: GramianWeighting, num_accumulated: int = 1, **options: Any) -> None:
        torch.manual_seed(0)
        self.shared = nn.Linear(3, 4).double()
        self.heads = nn.ModuleDict({task: nn.Linear(4, 1).double() for task in TASKS})
        own = {task: head.parameters() for task, head in self.heads.items()}
        if options.get("gradient_of") == "weight":
            options["gradient_of"] = [self.shared.weight]
        self.executor = Executor(weighting, self.shared.parameters(), own, **options)
        self.executor.setup.num_accumulated = num_accumulated

    def losses(self, number: int, tasks: Collection[str] = TASKS) -> dict[str, Tensor]:
        inputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(number), dtype=torch.float64)
        features = self.shared(inputs).tanh()
        return {task: (self.heads[task](features) - 1).square().mean() for task in tasks}

    def row(self, number: int, task: str) -> Tensor:
        """The gradient of the shared parameters."""
        found = torch.autograd.grad(self.losses(number, [task])[task], [*self.shared.parameters()])
        return torch.cat([gradient.flatten() for gradient in found])

    def written(self) -> Tensor:
        return torch.cat([parameter.grad.flatten() for parameter in self.shared.parameters()])  # type: ignore[union-attr]

    def step(self, *batches: Collection[str]) -> Any:
        """An optimizer step of some batches, by the tasks of each, as the trainer scales it."""
        taken = self.executor.setup.weighting.batches_per_step * self.executor.setup.num_accumulated
        for number, tasks in enumerate(batches):
            self.executor.add(self.losses(number, tasks))
            found = self.executor.combine(last=number == len(batches) - 1)
            self.executor.backward(found.objective / taken)
        return found


def test_rows_are_those_of_each_batch() -> None:
    weighting = Given(TASKS)
    model = Model(weighting)
    rows = torch.stack([model.row(batch, task) for batch in range(2) for task in TASKS])
    found = model.step(TASKS, TASKS)
    products, losses, tasks = weighting.seen
    torch.testing.assert_close(products, gramian(rows))
    torch.testing.assert_close(losses, torch.stack([*model.losses(0).values(), *model.losses(1).values()]).detach())
    assert tasks == [0, 1, 2]
    torch.testing.assert_close(model.written(), torch.arange(1.0, 7.0).double() @ rows)
    assert {task: float(weight) for task, weight in found.weights.items()} == {"a": 5.0, "b": 7.0, "c": 9.0}
    torch.testing.assert_close(found.gramian, gramian(rows.view(2, 3, -1).mean(0)))


@pytest.mark.parametrize("part", ["shared", "weight"])
def test_each_batch_may_be_accumulated(part: str) -> None:
    """Against the same weights on rows that are means; a second pass gives the same where it sees all parameters."""
    model = Model(Given(TASKS), num_accumulated=2, gradient_of=part)
    rows = torch.stack([model.row(number, task) for number in range(4) for task in TASKS]).view(2, 2, 3, -1)
    model.step(*[TASKS] * 4)
    weights = torch.arange(1.0, 7.0).double()
    torch.testing.assert_close(model.written(), weights @ rows.mean(1).flatten(0, 1))


def test_heads_train_on_the_mean_of_all_batches() -> None:
    for options, factor in (({}, 1.0), ({"head_gradients": "weighted"}, 7.0)):
        model = Model(Given(TASKS), **options)
        head = model.heads["b"].weight
        expected = [torch.autograd.grad(model.losses(number)["b"], head)[0] for number in range(2)]  # type: ignore[arg-type]
        model.step(TASKS, TASKS)
        torch.testing.assert_close(head.grad, factor * (expected[0] + expected[1]) / 2)


def test_a_task_that_a_batch_lacks_is_not_compared_and_keeps_its_weight() -> None:
    weighting = Given(TASKS)
    model = Model(weighting)
    rows = {(batch, task): model.row(batch, task) for batch in range(2) for task in TASKS}
    found = model.step(TASKS, ["c", "a"])
    assert weighting.seen[2] == [0, 2]
    kept = rows[0, "b"] / 2  # its mean over the step's batches, times the weight 1 that nobody has changed
    expected = rows[0, "a"] + 2 * rows[0, "c"] + 3 * rows[1, "a"] + 4 * rows[1, "c"] + kept
    torch.testing.assert_close(model.written(), expected)
    assert {task: float(weight) for task, weight in found.weights.items()} == {"a": 4.0, "b": 1.0, "c": 6.0}


def test_a_step_with_too_few_batches_uses_the_weights_that_there_are(caplog: pytest.LogCaptureFixture) -> None:
    weighting = Given(TASKS)
    model = Model(weighting)
    model.step(TASKS, TASKS)
    model.shared.zero_grad()
    del weighting.seen
    rows = torch.stack([model.row(0, task) for task in TASKS])
    found = model.step(TASKS)
    assert not hasattr(weighting, "seen") and found.gramian is None
    torch.testing.assert_close(model.written(), torch.tensor([5.0, 7.0, 9.0]).double() @ rows / 2)
    assert not caplog.records


def test_it_is_said_once_that_no_step_has_had_enough_batches(caplog: pytest.LogCaptureFixture) -> None:
    model = Model(Given(TASKS))
    for _ in range(2):
        model.step(TASKS)
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "Given compares 2 batches a step, but no task had labels in so many" in line and "\n" not in line


def test_too_many_batches_are_refused() -> None:
    model = Model(Given(TASKS))
    with pytest.raises(UserError, match="an optimizer step of Given takes 2 batches, and all are in; end it by"):
        model.step(TASKS, TASKS, TASKS)
    model.step(TASKS, TASKS)


def test_a_loss_that_is_not_finite_in_one_batch_skips_the_step() -> None:
    weighting = MoDo(TASKS)
    model, before = Model(weighting), weighting.weights.clone()
    losses = model.losses(1)
    for number, each in enumerate((model.losses(0), losses | {"b": losses["b"] * torch.nan}, model.losses(2))):
        model.executor.add(each)
        model.executor.backward(model.executor.combine(last=number == 2).objective)
    assert model.executor.not_finite == ("loss of 'b'",)
    assert all(parameter.grad is None for parameter in model.shared.parameters())
    assert torch.equal(weighting.weights, before)


@pytest.mark.parametrize("refresh_every", [1, 2])
def test_state_goes_on_from_a_checkpoint(refresh_every: int) -> None:
    def trained(model: Model, steps: int) -> Tensor:
        for _ in range(steps):
            model.shared.zero_grad()
            model.step(*[TASKS] * 3)
        return model.written()

    whole = Model(SDMGrad(TASKS), refresh_every=refresh_every)
    trained(whole, 3)
    resumed = Model(SDMGrad(TASKS), refresh_every=refresh_every)
    resumed.executor.setup.weighting.load_state_dict(whole.executor.setup.weighting.state_dict())
    resumed.executor.load_state_dict(whole.executor.state_dict())
    assert torch.equal(trained(resumed, 2), trained(whole, 2))


class OfLosses(LossWeighting):
    batches_per_step = 2

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses.sum()


def test_what_is_refused() -> None:
    shared, own = [nn.Parameter(torch.ones(1))], {"a": []}
    with pytest.raises(UserError, match="OfLosses: `batches_per_step` above 1 is for methods that see the Gramian"):
        Executor(OfLosses(["a"]), shared, own)
    with pytest.raises(UserError, match="`gradient_of: features`: MoDo compares several batches"):
        Executor(MoDo(["a"]), shared, own, gradient_of="features")
