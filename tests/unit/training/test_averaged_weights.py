"""Weights of a run that averages them: what checkpoints hold, and what a run without the callback resumes from."""

import logging
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import BackboneFinetuning, EMAWeightAveraging
from test_training_options import batch, every_family, fit, module_of
from torch import nn
from torch.nn.utils import prune

from mtl_lightning.callbacks import LastCheckpoint
from mtl_lightning.training.pruned import forget_graphs, prune_as
from mtl_lightning.weighting import UPGrad

STEPS = [batch(0), batch(1)]


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_without_the_callback_a_run_resumes_from_the_weights_that_trained(tmp_path: Path, caplog: Any) -> None:
    last = LastCheckpoint(str(tmp_path))
    fit(module_of(UPGrad), STEPS, EMAWeightAveraging(decay=0.5), last, enable_checkpointing=True)
    plain = module_of(UPGrad)
    fit(plain, STEPS, max_epochs=2)
    resumed = module_of(UPGrad)
    with caplog.at_level(logging.INFO, "lightning.pytorch"):
        fit(resumed, STEPS, checkpoint=tmp_path / "last.ckpt", max_epochs=2)
    assert "Resumed without the callback that averaged the weights" in caplog.text
    for name, value in plain.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(resumed.state_dict()[name], value), name


@every_family
def test_a_module_can_be_copied_between_steps(family: Any) -> None:
    class Copy(EMAWeightAveraging):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *arguments: Any) -> None:
            super().on_train_batch_end(trainer, pl_module, *arguments)
            assert len(list(deepcopy(pl_module).parameters())) == len(list(pl_module.parameters()))

    fit(module_of(family), STEPS, Copy())


def test_the_encoder_is_the_backbone(tmp_path: Path) -> None:
    module = module_of(UPGrad)
    fit(module, STEPS, BackboneFinetuning(unfreeze_backbone_at_epoch=1), max_epochs=2)
    assert all(parameter.requires_grad for parameter in module.encoder.parameters())


def test_pruning_follows_a_state_in_both_directions() -> None:
    pruned, plain = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2))
    prune.l1_unstructured(pruned[0], "weight", amount=2)
    before = plain.state_dict()
    prune_as(plain, pruned.state_dict())
    plain.load_state_dict(pruned.state_dict())
    assert torch.equal(plain[0].weight_mask, pruned[0].weight_mask)
    plain(torch.ones(1, 2)).sum().backward()
    with pytest.raises(RuntimeError, match="deepcopy"):
        deepcopy(plain)
    forget_graphs(plain)
    deepcopy(plain)
    prune_as(plain, before)
    assert plain.load_state_dict(before) and "weight_mask" not in plain.state_dict()
