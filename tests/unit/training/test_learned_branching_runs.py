"""Learned branching in a run: resumed bitwise, and pruned between runs."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from test_training_options import batch, fit, module_of

from mtl_lightning import MultiTaskModule
from mtl_lightning.sharing import LearnedBranching
from mtl_lightning.weighting import FAMO, EqualWeighting, UPGrad

BRANCHING = partial(LearnedBranching, num_branches=2, warmup=1)
STEPS = [batch(number) for number in range(3)]


def module(weighting: Any = EqualWeighting) -> MultiTaskModule:
    return module_of(weighting, sharing=BRANCHING)


def assert_equal(first: MultiTaskModule, second: MultiTaskModule) -> None:
    for name, value in first.state_dict().items():
        found = second.state_dict()[name]
        assert torch.equal(value, found) if isinstance(value, torch.Tensor) else value == found, name


@pytest.mark.parametrize("weighting", [EqualWeighting, UPGrad, FAMO])
def test_a_resumed_run_draws_what_it_would_have_drawn(weighting: Any, tmp_path: Path) -> None:
    whole = module(weighting)
    fit(whole, STEPS, max_epochs=2)
    first, second = module(weighting), module(weighting)
    fit(first, STEPS).save_checkpoint(tmp_path / "first.ckpt", weights_only=False)
    fit(second, STEPS, checkpoint=tmp_path / "first.ckpt", max_epochs=2)
    assert_equal(second, whole)
    assert whole.sharing.choice.num_batches == 2 * len(STEPS)


@pytest.mark.parametrize("weighting", [EqualWeighting, UPGrad])
def test_a_pruned_model_is_trained_on_and_resumed(weighting: Any, tmp_path: Path) -> None:
    searched = module(weighting)
    fit(searched, STEPS)
    with torch.no_grad():
        searched.sharing.choice.of_tasks[1] += torch.tensor([0.0, 9.0])
        searched.sharing.choice.between[0] += torch.tensor([[9.0, 0.0], [0.0, 9.0]])
    searched.sharing.prune()
    assert [len(groups) for groups in searched.sharing.groups()] == [2, 2]
    before = {name: value.clone() for name, value in searched.named_parameters()}
    trainer = fit(searched, STEPS)
    trainer.save_checkpoint(tmp_path / "pruned.ckpt", weights_only=False)
    assert all(not torch.equal(value, before[name]) for name, value in searched.named_parameters())
    resumed = module(weighting)
    fit(resumed, STEPS, checkpoint=tmp_path / "pruned.ckpt", max_epochs=1)
    assert_equal(resumed, searched)
    fit(resumed, STEPS, checkpoint=tmp_path / "pruned.ckpt", max_epochs=2)
    assert resumed.sharing.groups() == searched.sharing.groups()
