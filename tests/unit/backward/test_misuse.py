"""Mistakes in a loop of one's own: one line each, and the next step is as if they had not been."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from test_executor_options import Losses, Model, Ones, assert_same, every_kind, executor_of, made, step
from torch import Tensor

from mtl_lightning.backward import Executor
from mtl_lightning.errors import UserError
from mtl_lightning.weighting import EqualWeighting, LossWeighting

LOSSES: dict[str, tuple[Callable[[Losses], Any], str]] = {
    "unknown-task": (lambda losses: losses | {"aa": losses["a"]}, "no task 'aa'"),
    "number-for-a-task": (lambda losses: {0: losses["a"]}, "no task 0"),
    "float": (lambda losses: losses | {"a": 1.0}, "task 'a' must be a tensor, found float"),
    "list": (lambda losses: list(losses.values()), "must be a mapping of task names to losses, found list"),
    "unreduced": (lambda losses: losses | {"b": losses["b"].expand(6)}, r"task 'b' must be a scalar, found .* \[6\]"),
    "one-element": (lambda losses: losses | {"b": losses["b"][None]}, r"must be a scalar, found the shape \[1\]"),
    "integer": (lambda losses: losses | {"b": torch.ones((), dtype=torch.int64)}, "floating-point .* torch.int64"),
    "complex": (lambda losses: losses | {"b": losses["b"].to(torch.complex128)}, "found torch.complex128"),
    "elsewhere": (lambda losses: losses | {"b": losses["b"].to("meta")}, r"on device 'meta', .*\.to\('cpu'\)"),
}


def as_if_nothing_had_been(model: Model, executor: Executor, kind: str) -> None:
    """The next step is that of a fresh executor."""
    twin = Model()
    twin_executor = made(twin, kind)[1]
    for some, its in ((model, executor), (twin, twin_executor)):
        step(its, some.batch(3))
    assert_same(model.gradients(), twin.gradients(), 0, 0)
    assert_same(executor.setup.weighting.state_dict(), twin_executor.setup.weighting.state_dict(), 0, 0)
    assert executor.state_dict() == twin_executor.state_dict()


@pytest.mark.parametrize(("change", "said"), LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("kind", ["loss", "gramian", "jacobian"])
def test_what_is_no_loss_is_refused_by_name(kind: str, change: Callable[[Losses], Any], said: str) -> None:
    model = Model()
    executor = made(model, kind)[1]
    losses, features = model.batch(1)
    with pytest.raises(UserError, match=said):
        executor.add(change(losses), None, features)
    as_if_nothing_had_been(model, executor, kind)


@pytest.mark.parametrize("name", ["unknown-task", "float", "list"])
def test_what_is_no_loss_is_refused_in_later_steps(name: str) -> None:
    model, (change, said) = Model(), LOSSES[name]
    executor = executor_of(model, Ones("abc"))
    step(executor, model.batch(0))
    with pytest.raises(UserError, match=said):
        executor.add(change(model.batch(1)[0]))


def test_shares_of_other_tasks_than_the_losses_are_refused() -> None:
    model = Model()
    executor = executor_of(model, Ones("abc"))
    with pytest.raises(UserError, match="`shares` lacks task 'b'"):
        executor.add(model.batch(0)[0], {"a": 1.0, "c": 1.0})
    with pytest.raises(UserError, match="no task 'z'"):
        executor.add(model.batch(0, "a")[0], {"a": 1.0, "z": 1.0})


def _all_of(model: Model) -> tuple[Any, Any]:
    return model.parameters(), {task: head.parameters() for task, head in model.heads.items()}


NOTHING: dict[str, Any] = {task: [] for task in "abc"}
PARAMETERS: dict[str, tuple[Callable[[Model], tuple[Any, Any]], str]] = {
    "module": (lambda model: (model.encoder, NOTHING), "`shared` must hold parameters, .* found"),
    "module-of-a-head": (lambda model: ([], dict(model.heads)), r"`own\['a'\]` must hold parameters, .* found Linear"),
    "names": (lambda model: (model.encoder.named_parameters(), NOTHING), "found tuple"),
    "lazy": (lambda model: (torch.nn.LazyLinear(3).parameters(), NOTHING), "run a batch through"),
    "complex": (
        lambda model: (torch.nn.Linear(2, 2, dtype=torch.complex64).parameters(), NOTHING),
        "real",
    ),
    "heads-too": (_all_of, "`shared` holds the parameters of all heads"),
}


@pytest.mark.parametrize(("given", "said"), PARAMETERS.values(), ids=PARAMETERS)
def test_what_are_no_parameters_to_train_is_refused(given: Callable[[Model], tuple[Any, Any]], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Executor(EqualWeighting("abc"), *given(Model()))


def test_a_class_is_no_weighting() -> None:
    with pytest.raises(UserError, match="must be made with the names of the tasks"):
        Executor(EqualWeighting, *_all_of(Model()))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["loss", "gramian", "jacobian"])
def test_a_graph_that_was_gone_through_before(kind: str) -> None:
    model = Model()
    executor, (losses, features) = made(model, kind)[1], model.batch(0)
    step(executor, (losses, features))
    model.zero_grad()
    with pytest.raises(UserError, match="gone through before"):
        step(executor, (losses, features))
    assert not any(value is not None for value in model.gradients().values())


class Deaf(LossWeighting):
    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses.detach().sum()


def test_an_objective_that_does_not_follow_from_the_losses_is_refused() -> None:
    model = Model()
    with pytest.raises(UserError, match="the objective of Deaf does not depend on the losses"):
        step(executor_of(model, Deaf("abc")), model.batch(0))


# -- the order of calls ------------------------------------------------------------------------------------------------
def _backward_first(model: Model, executor: Executor) -> None:
    executor.backward(torch.ones(()))


def _backward_twice(model: Model, executor: Executor) -> None:
    found = step(executor, model.batch(0))
    model.zero_grad()
    executor.backward(found.objective)


def _combine_twice(model: Model, executor: Executor) -> None:
    losses, features = model.batch(0)
    executor.add(losses, None, features)
    executor.combine()
    executor.combine()


def _no_backward(model: Model, executor: Executor) -> None:
    for number in range(2):
        losses, features = model.batch(number)
        executor.add(losses, None, features)
        executor.combine().objective.backward()  # type: ignore[no-untyped-call]
        model.zero_grad()


def _twice_in_a_step(model: Model, executor: Executor) -> None:
    for number in range(2):
        losses, features = model.batch(number)
        executor.add(losses, None, features)


def _shares_of_more_than_all(model: Model, executor: Executor) -> None:
    for number, share in enumerate((0.5, 0.75)):
        losses, features = model.batch(number)
        executor.add(losses, dict.fromkeys(losses, share), features)


def _another_loss(model: Model, executor: Executor) -> None:
    losses, features = model.batch(0)
    executor.add(losses, None, features)
    executor.combine()
    executor.backward(sum(model.batch(0)[0].values(), torch.zeros(())))


def _a_number(model: Model, executor: Executor) -> None:
    losses, features = model.batch(0)
    executor.add(losses, None, features)
    executor.backward(executor.combine().objective.item())  # type: ignore[arg-type]


ORDERS: dict[str, tuple[Callable[[Model, Executor], None], str]] = {
    "backward-first": (_backward_first, "`combine` comes before `backward`"),
    "combine-twice": (_combine_twice, "combined but not written"),
    "no-backward": (_no_backward, "combined but not written"),
    "twice-in-a-step": (_twice_in_a_step, "task 'a' is in this step already"),
    "shares-of-more-than-all": (_shares_of_more_than_all, "task 'a' is in this step already"),
    "another-loss": (_another_loss, "takes the objective .* found another tensor"),
    "a-number": (_a_number, "takes the objective .* found float"),
}


@pytest.mark.parametrize(("misuse", "said"), ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("kind", ["loss", "loss-looked-at", "gramian", "gramian-of-last-layer", "jacobian"])
def test_calls_in_the_wrong_order(kind: str, misuse: Callable[[Model, Executor], None], said: str) -> None:
    model = Model()
    executor = made(model, kind)[1]
    with pytest.raises(UserError, match=said):
        misuse(model, executor)
    if not kind.startswith("loss"):
        executor.setup.weighting.num_calls *= 0  # type: ignore[operator]
    as_if_nothing_had_been(model, executor, kind)


def test_backward_twice() -> None:
    model = Model()
    with pytest.raises(UserError, match="`combine` comes before `backward`"):
        _backward_twice(model, made(model, "gramian")[1])
    assert not any(value is not None for value in model.gradients().values())


# -- exceptions --------------------------------------------------------------------------------------------------------
class Interrupted(torch.autograd.Function):
    """Nothing, with an exception in the backward pass."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        raise KeyboardInterrupt


