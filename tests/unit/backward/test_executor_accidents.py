"""Odd models, numbers that are not finite, solvers that fail and gradient scalers, in a plain loop."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import torch
import torch._functorch.config as functorch_config
from test_executor_options import (
    KINDS,
    Batch,
    Model,
    Ones,
    RowSum,
    assert_same,
    copied,
    every_kind,
    executor_of,
    made,
    of_gradients,
    right,
    right_weights,
    step,
)
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.autograd import Function
from torch.utils.checkpoint import checkpoint

from mtl_lightning.errors import UserError


# -- odd models --------------------------------------------------------------------------------------------------------
def _tie_to_encoder(model: Model) -> None:
    model.heads["a"].weight = model.encoder[2].weight


def _share_a_head(model: Model) -> None:
    model.heads["c"] = model.heads["a"]


def _freeze(model: Model) -> None:
    model.encoder[0].requires_grad_(False)
    model.heads["b"].requires_grad_(False)


def _leave_unused(model: Model) -> None:
    model.encoder.register_parameter("spare", nn.Parameter(torch.ones(2, dtype=torch.float64)))
    model.heads["a"].register_parameter("spare", nn.Parameter(torch.ones(2, dtype=torch.float64)))


def _checkpoint(model: Model) -> None:
    model.between.append(lambda hidden: checkpoint(model.encoder[2:], hidden, use_reentrant=False))


class Layers(nn.Sequential):
    """One that is compiled: torch leaves its own classes' ``forward`` alone."""

    def forward(self, hidden: Tensor) -> Tensor:
        for layer in self:
            hidden = layer(hidden)
        return hidden


def _compile(model: Model, backend: Any = "aot_eager") -> None:
    model.encoder = Layers(*model.encoder)
    model.encoder.compile(backend=backend)


