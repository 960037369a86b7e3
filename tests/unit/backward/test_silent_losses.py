"""What would train nothing, or compare nothing, is said at the first step, in a plain loop."""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from test_executor_options import Losses, Model, Ones, RowSum, every_kind, executor_of, made, step
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mtl_lightning.backward import Executor
from mtl_lightning.errors import UserError
from mtl_lightning.weighting import EqualWeighting

INPUTS = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def losses_of(model: Model, hidden: Tensor) -> Losses:
    return {task: head(hidden).square().mean() for task, head in model.heads.items()}


def _no_grad(model: Model) -> Tensor:
    with torch.no_grad():
        return model.encoder(INPUTS)


CUT: dict[str, Callable[[Model], Tensor]] = {
    "no-grad": _no_grad,
    "detached": lambda model: model.encoder(INPUTS).detach(),
    "detached-for-input-gradients": lambda model: model.encoder(INPUTS).detach().requires_grad_(),
    "reentrant-checkpoint": lambda model: checkpoint(model.encoder, INPUTS, use_reentrant=True),
}


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("cut", CUT.values(), ids=CUT)
@every_kind
def test_losses_that_reach_nothing_shared_are_refused(kind: str, cut: Callable[[Model], Tensor]) -> None:
    model = Model()
    hidden, executor = cut(model), made(model, kind)[1]
    features = [model.encoder(INPUTS)] if cut is CUT["detached-for-input-gradients"] else [hidden]
    with pytest.raises(UserError, match=r"'a', 'b', 'c'.*(use_reentrant=True|those given)"):
        step(executor, (losses_of(model, hidden), features))
    assert not any(value is not None for value in model.gradients().values())
    step(executor, model.batch(0))
    assert model.encoder[0].weight.grad is not None


@every_kind
def test_losses_without_a_graph_are_refused(kind: str) -> None:
    model = Model()
    losses, features = model.batch(0)
    with pytest.raises(UserError, match="'a', 'b', 'c' have no graph"):
        step(made(model, kind)[1], ({task: loss.detach() for task, loss in losses.items()}, features))


FAMILIES: dict[str, tuple[Any, str]] = {
    "loss": (EqualWeighting, "shared"),
    "gramian": (Ones, "shared"),
    "gramian-of-features": (Ones, "features"),
    "gramian-of-last-layer": (Ones, "last"),
    "jacobian": (RowSum, "shared"),
}


@pytest.mark.parametrize(("weighting", "gradient_of"), FAMILIES.values(), ids=FAMILIES)
def test_one_task_after_the_other_is_refused_when_all_are_known(weighting: Any, gradient_of: str) -> None:
    model = Model("ab")
    executor, hidden = executor_of(model, weighting("ab"), gradient_of), model.encoder(INPUTS).detach()
    step(executor, ({"a": losses_of(model, hidden)["a"]}, [hidden]))
    with pytest.raises(UserError, match=r"the losses of 'b' depend on no|needs the `features`"):
        step(executor, ({"b": losses_of(model, hidden)["b"]}, [hidden]))


