"""A run that is resumed with other settings: they take effect, or are refused in one line."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import EarlyStopping
from test_training_options import batch, fit, module_of
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, OneCycleLR

from mtl_lightning.errors import UserError
from mtl_lightning.training.resumed_config import resumed_with
from mtl_lightning.weighting import DWA, EqualWeighting, UPGrad

HALVES = {"lr_scheduler": partial(ExponentialLR, gamma=0.5)}


def resumed(folder: Path, before: dict[str, Any], after: dict[str, Any], epochs: int = 2, **options: Any) -> Any:
    """The trainer of a run of ``epochs`` of two steps, the first one of them with other settings."""
    steps = [batch(0), batch(1)]
    settings = {"weighting": UPGrad, "optimizer": partial(AdamW, lr=0.02)}
    trainer = fit(module_of(**settings | before), steps)
    trainer.save_checkpoint(folder / "one.ckpt", weights_only=False)
    return fit(module_of(**settings | after), steps, checkpoint=folder / "one.ckpt", max_epochs=epochs, **options)


def rates(trainer: Any) -> list[float]:
    return [group["lr"] for group in trainer.optimizers[0].param_groups]


def test_another_learning_rate_and_decay_take_effect_and_are_said(tmp_path: Path, caplog: Any) -> None:
    with caplog.at_level(logging.INFO, "lightning.pytorch"):
        trainer = resumed(tmp_path, {}, {"optimizer": partial(AdamW, lr=0.01, weight_decay=0.3, betas=(0.5, 0.9))})
    assert rates(trainer) == [0.01, 0.01]
    assert trainer.optimizers[0].param_groups[0]["weight_decay"] == 0.3
    assert trainer.optimizers[0].param_groups[0]["betas"] == (0.5, 0.9)
    assert "`lr` is 0.01 now, was 0.02 (encoder, heads)" in caplog.text


def test_slower_heads_take_effect(tmp_path: Path) -> None:
    assert rates(resumed(tmp_path, {}, {"head_lr_factor": 0.1})) == pytest.approx([0.02, 0.002])


@pytest.mark.parametrize("schedule", [HALVES, {"lr_scheduler": partial(LambdaLR, lr_lambda=lambda step: 0.5**step)}])
def test_a_schedule_goes_on_from_another_learning_rate(tmp_path: Path, schedule: dict[str, Any]) -> None:
    trainer = resumed(tmp_path, schedule, {"optimizer": partial(AdamW, lr=0.2), **schedule})
    assert rates(trainer) == pytest.approx([0.2 * 0.5**4] * 2)


def test_the_same_settings_change_nothing(tmp_path: Path, caplog: Any) -> None:
    with caplog.at_level(logging.INFO):
        assert rates(resumed(tmp_path, HALVES, HALVES)) == pytest.approx([0.02 * 0.5**4] * 2)
    assert "Resumed" not in caplog.text


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({}, {"optimizer": partial(SGD, lr=0.1)}, r"model\.optimizer: the run to resume has AdamW, found SGD; set"),
        ({}, {"weighting": DWA}, r"model\.weighting: the run to resume has UPGrad, found DWA; .*init_from"),
        (HALVES, {}, r"model\.lr_scheduler: the run to resume has ExponentialLR, found none; .*init_from"),
        ({}, {"layer_decay": 0.9}, r"model\.layer_decay: the run to resume has none, found 0\.9"),
        ({"no_decay": True}, {}, r"model\.no_decay: the run to resume has True, found False"),
        ({}, {"hidden": [7, 4]}, r"`encoder\.layers\.0\.weight` is \[6, 5\] there, \[7, 5\] here"),
        ({}, {"hidden": [6, 4, 4]}, r"does not fit the model: .*it lacks `encoder\.layers\.6\.weight` and 1 more"),
    ],
    ids=["optimizer", "weighting", "scheduler", "layer-decay", "no-decay", "width", "depth"],
)
def test_what_cannot_take_effect_is_refused(tmp_path: Path, before: Any, after: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resumed(tmp_path, before, after)


def test_a_schedule_that_is_too_short_is_refused_before_training(tmp_path: Path) -> None:
    schedule = {"lr_scheduler": partial(OneCycleLR, max_lr=0.1, total_steps=None)}
    assert len(rates(resumed(tmp_path, schedule, schedule, epochs=1))) == 2
    with pytest.raises(UserError, match=r"OneCycleLR ends after 2 steps, but the run makes 4 .*keeps that of its"):
        resumed(tmp_path, schedule, schedule)


def test_early_stopping_takes_another_patience(tmp_path: Path) -> None:
    steps, stopping = [batch(0), batch(1)], partial(EarlyStopping, "train/loss", check_on_train_epoch_end=True)
    trainer = fit(module_of(EqualWeighting), steps, stopping(patience=3))
    trainer.save_checkpoint(tmp_path / "one.ckpt", weights_only=False)
    found = stopping(patience=7)
    fit(module_of(EqualWeighting), steps, found, checkpoint=tmp_path / "one.ckpt", max_epochs=2)
    assert found.patience == 7


# -- by configuration --------------------------------------------------------------------------------------------------
def config(**model: Any) -> dict[str, Any]:
    parts = {
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.1}},
        "weighting": {"class_path": "mtl_lightning.weighting.DWA", "init_args": {"temperature": 2.0}},
        "lr_scheduler": {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 2}},
        "encoder": {"class_path": "mtl_lightning.encoders.PerceptronEncoder", "init_args": {"dropout": 0.0}},
        "refresh_every": None,
    }
    sources = {"d": {"class_path": "FileSource", "init_args": {"files": {"train": "a.csv"}}}}
    return {"seed_everything": 0, "model": parts | model, "data": {"datasets": sources, "batch_size": 8}, "name": "x"}


def test_what_takes_effect_is_said_in_one_line() -> None:
    other = config(refresh_every=2, encoder={"class_path": "moved.PerceptronEncoder", "init_args": {"dropout": 0.5}})
    other["data"] = {"datasets": {}, "batch_size": {"d": 4}}
    other["name"] = "y"
    assert resumed_with(config(), other, True) == (
        "Resumed with other settings: model.encoder.dropout is 0.5 now, was 0.0; model.refresh_every is 2 now, was "
        "none; data.datasets.d is none now, was FileSource; data.batch_size is {'d': 4} now, was 8"
    )
    assert resumed_with(config(), config(added=1), True) is None, "a key that the older version did not know"


@pytest.mark.parametrize(
    ("part", "value", "key"),
    [
        ("weighting", {"class_path": "DWA", "init_args": {"temperature": 5.0}}, "weighting.temperature"),
        ("lr_scheduler", {"class_path": "StepLR", "init_args": {"step_size": 4}}, "lr_scheduler.step_size"),
        ("encoder", {"class_path": "own.Encoder", "init_args": {}}, "encoder"),
        ("optimizer", {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.2}}, "optimizer.lr"),
    ],
)
def test_what_the_state_stands_for_is_refused(part: str, value: Any, key: str) -> None:
    with pytest.raises(UserError, match=rf"model\.{key}: the run to resume has"):
        resumed_with(config(), config(**{part: value}), optimizer_is_known=False)


def test_another_seed_is_refused() -> None:
    with pytest.raises(UserError, match="seed_everything: the run to resume has 0, found 1"):
        resumed_with(config(), config() | {"seed_everything": 1}, True)
