"""A loop of one's own: with every weighting the same as the module's training, and nothing is forgotten in silence."""

import copy
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from test_synchronisation import methods
from test_training_options import batch, fit, losses_of, module_of
from torch import Tensor, nn

from mtl_lightning.backward import Executor
from mtl_lightning.errors import UserError
from mtl_lightning.weighting import (
    DWA,
    FAMO,
    IMTLL,
    STCH,
    CoBa,
    EqualWeighting,
    GramianWeighting,
    JacobianWeighting,
    LossWeighting,
    TorchJDScalarizer,
    UncertaintyWeighting,
    UPGrad,
    Weighting,
)

Make = Callable[[Sequence[str]], Weighting]
BATCHES = [batch(number, dtype=torch.float32) for number in range(3)]
BESIDE = batch(100, dtype=torch.float32)
NUM_EPOCHS = 3
VALIDATION: list[dict[str, float]] = [{"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 0.9, "b": 1.0, "c": 3.1}]
VARIANTS = {
    "STCH-warmup": partial(STCH, warmup_epochs=1),
    "TorchJD-DWA": partial(TorchJDScalarizer, name="DWA"),
    "TorchJD-UW": partial(TorchJDScalarizer, name="UW"),
    "TorchJD-IMTLL": partial(TorchJDScalarizer, name="IMTLL"),
}
EVERY: dict[str, Make] = {
    **methods(LossWeighting),
    **methods(GramianWeighting),
    **methods(JacobianWeighting),
    **VARIANTS,
}


class Validation(Callback):
    """Tells the weighting of a validation after each epoch but the last, as the module's own hook does."""

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch < len(VALIDATION):
            pl_module.executor.finish_validation(VALIDATION[trainer.current_epoch])


def again(module: Any, inputs: Any, task: str, probe: bool) -> Any:
    """Losses under perturbed parameters."""
    module.heads.train(not probe)
    module.encoder.train(not probe)
    return losses_of(module, inputs)


def whole_steps(wanted: int) -> list[Any]:
    """The batches of an epoch whose steps take so many."""
    return BATCHES[: len(BATCHES) // wanted * wanted]


def train(module: Any, make: Make, optimizer_of: Callable[[Iterable[nn.Parameter]], Any]) -> Weighting:
    """The loop that the documentation shows."""
    torch.manual_seed(1)
    weighting = make(list(module.heads))
    heads = {task: head.parameters() for task, head in module.heads.items()}
    executor = Executor(weighting, module.encoder.parameters(), heads)
    optimizer = optimizer_of([*module.encoder.parameters(), *module.heads.parameters(), *weighting.parameters()])
    wanted = weighting.batches_per_step
    for epoch in range(NUM_EPOCHS):
        executor.start_epoch(epoch)
        for number, inputs in enumerate(whole_steps(wanted), 1):
            executor.add(losses_of(module, inputs))
            if executor.takes_validation:
                executor.add_validation(losses_of(module, BESIDE))
            if executor.takes_perturbed:
                executor.add_perturbed(partial(again, module, inputs))
            step = executor.combine(last=number % wanted == 0)
            executor.backward(step.objective / wanted)
            if number % wanted:
                continue
            optimizer.step()
            optimizer.zero_grad()
            if executor.needs_losses_after:
                with torch.no_grad():
                    executor.finish_step(losses_of(module, inputs))
        if epoch < len(VALIDATION):
            executor.finish_validation(VALIDATION[epoch])
    return weighting


@pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)
def test_a_loop_of_ones_own_trains_as_the_module(make: Make) -> None:
    optimizer = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
    module = module_of(make, dtype=torch.float32, optimizer=optimizer)
    twin = copy.deepcopy(module)
    weighting = train(twin, make, optimizer)
    batches = whole_steps(weighting.batches_per_step)
    steps = [{"all": each["all"]._replace(validation=BESIDE["all"])} for each in batches]
    fit(module, steps, Validation(), max_epochs=NUM_EPOCHS, precision="32-true")
    for part in ("encoder", "heads"):
        wanted = getattr(module, part).state_dict()
        for name, value in getattr(twin, part).state_dict().items():
            assert torch.equal(value, wanted[name]), name
    for (name, value), wanted in zip(weighting.named_parameters(), module.weighting.parameters(), strict=True):
        assert torch.equal(value, wanted), name


# -- what a loop leaves out --------------------------------------------------------------------------------------------
class Model(nn.Module):
    """A shared layer and two heads."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Linear(3, 4)
        self.heads = nn.ModuleDict({task: nn.Linear(4, 1) for task in "ab"})

    def losses(self, number: int = 0) -> dict[str, Tensor]:
        hidden = self.encoder(torch.randn(6, 3, generator=torch.Generator().manual_seed(number)))
        return {task: head(hidden).square().mean() for task, head in self.heads.items()}

    def executor(self, weighting: Weighting, **options: Any) -> Executor:
        heads = {task: head.parameters() for task, head in self.heads.items()}
        return Executor(weighting, self.encoder.parameters(), heads, **options)


def step(executor: Executor, losses: dict[str, Tensor]) -> None:
    executor.add(losses)
    executor.backward(executor.combine().objective)


EPOCHS: dict[str, Make] = {
    "DWA": DWA,
    "STCH-warmup": VARIANTS["STCH-warmup"],
    "TorchJD-DWA": VARIANTS["TorchJD-DWA"],
    "CoBa": CoBa,
}


@pytest.mark.parametrize("make", EPOCHS.values(), ids=EPOCHS)
def test_an_epoch_that_was_not_started_is_said_at_the_first_step(make: Make) -> None:
    model = Model()
    executor = model.executor(make(["a", "b"]))
    with pytest.raises(UserError, match=r"learns from .*executor\.start_epoch\(epoch\)"):
        step(executor, model.losses())
    executor.start_epoch(0)
    step(executor, model.losses())


@pytest.mark.parametrize("make", [EqualWeighting, UPGrad, STCH, partial(TorchJDScalarizer, name="Mean")])
def test_three_lines_suffice_for_who_learns_from_steps_alone(make: Make) -> None:
    model = Model()
    executor = model.executor(make(["a", "b"]))
    for number in range(3):
        step(executor, model.losses(number))
        assert not executor.needs_losses_after
        executor.finish_step(model.losses(number))


def test_losses_after_the_step_that_were_left_out_are_said_at_the_next() -> None:
    model, weighting = Model(), FAMO(["a", "b"])
    executor = model.executor(weighting)
    step(executor, model.losses())
    assert executor.needs_losses_after
    with pytest.raises(UserError, match=r"FAMO learns from .*executor\.finish_step\(losses\)"):
        step(executor, model.losses(1))
    step(executor, model.losses(1))
    executor.finish_step(model.losses(1))
    assert weighting.num_updates.tolist() == [1, 1]
    executor.finish_step(model.losses(1))  # once for each step
    assert weighting.num_updates.tolist() == [1, 1]


def test_a_step_that_was_taken_back_asks_for_no_losses_after() -> None:
    model, weighting = Model(), FAMO(["a", "b"])
    executor = model.executor(weighting)
    step(executor, {task: loss * torch.nan for task, loss in model.losses().items()})
    assert executor.not_finite and not executor.needs_losses_after
    executor.finish_step(model.losses())
    assert not weighting.num_updates.any()


@pytest.mark.parametrize("parts", [1, 2])
def test_losses_after_a_step_may_be_of_several_batches(parts: int) -> None:
    told = []

    class Listener(EqualWeighting):
        needs_losses_after = True

        def on_step_end(self, losses: Tensor, tasks: Tensor) -> None:
            told.append((losses.tolist(), tasks.tolist()))

    model = Model()
    executor = model.executor(Listener(["a", "b"]))
    step(executor, model.losses())
    batches = [({"b": torch.tensor(2.0)}, {"b": 0.5}), ({"b": torch.tensor(4.0)}, {"b": 0.25, "a": 0.0})]
    executor.finish_step(batches[:parts])
    assert told == [([1.0], [1])] if parts == 1 else told == [([0.0, 2.0], [0, 1])]


LEARNED: dict[str, Make] = {
    "UncertaintyWeighting": UncertaintyWeighting,
    "IMTLL": IMTLL,
    "TorchJD-UW": VARIANTS["TorchJD-UW"],
    "TorchJD-IMTLL": VARIANTS["TorchJD-IMTLL"],
}
OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, lr=0.1),
    "fused": partial(torch.optim.AdamW, lr=0.1, fused=True),
    "one-by-one": partial(torch.optim.RMSprop, lr=0.01, foreach=False),
}


@pytest.mark.parametrize("optimizer_of", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("make", LEARNED.values(), ids=LEARNED)
def test_parameters_that_no_optimizer_has_are_said_at_the_second_step(make: Make, optimizer_of: Any) -> None:
    model, weighting = Model(), make(["a", "b"])
    executor, optimizer = model.executor(weighting), optimizer_of(model.parameters())

    def train(number: int) -> None:
        step(executor, model.losses(number))
        optimizer.step()
        optimizer.zero_grad()

    train(0)
    with pytest.raises(UserError, match=r"parameters of its own that no optimizer trains: .*weighting\.parameters\(\)"):
        train(1)
    optimizer.add_param_group({"params": list(weighting.parameters())})
    for number in range(1, 4):
        train(number)


def test_parameters_that_are_to_stay_as_they_are() -> None:
    model, weighting = Model(), UncertaintyWeighting(["a", "b"]).requires_grad_(False)
    executor, optimizer = model.executor(weighting), torch.optim.SGD(model.parameters(), 0.1)
    for number in range(3):
        step(executor, model.losses(number))
        optimizer.step()
    assert not weighting.log_variances.any()


def test_gradients_that_accumulate_are_no_step_of_the_optimizer() -> None:
    model, weighting = Model(), UncertaintyWeighting(["a", "b"])
    executor = model.executor(weighting)
    optimizer = torch.optim.SGD([*model.parameters(), *weighting.parameters()], 0.1)
    for number in range(6):
        step(executor, model.losses(number))
        assert not weighting.log_variances.any() or number > 2
        if number % 3 == 2:
            optimizer.step()
            optimizer.zero_grad()
    assert weighting.log_variances.all()


def test_an_epoch_without_a_validation_is_said(caplog: pytest.LogCaptureFixture) -> None:
    model, weighting = Model(), CoBa(["a", "b"])
    executor = model.executor(weighting)
    for epoch in range(2):
        executor.start_epoch(epoch)
        step(executor, model.losses(epoch))
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "CoBa has no effect yet" in line and "executor.finish_validation(losses)" in line
    caplog.clear()
    executor.finish_validation({"b": 1.0, "a": torch.tensor(2.0)})
    assert weighting.first.tolist() == [2.0, 1.0]
    executor.start_epoch(2)
    with pytest.raises(UserError, match="no task 'c'"):
        executor.finish_validation({"c": 1.0})
    assert not caplog.records


def test_what_was_validated_is_known_after_a_resume(caplog: pytest.LogCaptureFixture) -> None:
    model = Model()
    executor, fresh = model.executor(CoBa(["a", "b"])), model.executor(CoBa(["a", "b"]))
    executor.start_epoch(0)
    executor.finish_validation({"a": 1.0, "b": 1.0})
    fresh.load_state_dict(executor.state_dict())
    fresh.start_epoch(1)
    assert not caplog.records
