"""Weightings that learn from validation batches, trained by Lightning: nothing else does; a resumed run goes on."""

from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from test_training_options import Normalised, batch, fit, module_of
from torch import Tensor, nn

from mtl_lightning.data import Batch
from mtl_lightning.weighting import AutoLambda, EqualWeighting, GramianWeighting


class Listener(GramianWeighting):
    """Equal weights; knows what it was asked."""

    needs_validation_batch = True

    def __init__(self, tasks: Any) -> None:
        super().__init__(tasks)
        self.asked: list[Tensor] = []

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        self.asked.append(losses.view(2, -1))
        return torch.ones(len(tasks), dtype=torch.float64)


class OfTwo(Listener):
    batches_per_step = 2

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        self.asked.append(losses.view(3, -1))
        return torch.full((2 * len(tasks),), 0.5, dtype=torch.float64)


def beside(steps: list[dict[str, Batch]], every: int = 1) -> list[dict[str, Batch]]:
    """The same steps, each ``every`` of them with a validation batch."""
    return [
        {name: part._replace(validation=batch(100 + number)["all"]) for name, part in step.items()}
        if (number + 1) % every == 0
        else step
        for number, step in enumerate(steps)
    ]


def normalised(weighting: Any) -> Any:
    def change(encoder: Any) -> None:
        encoder.layers.append(nn.BatchNorm1d(4))
        encoder.layers.append(nn.Dropout(0.3))

    return module_of(weighting, change, Normalised)


@pytest.mark.parametrize(("made", "accumulated", "every"), [(Listener, 1, 1), (Listener, 2, 2), (OfTwo, 1, 2)])
def test_validation_batches_train_nothing(made: Any, accumulated: int, every: int) -> None:
    """Parameters, running statistics and random numbers are those of a run without."""
    steps = [batch(number) for number in range(4)]
    module, plain = normalised(made), normalised(EqualWeighting)
    for each, given, number in ((module, beside(steps, every), accumulated), (plain, steps, every)):
        torch.manual_seed(0)
        fit(each, given, accumulate_grad_batches=number)
    assert len(module.weighting.asked) == 4 // every
    for part in ("encoder", "heads"):
        expected = getattr(plain, part).state_dict()
        for name, value in getattr(module, part).state_dict().items():
            torch.testing.assert_close(value, expected[name])


def test_validation_losses_are_those_of_an_evaluation() -> None:
    module, steps = module_of(Listener, lambda encoder: encoder.layers.append(nn.Dropout())), beside([batch(0)])
    with torch.no_grad():
        module.eval()
        expected = module.losses([batch(100)["all"]]).losses
        module.train()
    fit(module, steps)
    torch.testing.assert_close(module.weighting.asked[0][1], torch.stack([*expected.values()]).double())


def test_they_are_read_on_the_device_of_the_model() -> None:
    (part,) = beside([batch(0)])[0].values()
    moved = part.to(torch.device("meta"))
    assert moved.validation is not None
    assert {each.device.type for each in moved.validation.inputs.values()} == {"meta"}


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("refresh_every", [1, 2])
def test_a_resumed_run_is_the_uninterrupted_one(refresh_every: int, tmp_path: Any) -> None:
    steps = beside([batch(number) for number in range(5)])
    make = partial(AutoLambda, primary_tasks=["a"], learning_rate=0.01)
    whole, resumed = (module_of(make, refresh_every=refresh_every) for _ in range(2))
    for module, start in ((whole, None), (resumed, tmp_path / "epoch=0.ckpt")):
        saved = ModelCheckpoint(tmp_path, "{epoch}", every_n_epochs=1, save_top_k=-1, enable_version_counter=False)
        fit(module, steps, saved, checkpoint=start, enable_checkpointing=True, max_epochs=2)
    for name, value in whole.state_dict().items():
        if isinstance(value, Tensor):
            assert torch.equal(resumed.state_dict()[name], value), name
    assert torch.equal(resumed.weighting.moments, whole.weighting.moments)  # type: ignore[arg-type]
    assert not torch.equal(whole.weighting.weights, torch.full((3,), 0.1, dtype=torch.float64))  # type: ignore[arg-type]
