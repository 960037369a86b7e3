"""Weightings that take several batches a step, trained by Lightning: what a step is, and what is left of it."""

from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler, ModelCheckpoint
from test_training_options import batch, fit, module_of
from torch import Tensor
from torch.optim.lr_scheduler import LinearLR

from mtl_lightning.errors import UserError
from mtl_lightning.weighting import EqualWeighting, GramianWeighting, MoDo, SDMGrad


class Listener(GramianWeighting):
    """Plain sums of three batches' gradients; knows what it was asked."""

    batches_per_step = 3

    def __init__(self, tasks: Any) -> None:
        super().__init__(tasks)
        self.asked: list[list[float]] = []

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        self.asked.append(losses.view(3, -1)[:, 0].tolist())
        return torch.full_like(losses, 1 / 3)


class Counts(Callback):
    """What the trainer says while it trains."""

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.accumulated, self.expected = trainer.accumulate_grad_batches, trainer.estimated_stepping_batches


@pytest.mark.parametrize(("accumulated", "steps"), [(1, 3), (2, 2)])
def test_a_step_is_of_all_batches(accumulated: int, steps: int) -> None:
    module, counts = module_of(Listener, lr_scheduler=partial(LinearLR, total_iters=10)), Counts()
    trainer = fit(module, [batch(number) for number in range(8)], counts, accumulate_grad_batches=accumulated)
    assert trainer.global_step == counts.expected == steps
    assert counts.accumulated == 3 * accumulated
    assert trainer.accumulate_grad_batches == accumulated
    assert len(module.weighting.asked) == 8 // counts.accumulated  # type: ignore[arg-type]
    assert trainer.lr_scheduler_configs[0].scheduler.last_epoch == steps
    fit_again = fit(module, [batch(0)] * 3, accumulate_grad_batches=accumulated)
    assert fit_again.global_step == 1


@pytest.mark.parametrize("accumulated", [1, 2])
def test_equal_weights_of_all_batches_are_plain_accumulation(accumulated: int) -> None:
    steps = [batch(number) for number in range(6)]
    module, plain = module_of(Listener), module_of(EqualWeighting)
    fit(module, steps, accumulate_grad_batches=accumulated)
    fit(plain, steps, accumulate_grad_batches=3 * accumulated)
    for name, value in plain.encoder.state_dict().items():
        torch.testing.assert_close(module.encoder.state_dict()[name], value)
    for name, value in plain.heads.state_dict().items():
        torch.testing.assert_close(module.heads.state_dict()[name], value)


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("make", [MoDo, partial(SDMGrad, direction="mean")], ids=["MoDo", "SDMGrad"])
def test_a_resumed_run_is_the_uninterrupted_one(make: Any, tmp_path: Any) -> None:
    steps = [batch(number) for number in range(8)]
    whole, resumed = module_of(make), module_of(make)
    for module, start in ((whole, None), (resumed, tmp_path / "epoch=0.ckpt")):
        saved = ModelCheckpoint(tmp_path, "{epoch}", every_n_epochs=1, save_top_k=-1, enable_version_counter=False)
        fit(module, steps, saved, checkpoint=start, enable_checkpointing=True, max_epochs=2)
    for name, value in whole.state_dict().items():
        if isinstance(value, Tensor):
            assert torch.equal(resumed.state_dict()[name], value), name
    assert torch.equal(resumed.weighting.weights, whole.weighting.weights)  # type: ignore[arg-type]


def test_a_trainer_that_failed_has_what_it_was_given() -> None:
    class Fails(Callback):
        def on_train_batch_end(self, *arguments: Any) -> None:
            raise RuntimeError("on purpose")

    trainer: Any = None

    class Keeps(Callback):
        def on_fit_start(self, of: Trainer, pl_module: Any) -> None:
            nonlocal trainer
            trainer = of

    with pytest.raises(RuntimeError, match="on purpose"):
        fit(module_of(MoDo), [batch(0)] * 3, Keeps(), Fails())
    assert trainer.accumulate_grad_batches == 1


def test_another_accumulation_schedule_is_refused() -> None:
    with pytest.raises(UserError, match="GradientAccumulationScheduler does not go with MoDo, which takes 3 batches"):
        fit(module_of(MoDo), [batch(0)] * 3, GradientAccumulationScheduler({0: 2}))
