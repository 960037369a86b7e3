"""The executor beside others: copies of it, a second one on the same model, hooks, another optimizer."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from test_executor_options import Model, Ones, assert_same, every_kind, executor_of, made, step
from torch import Tensor

from mtl_lightning.backward import Executor
from mtl_lightning.errors import UserError
from mtl_lightning.weighting import EqualWeighting, UPGrad


# -- copies and companions ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))], ids=["copy", "pickle"])
@pytest.mark.parametrize("kind", ["loss-looked-at", "gramian-kept", "gramian-of-features", "jacobian"])
def test_copied_with_its_model_it_goes_on_alike(kind: str, copied: Callable[[Any], Any]) -> None:
    model = Model()
    executor = made(model, kind)[1]
    step(executor, model.batch(0))
    executor.add(model.batch(1)[0], None, model.batch(1)[1])  # a step under way is not copied
    executor.discard()
    twin, twin_executor = copied((model, executor))
    for some, its in ((model, executor), (twin, twin_executor)):
        some.zero_grad()
        step(its, some.batch(2))
    assert_same(twin.gradients(), model.gradients(), 0, 0)
    assert twin_executor.state_dict() == executor.state_dict()


@pytest.mark.parametrize("kind", ["loss", "gramian"])
def test_copied_without_its_model_it_says_so(kind: str) -> None:
    model = Model()
    executor = made(model, kind)[1]
    step(executor, model.batch(0))
    executor.add(model.batch(1)[0])
    with pytest.raises(UserError, match="the executor is a copy"):
        copy.deepcopy(executor).add(model.batch(2)[0])


def test_two_executors_on_one_model_add_up() -> None:
    model, twin = Model("abcd"), Model("abcd")
    own = {task: list(head.parameters()) for task, head in model.heads.items()}
    shared = list(model.encoder.parameters())
    one = Executor(UPGrad("ab"), shared, {task: own[task] for task in "ab"})
    other = Executor(EqualWeighting("cd"), shared, {task: own[task] for task in "cd"})
    step(one, model.batch(0, "ab"))
    step(other, model.batch(0, "cd"))
    step(
        Executor(UPGrad("ab"), twin.encoder.parameters(), {t: twin.heads[t].parameters() for t in "ab"}),
        twin.batch(0, "ab"),
    )
    sum(twin.batch(0, "cd")[0].values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
    assert_same(model.gradients(), twin.gradients())


# -- hooks -------------------------------------------------------------------------------------------------------------
@every_kind
def test_post_accumulate_hooks_are_called_once_for_each_gradient(kind: str) -> None:
    model, called = Model(), []
    model.heads["a"].register_parameter("spare", torch.nn.Parameter(torch.ones(2, dtype=torch.float64)))
    for name, parameter in model.named_parameters():
        parameter.register_post_accumulate_grad_hook(lambda p, name=name: called.append((name, p.grad.clone())))
    step(made(model, kind)[1], model.batch(0))
    assert_same(dict(called), {name: grad for name, grad in model.gradients().items() if grad is not None}, 0, 0)
    assert len(called) == len(dict(called))


@pytest.mark.parametrize("kind", ["loss", "gramian", "jacobian", "gramian-of-features"])
def test_an_optimizer_in_the_backward_pass(kind: str) -> None:
    model, twin = Model(), Model()
    for parameter in model.parameters():
        updates = torch.optim.SGD([parameter], 0.1, momentum=0.9)

        def update(parameter: Tensor, updates: torch.optim.SGD = updates) -> None:
            updates.step()
            updates.zero_grad()

        parameter.register_post_accumulate_grad_hook(update)
    optimizer = torch.optim.SGD(twin.parameters(), 0.1, momentum=0.9)
    (weighting, executor), (twin_weighting, twin_executor) = made(model, kind), made(twin, kind)
    weighting.requires_grad_(False)
    twin_weighting.requires_grad_(False)
    for number in range(3):
        step(executor, model.batch(number))
        step(twin_executor, twin.batch(number))
        optimizer.step()
        optimizer.zero_grad()
    assert_same(model.state_dict(), twin.state_dict())


@pytest.mark.parametrize("kind", ["gramian", "jacobian", "gramian-of-features"])
def test_hooks_are_not_called_on_a_step_that_is_taken_back(kind: str) -> None:
    model, called = Model(), []
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(called.append)
    losses, features = model.batch(0)
    step(made(model, kind)[1], (losses | {"b": losses["b"] * torch.nan}, features))
    assert not called


def test_hooks_of_tensors_and_modules_see_each_task() -> None:
    model, called = Model(), []
    model.encoder[0].weight.register_hook(lambda gradient: called.append("parameter") or gradient / 2)
    model.encoder[2].register_full_backward_hook(lambda *arguments: called.append("module"))
    step(executor_of(model, Ones("abc")), model.batch(0))
    assert sorted(called) == ["module"] * 3 + ["parameter"] * 3
    twin = Model()
    step(executor_of(twin, Ones("abc")), twin.batch(0))
    torch.testing.assert_close(model.encoder[0].weight.grad, twin.encoder[0].weight.grad / 2)
