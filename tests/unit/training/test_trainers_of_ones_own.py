"""Module and data module in scripts, with Lightning's plain Trainer: in any order, several times, copied."""

import copy
import functools
import pickle
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import tiny

from mtl_lightning.data import FileSource, MultiTaskDataModule
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import Regression, SequenceClassification
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.weighting import FAMO, UPGrad

QUIET = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)


def module(**settings: Any) -> MultiTaskModule:
    tasks = {"cls": SequenceClassification(), "reg": Regression()}
    return MultiTaskModule(PerceptronEncoder(3, [4]), tasks, **settings)


def data() -> MultiTaskDataModule:
    files, labels = {"train": "train.jsonl", "val": "val.jsonl"}, {"cls": "x", "reg": "y"}
    return MultiTaskDataModule({"d": FileSource(files, {"features": "f"}, labels)}, batch_size=5, num_workers=0)


def trainer(**settings: Any) -> pl.Trainer:
    return pl.Trainer(accelerator="cpu", max_epochs=1, **QUIET, **settings)


def test_a_validation_may_come_before_training_and_after_it() -> None:
    model = module()
    (before,) = trainer().validate(model, datamodule=data(), verbose=False)
    own = trainer()
    own.fit(model, datamodule=data())
    during = own.callback_metrics["val/reg/rmse"]
    (after,) = trainer().validate(model, datamodule=data(), verbose=False)
    assert before["val/reg/rmse"] != after["val/reg/rmse"] == pytest.approx(during)


def test_an_evaluation_that_was_interrupted_leaves_nothing_behind() -> None:
    model = module()
    part = {"limit_val_batches": 1}
    (expected,) = trainer(**part).validate(model, datamodule=data(), verbose=False)
    finish, model.on_validation_epoch_end = model.on_validation_epoch_end, _interrupted  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        trainer().validate(model, datamodule=data(), verbose=False)
    model.on_validation_epoch_end = finish  # type: ignore[method-assign]
    (found,) = trainer(**part).validate(model, datamodule=data(), verbose=False)
    assert found == expected


def _interrupted() -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("weighting", [UPGrad, FAMO])
def test_a_module_is_trained_twice_and_copied(weighting: Any) -> None:
    model = module(weighting=weighting)
    for _ in range(2):
        trainer().fit(model, datamodule=data())
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert trainer().validate(other, datamodule=data(), verbose=False) == trainer().validate(
            model, datamodule=data(), verbose=False
        )
        trainer().fit(other, datamodule=data())


@pytest.mark.parametrize("given", [UPGrad(["cls", "reg"]), "UPGrad"], ids=["an instance", "a name"])
def test_a_weighting_is_given_as_what_makes_it(given: Any) -> None:
    with pytest.raises(TypeError, match=r"weighting: give what makes it, .* the module tells it the tasks"):
        module(weighting=given)
    assert isinstance(module(weighting=functools.partial(UPGrad)).weighting, UPGrad)


def test_loaders_need_the_trainer() -> None:
    with pytest.raises(UserError, match=r"give it the data module itself, `datamodule=...`"):
        data().train_dataloader()