@pytest.mark.parametrize("place", ["first", "second", "outside"])
@every_kind
def test_an_exception_in_mid_step_leaves_nothing(kind: str, place: str) -> None:
    model = Model()
    executor = made(model, kind)[1]
    for number in range(2):
        losses, features = model.batch(number)
        if place == ("first", "second")[number]:
            losses["b"] = Interrupted.apply(losses["b"])
        try:
            executor.add(losses, None, features)
            found = executor.combine(last=number == 1)
            if place == "outside" and number == 1:
                break
            executor.backward(found.objective)
        except KeyboardInterrupt:
            break
    else:
        pytest.fail("not interrupted")
    if place == "outside":
        with pytest.raises(UserError, match="combined but not written"):
            executor.add(model.batch(2)[0], None, model.batch(2)[1])
        if not kind.startswith("loss"):
            executor.setup.weighting.num_calls *= 0  # type: ignore[operator]
    as_if_nothing_had_been(model, executor, kind)


def test_an_exception_while_gradients_are_written_leaves_none() -> None:
    model = Model()
    executor = executor_of(model, Ones("abc"))
    losses, _ = model.batch(0)
    executor.add(losses)
    found, write = executor.combine(), executor.setup.writer.write_mean

    def interrupted(*arguments: Any) -> None:
        write(*arguments)
        raise KeyboardInterrupt

    executor.setup.writer.write_mean = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        executor.backward(found.objective)
    assert not any(value is not None for value in model.gradients().values())