@pytest.mark.parametrize(("weighting", "gradient_of"), FAMILIES.values(), ids=FAMILIES)
def test_a_task_that_is_cut_off_among_others_is_named_once(
    weighting: Any, gradient_of: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = Model()
    executor = executor_of(model, weighting("abc"), gradient_of)
    for number in range(2):
        executor.start_epoch(number)  # when all tasks are looked at again
        (losses, features), cut = model.batch(number), model.batch(number)[1][0].detach()
        step(executor, (losses | {"c": losses_of(model, cut)["c"]}, features))
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "The loss of task 'c' depends on no" in line


@pytest.mark.parametrize("weighting", [Ones, RowSum, EqualWeighting])
def test_a_frozen_encoder_is_no_mistake(weighting: Any, caplog: pytest.LogCaptureFixture) -> None:
    model = Model()
    model.encoder.requires_grad_(False)
    executor = executor_of(model, weighting("abc"))
    for number in range(2):
        step(executor, model.batch(number))
    assert model.heads["a"].weight.grad is not None
    assert [record.getMessage().split(":")[1].split()[:3] for record in caplog.records] == (
        [] if weighting is EqualWeighting else [[weighting.__name__, "has", "no"]]
    )


def test_shared_parameters_of_a_single_task_are_no_mistake(caplog: pytest.LogCaptureFixture) -> None:
    model = Model()
    branch = nn.Parameter(torch.ones((), dtype=torch.float64))
    model.encoder.register_parameter("branch", branch)
    losses, features = model.batch(0)
    step(executor_of(model, Ones("abc")), (losses | {"a": losses["a"] * branch}, features))
    assert branch.grad is not None
    assert not caplog.records


# -- parameters that nobody has named ----------------------------------------------------------------------------------
@every_kind
def test_a_parameter_that_is_left_out_is_named(kind: str) -> None:
    model = Model()
    executor, extra = made(model, kind)[1], nn.Parameter(torch.ones(4, dtype=torch.float64))
    losses, features = model.batch(0)
    wrong = losses | {"b": model.heads["b"](features[0] * extra).square().mean()}
    with pytest.raises(UserError, match=r"task 'b' depends on a parameter of shape \[4\] that is neither in `shared`"):
        step(executor, (wrong, features))
    extra.requires_grad_(False)
    step(executor, model.batch(0))


def test_a_head_that_was_replaced_is_named_in_the_next_epoch() -> None:
    model = Model()
    executor = executor_of(model, EqualWeighting("abc"))
    executor.start_epoch(0)
    step(executor, model.batch(0))
    model.heads["a"] = nn.Linear(4, 4, dtype=torch.float64)
    executor.start_epoch(1)
    with pytest.raises(UserError, match="task 'a' depends on a parameter"):
        step(executor, model.batch(1))


@pytest.mark.parametrize(("own", "said"), [("ab", "lacks task 'c'"), ("abcd", "no task 'd'")])
def test_heads_are_those_of_the_tasks(own: str, said: str) -> None:
    model = Model("abcd")
    heads = {task: model.heads[task].parameters() for task in own}
    with pytest.raises(UserError, match=said):
        Executor(EqualWeighting("abc"), model.encoder.parameters(), heads)


# -- features ----------------------------------------------------------------------------------------------------------
class Output(NamedTuple):
    pooled: Tensor | None
    tokens: Tensor | None = None


NESTED: dict[str, Callable[[Tensor], Any]] = {
    "tensor": lambda hidden: hidden,
    "list": lambda hidden: [hidden],
    "dict": lambda hidden: {"pooled": hidden, "mask": torch.ones(6, dtype=torch.bool)},
    "nested": lambda hidden: {"levels": [(hidden, None)]},
    "named-tuple": Output,
}


@pytest.mark.parametrize("nest", NESTED.values(), ids=NESTED)
def test_features_may_be_nested(nest: Callable[[Tensor], Any]) -> None:
    model = Model()
    losses, (hidden,) = model.batch(0)
    executor = executor_of(model, Ones("abc"), "features")
    executor.add(losses, features=nest(hidden))
    found = executor.combine().gramian
    wanted = torch.stack([torch.autograd.grad(loss, hidden)[0].flatten() for loss in model_losses(model, hidden)])
    torch.testing.assert_close(found, wanted @ wanted.T)


def model_losses(model: Model, hidden: Tensor) -> list[Tensor]:
    return [(head(hidden) - 1 / ord(task)).square().mean() for task, head in model.heads.items()]


WRONG: dict[str, Callable[[Model, Tensor], Any]] = {
    "none": lambda model, hidden: (),
    "another-batch": lambda model, hidden: model.encoder(INPUTS),
    "detached": lambda model, hidden: hidden.detach(),
    "changed-since": lambda model, hidden: hidden.mul_(2),
    "no-tensor": lambda model, hidden: "hidden",
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_features_that_the_losses_do_not_come_from_are_refused(wrong: Callable[[Model, Tensor], Any]) -> None:
    model = Model()
    losses, (hidden,) = model.batch(0)
    with pytest.raises(UserError, match="`features`"):
        executor_of(model, Ones("abc"), "features").add(losses, features=wrong(model, hidden))
