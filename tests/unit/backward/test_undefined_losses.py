"""A step whose losses the method is not defined for is skipped, and says of which task and what the method needs."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from test_executor_options import Batch, Model, executor_of, step
from torch import Tensor

from mtl_lightning.weighting import (
    DBMTL,
    DWA,
    FAMO,
    GLS,
    IGB,
    MGDA,
    STCH,
    UWSO,
    CoBa,
    GO4Align,
    GradNorm,
    LossWeighting,
    ScaleInvariantWeighting,
    Weighting,
)
from mtl_lightning.weighting.log_losses import log_losses

TASKS = "abc"


def after_epochs(weighting: Weighting, losses: Sequence[float]) -> Weighting:
    for _ in range(2):
        weighting.on_epoch_end(torch.tensor(losses), torch.arange(3))
        weighting.on_validation_end(torch.tensor(losses).double(), torch.arange(3))
    return weighting


METHODS: dict[str, tuple[Callable[[], Weighting], str]] = {
    "gls": (partial(GLS, TASKS), "GLS needs losses of at least 0"),
    "uw-so": (partial(UWSO, TASKS), "UWSO needs losses of at least 0"),
    "igb": (partial(IGB, TASKS), "IGB needs losses of at least 0"),
    "go4align": (partial(GO4Align, TASKS), "GO4Align needs losses of at least 0"),
    "scale-invariant": (
        partial(ScaleInvariantWeighting, TASKS),
        "ScaleInvariantWeighting needs losses of at least 0",
    ),
    "stch": (partial(STCH, TASKS, warmup_epochs=1), "STCH needs losses of at least 0 with `warmup_epochs`"),
    "famo": (partial(FAMO, TASKS, min_losses={"b": -0.5}), "FAMO needs losses of at least their `min_losses`"),
    "gradnorm": (partial(GradNorm, TASKS), "GradNorm needs losses of at least 0"),
    "mgda-loss": (partial(MGDA, TASKS, "loss"), "MGDA needs losses of at least 0 with `normalization: loss`"),
    "db-mtl": (partial(DBMTL, TASKS), "DBMTL needs losses of at least 0"),
    "dwa": (lambda: after_epochs(DWA(TASKS), [1, -1, 1]), "DWA needs mean losses of at least 0 in each epoch"),
    "coba": (lambda: after_epochs(CoBa(TASKS), [1, -1, 1]), "CoBa needs a first validation loss of at least 0"),
}
every_method = pytest.mark.parametrize("name", METHODS)


def less(batch: Batch, task: str = "b", by: float = 100.0) -> Batch:
    losses, features = batch
    return losses | {task: losses[task] - by}, features


def odd(name: str, model: Model, seed: int = 1) -> Batch:
    """A batch that the method is not defined for: its losses, or those of the epochs before."""
    return model.batch(seed) if name in ("dwa", "coba") else less(model.batch(seed))


@every_method
def test_the_step_is_skipped_and_says_why(name: str) -> None:
    make, needs = METHODS[name]
    model, weighting = Model(), make()
    executor = executor_of(model, weighting)
    executor.start_epoch(0)
    before = str(weighting.state_dict())
    step(executor, odd(name, model))
    assert executor.not_finite == (f"weight of 'b' ({needs})",)
    assert set(model.gradients().values()) == {None}
    assert str(weighting.state_dict()) == before
    if name not in ("dwa", "coba"):
        step(executor, model.batch(2))
        assert executor.not_finite == ()
        assert model.encoder[0].weight.grad is not None


@every_method
def test_other_tasks_go_on(name: str) -> None:
    model = Model()
    executor = executor_of(model, METHODS[name][0]())
    executor.start_epoch(0)
    step(executor, model.batch(1, "ac"))
    assert executor.not_finite == ()


@pytest.mark.parametrize("refresh_every", [None, 1])
def test_a_batch_of_a_window_is_enough(refresh_every: int | None) -> None:
    """A loss weighting weighs each batch by its own losses, which may be negative though their sum is not."""
    model = Model()
    executor = executor_of(model, GLS(TASKS), refresh_every=refresh_every)
    step(executor, less(model.batch(1)), less(model.batch(2), by=-1000.0), model.batch(3, "ac"))
    assert executor.not_finite == ("weight of 'b' (GLS needs losses of at least 0)",)


@every_method
def test_a_loss_that_is_not_a_number_is_named_as_such(name: str) -> None:
    if name in ("dwa", "coba"):
        return
    model = Model()
    executor = executor_of(model, METHODS[name][0]())
    executor.start_epoch(0)
    step(executor, less(model.batch(1), by=torch.nan))
    assert executor.not_finite == ("loss of 'b'",)


def test_a_gradient_scaler_does_not_take_it_for_an_overflow() -> None:
    for name in ("gls", "mgda-loss", "db-mtl"):
        model = Model()
        executor = executor_of(model, METHODS[name][0]())
        executor.start_epoch(0)
        executor.scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
        step(executor, odd(name, model))
        assert not executor.overflow
        assert len(executor.not_finite) == 1 and "weight of 'b'" in executor.not_finite[0]


class Log(LossWeighting):
    """A user's own: it says what it needs, and the executor does the rest."""

    domain = "losses above 1"

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return log_losses(losses - 1).sum()

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses <= 1


def test_a_weighting_of_one_s_own_declares_its_domain() -> None:
    model = Model()
    executor = executor_of(model, Log(TASKS))
    losses, features = model.batch(1)
    step(executor, ({task: loss - loss.detach() + 0.5 * (task == "c") for task, loss in losses.items()}, features))
    assert executor.not_finite == tuple(f"weight of '{task}' (Log needs losses above 1)" for task in TASKS)