ODD: dict[str, Callable[[Model], None]] = {
    "tied-to-encoder": _tie_to_encoder,
    "shared-head": _share_a_head,
    "frozen": _freeze,
    "unused": _leave_unused,
    "checkpointed": _checkpoint,
    "compiled": _compile,
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
@every_kind
def test_odd_models(kind: str, change: Callable[[Model], None]) -> None:
    model, twin = Model(), Model()
    change(model)
    if change is not _compile:
        change(twin)
    executor = made(model, kind)[1]
    for number in range(2):  # of which the second has kept weights
        weights = right_weights(twin, kind, twin.batch(0 if kind == "gramian-kept" else number))
        model.zero_grad()
        step(executor, model.batch(number))
        wanted = right(twin, twin.batch(number)[0], weights, kind)
        assert_same(model.gradients(), wanted, rtol=1e-6 if kind.startswith("loss") else 1e-9)


@pytest.mark.parametrize("kind", ["loss", "loss-looked-at", "gramian"])
def test_a_compiled_encoder_may_have_been_used_before(kind: str) -> None:
    """Then it was compiled so that a backward pass frees what the next one needs."""
    model, twin = Model(), Model()
    with functorch_config.patch(donated_buffer=True), torch.compiler.config.patch(cache_key_tag=""):
        _compile(model, counter := CompileCounterWithBackend("aot_eager"))
        sum(model.batch(0)[0].values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
        model.zero_grad()
        step(made(model, kind)[1], model.batch(1))
        assert counter.frame_count == (1 if kind == "loss" else 2)
        assert functorch_config.donated_buffer == (kind == "loss")
    weights = right_weights(twin, kind, twin.batch(1))
    assert_same(model.gradients(), right(twin, twin.batch(1)[0], weights, kind), rtol=1e-6)


@every_kind
def test_a_parameter_that_only_an_absent_task_uses(kind: str) -> None:
    model = Model()
    model.encoder.register_parameter("branch", nn.Parameter(torch.ones(2, dtype=torch.float64)))

    def batch(tasks: str) -> Batch:
        losses, features = model.batch(0, tasks)
        return {t: loss + (model.encoder.branch.sum() if t == "c" else 0) for t, loss in losses.items()}, features

    executor, weights = made(model, kind)[1], right_weights(model, kind, batch("abc"))
    for tasks in ("abc", "ab"):
        model.zero_grad()
        step(executor, batch(tasks))
        weights = weights if "kept" in kind else right_weights(model, kind, batch(tasks))
        assert_same(model.gradients(), right(model, batch(tasks)[0], weights, kind))


@pytest.mark.parametrize("num_tasks", [1, 32])
@every_kind
def test_one_task_and_many(kind: str, num_tasks: int) -> None:
    model = Model("abcdefghijklmnopqrstuvwxyzABCDEF"[:num_tasks])
    found, twin = step(made(model, kind)[1], model.batch(0)), model.batch(0)
    assert list(found.losses) == list(model.heads)
    wanted = right(model, twin[0], right_weights(model, kind, twin), kind)
    assert_same(model.gradients(), wanted)


@of_gradients
def test_a_loss_that_nothing_trains(kind: str) -> None:
    model, twin = Model(), Model()
    weighting = Ones if kind.startswith("gramian") else RowSum
    executor = executor_of(model, weighting("abc"), **KINDS[kind][1])
    for number in range(2):
        losses, features = model.batch(number)
        model.zero_grad()
        found = step(executor, (losses | {"b": torch.ones((), dtype=torch.float64)}, features))
        assert float(found.losses["b"]) == 1
        assert_same(model.gradients(), right(twin, twin.batch(number, "ac")[0], {"a": 1, "c": 1}))


def test_features_of_a_frozen_encoder() -> None:
    model = Model()
    model.encoder.requires_grad_(False)
    step(executor_of(model, Ones("abc"), "features"), model.batch(0))
    assert_same(model.gradients(), right(model, model.batch(0)[0], dict.fromkeys("abc", 1.0)))


@of_gradients
def test_reentrant_checkpointing_is_refused_by_name(kind: str) -> None:
    model = Model()
    model.between.append(lambda hidden: checkpoint(model.encoder[2:], hidden, use_reentrant=True))
    with pytest.raises(UserError, match="use_reentrant=False"):
        step(made(model, kind)[1], model.batch(0))


@every_kind
def test_a_step_without_labels_changes_nothing(kind: str) -> None:
    model = Model()
    weighting, executor = made(model, kind)
    before = copied(weighting.state_dict())
    for batches in ([], [({}, [])]):
        for losses, features in batches:
            executor.add(losses, None, features)
        found = executor.combine()
        executor.backward(found.objective)
        assert found.losses == found.weights == {} and executor.not_finite == ()
    assert_same(weighting.state_dict(), before, 0, 0)
    assert not any(value is not None for value in model.gradients().values())
    twin = model.batch(0)
    step(executor, model.batch(0))
    wanted = right(model, twin[0], right_weights(model, kind, twin), kind)
    assert_same(model.gradients(), wanted)


# -- numbers that are not finite ---------------------------------------------------------------------------------------
class Poison(Function):
    """Nothing, with a gradient of one value."""

    @staticmethod
    def forward(ctx: Any, parameter: Tensor, value: float) -> Tensor:
        ctx.shape, ctx.value = parameter.shape, value
        return parameter.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        return gradients[0].new_full(ctx.shape, ctx.value), None


ACCIDENTS: dict[str, tuple[str, Callable[[Model], Any]]] = {
    "nan-loss": ("loss of 'b'", lambda model: torch.nan),
    "infinite-loss": ("loss of 'b'", lambda model: torch.inf),
    "gradient-of-head": ("gradient of 'b'", lambda model: Poison.apply(model.heads["b"].bias, torch.nan)),
    "gradient-of-encoder": ("gradient of 'b'", lambda model: Poison.apply(model.encoder[0].bias, torch.nan)),
    "overflow-of-encoder": ("gradient of 'b'", lambda model: Poison.apply(model.encoder[0].bias, torch.inf)),
}


def struck(model: Model, accident: str, seed: int = 9) -> Batch:
    losses, features = model.batch(seed)
    return losses | {"b": losses["b"] + ACCIDENTS[accident][1](model)}, features


@pytest.mark.parametrize("place", ["only", "first", "last"])
@pytest.mark.parametrize("accident", ACCIDENTS)
@every_kind
def test_a_step_with_something_not_finite_is_as_if_it_had_not_been(kind: str, accident: str, place: str) -> None:
    model, twin = Model(), Model()
    (weighting, executor), (twin_weighting, twin_executor) = made(model, kind), made(twin, kind)
    optimizer = torch.optim.AdamW([*model.parameters(), *weighting.parameters()], 0.1)
    twin_optimizer = torch.optim.AdamW([*twin.parameters(), *twin_weighting.parameters()], 0.1)

    def trained(number: int) -> None:
        for some, its, updates in ((model, executor, optimizer), (twin, twin_executor, twin_optimizer)):
            step(its, some.batch(number))
            assert its.not_finite == ()
            updates.step()
            updates.zero_grad()

    trained(0)
    bad, good = struck(model, accident), model.batch(8)
    step(executor, *{"only": [bad], "first": [bad, good], "last": [good, bad]}[place])
    sees = kind in ("gramian", "gramian-weighted-heads", "jacobian") or (kind == "loss-looked-at" and place != "last")
    cause = ACCIDENTS[accident][0] if sees or "encoder" not in accident else "gradient of the shared parameters"
    assert executor.not_finite == (cause,)
    assert {parameter.grad for group in optimizer.param_groups for parameter in group["params"]} == {None}
    optimizer.step()
    trained(1)
    trained(2)
    for found, wanted in ((model, twin), (weighting, twin_weighting), (executor, twin_executor)):
        assert_same({**found.state_dict(), "age": 0}, {**wanted.state_dict(), "age": 0}, 0, 0)


@pytest.mark.parametrize("kind", ["jacobian", "loss-looked-at", "loss"])
def test_a_method_that_finds_nothing_finite_writes_nothing(kind: str) -> None:
    class Lost(KINDS[kind][0]):  # type: ignore[misc]
        def forward(self, *evidence: Tensor) -> Tensor:
            return super().forward(*evidence) * torch.nan

    model = Model()
    executor = executor_of(model, Lost("abc"), **KINDS[kind][1])
    with suppress(RuntimeError):
        step(executor, model.batch(0))
        assert executor.not_finite
    assert all(value is None or value.isfinite().all() for value in model.gradients().values())


def test_a_gramian_method_that_finds_no_weights_says_so() -> None:
    class Lost(Ones):
        def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
            return super().forward(gramian, losses, tasks) * torch.nan

    model = Model()
    with pytest.raises(RuntimeError, match="Lost gave weights that are not finite"):
        step(executor_of(model, Lost("abc")), model.batch(0))
    assert not any(value is not None for value in model.gradients().values())


# -- a gradient scaler -------------------------------------------------------------------------------------------------
@every_kind
def test_weights_do_not_depend_on_a_gradient_scaler(kind: str) -> None:
    plain, scaled = Model(), Model()
    (_, one), (_, other) = made(plain, kind), made(scaled, kind)
    other.setup.scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    for number in range(2):
        plain.zero_grad()
        scaled.zero_grad()
        second = "abc" if "features" in kind else "ac"
        wanted = step(one, plain.batch(number), plain.batch(5, second), factor=0.5)
        found = step(other, scaled.batch(number), scaled.batch(5, second), factor=0.5)
        assert_same(found.weights, wanted.weights)
        assert_same(found.losses, wanted.losses)
        assert_same(scaled.gradients(), {name: None if g is None else 256 * g for name, g in plain.gradients().items()})


@pytest.mark.parametrize("accident", ACCIDENTS)
@every_kind
def test_an_overflow_under_a_gradient_scaler_skips_the_step(kind: str, accident: str) -> None:
    model = Model(dtype=torch.float32)
    weighting, executor = made(model, kind)
    scaler = executor.scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    optimizer = torch.optim.AdamW([*model.parameters(), *weighting.parameters()], 0.1)

    def trained(batch: Batch) -> None:
        optimizer.zero_grad()
        step(executor, batch)
        scaler.step(optimizer)
        scaler.update()

    def state() -> dict[str, Any]:
        slots = {f"{i}.{n}": v for i, slot in optimizer.state_dict()["state"].items() for n, v in slot.items()}
        return copied({**model.state_dict(), **weighting.state_dict(), **slots, **executor.state_dict()["weights"]})

    trained(model.batch(0))
    before = state()
    trained(struck(model, accident))
    assert scaler.get_scale() == 128
    assert_same(state(), before, 0, 0)
    if "loss" in accident:
        assert executor.not_finite == ("loss of 'b'",)
    trained(model.batch(2))
    assert executor.not_finite == ()
    assert not torch.equal(model.encoder[0].bias, before["encoder.0.bias"])
    assert all(parameter.isfinite().all() for parameter in model.parameters())
