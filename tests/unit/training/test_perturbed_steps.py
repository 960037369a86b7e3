"""Weightings that perturb parameters, trained by Lightning: a resumed run goes on; running statistics move once."""

from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from test_training_options import batch, fit, module_of
from test_validation_batches import normalised
from torch import Tensor, nn

from mtl_lightning.weighting import FSMTL, SAMO, EqualWeighting

NEAR: dict[str, Any] = {
    "fs-mtl": partial(FSMTL, weighting=EqualWeighting, rho=1e-9, apart=False),
    "samo": partial(SAMO, weighting=EqualWeighting, rho=1e-9, seed=0),
}


@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize("near", NEAR.values(), ids=NEAR)
def test_close_by_losses_are_the_same_with_dropout_and_running_statistics(near: Any, accumulated: int) -> None:
    """Gradients there are those at the original parameters, if dropout draws the same and statistics move once."""
    steps = [batch(number) for number in range(4)]
    module, plain = normalised(near), normalised(EqualWeighting)
    for each in (module, plain):
        torch.manual_seed(0)
        fit(each, steps, accumulate_grad_batches=accumulated)
    for part in ("encoder", "heads"):
        expected = getattr(plain, part).state_dict()
        for name, value in getattr(module, part).state_dict().items():
            torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)
    assert module.training == plain.training


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("make", [FSMTL, SAMO])
def test_a_resumed_run_is_the_uninterrupted_one(make: Any, tmp_path: Any) -> None:
    steps = [batch(number) for number in range(4)]
    dropout = partial(module_of, change=lambda encoder: encoder.layers.append(nn.Dropout(0.3)))
    whole, resumed = (dropout(partial(make, rho=0.05)) for _ in range(2))
    for module, start in ((whole, None), (resumed, tmp_path / "epoch=0.ckpt")):
        saved = ModelCheckpoint(tmp_path, "{epoch}", every_n_epochs=1, save_top_k=-1, enable_version_counter=False)
        fit(module, steps, saved, checkpoint=start, enable_checkpointing=True, max_epochs=2, accumulate_grad_batches=2)
    for name, value in whole.state_dict().items():
        if isinstance(value, Tensor):
            assert torch.equal(resumed.state_dict()[name], value), name
