"""A run is resumed from the states that its parts have saved, and from nothing of another kind: one line says which."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

import mtl_lightning
from mtl_lightning.__main__ import main
from mtl_lightning.checkpoints import find_checkpoint
from mtl_lightning.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """With a run that has a scheduler and early stopping."""
    folder: Path = tmp_path_factory.mktemp("saved")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tiny.write(folder)
        options = ("--model.lr_scheduler=torch.optim.lr_scheduler.CosineAnnealingLR", "--model.lr_scheduler.T_max=5")
        stopping = "--trainer.callbacks={class_path: MultiTaskEarlyStopping, init_args: {patience: 5}}"
        assert tiny.fit("run", "--evaluate=none", stopping, *options) == 0
        yield folder


@pytest.fixture(scope="module")
def whole(folder: Path) -> dict[str, Any]:
    saved: dict[str, Any] = torch.load(folder / "run/checkpoints/last.ckpt", weights_only=True)
    return saved


def put(*path: Any, value: Any = None) -> Callable[[Any], None]:
    """Puts something else at a place of a checkpoint."""

    def change(checkpoint: Any) -> None:
        for key in path[:-1]:
            checkpoint = checkpoint[key]
        checkpoint[path[-1]] = value

    return change


def configured(**options: Any) -> Callable[[Any], None]:
    """Changes what a checkpoint says of how its first group of parameters was configured."""

    def change(checkpoint: Any) -> None:
        next(iter(checkpoint["mtl_lightning"]["optimizer"]["options"].values())).update(options)

    return change


FIT, FIRST = ("loops", "fit_loop"), ("optimizer_states", 0, "state", 0)
CHANGES = {
    "no tensor": (put("state_dict", "encoder.layers.0.bias", value="x"), "`state_dict` has no tensor at"),
    "other kind": (
        put("state_dict", "encoder.layers.0.bias", value=torch.zeros(4, dtype=torch.int64)),
        "holds torch.int64 numbers there, floating-point numbers here",
    ),
    "negative epochs": (put(*FIT, "epoch_progress", "current", "completed", value=-1), "is -1, not a count"),
    "no steps": (put(*FIT, "epoch_loop.batch_progress", "total", "ready", value="x"), "is 'x', not a count"),
    "no loops": (put(*FIT, value={"epoch_progress": {}}), "its loops cannot be restored"),
    "other shape": (put(*FIRST, "exp_avg", value=torch.zeros(9, 9)), "`exp_avg` has the shape [9, 9]"),
    "no moment": (put(*FIRST, "exp_avg", value="x"), "the optimizer's `exp_avg` has a"),
    "no rate": (put("optimizer_states", 0, "param_groups", 0, "lr", value="x"), "must be a number, found 'x'"),
    "other parameters": (put("optimizer_states", 0, "param_groups", value=[]), "its optimizers cannot be restored"),
    "no configured rate": (configured(lr="x"), ".lr` is 'x'"),
    "a tensor as an option": (configured(weight_decay=torch.ones(3)), ".weight_decay` is of the type Tensor"),
    "no group": (put("mtl_lightning", "optimizer", "groups", value=[{"params": []}]), "it has no `mtl_lightning.opti"),
    "no scheduler": (put("lr_schedulers", 0, "last_epoch", value=[1]), "of CosineAnnealingLR must be a number"),
    "no count": (put("callbacks", "MultiTaskEarlyStopping", "waited", value="x"), "must be a number, found 'x'"),
    "no callback": (put("callbacks", "Exposure", value={"seen": 3}), "its callbacks cannot be restored"),
    "no position": (put("MultiTaskDataModule", "position", value=["x"]), "`MultiTaskDataModule.position.0` is 'x'"),
    "no weights": (put("mtl_lightning", "executor", "weights", value=3), "`mtl_lightning.executor.weights` is 3"),
    "a list as configuration": (put("mtl_lightning", "config", value=[1]), "`mtl_lightning.config` is [1]"),
    "a tensor as a name": (
        put("mtl_lightning", "config", "data", "seed", value=torch.zeros(1)),
        "`config.data.seed` is of the type Tensor",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_state_is_refused(
    name: str,
    folder: Path,
    whole: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    change, said = CHANGES[name]
    change(changed := copy.deepcopy(whole))
    torch.save(changed, tmp_path / "changed.ckpt")
    options = (f"--trainer.default_root_dir={tmp_path / 'resumed'}", "--trainer.max_epochs=3", "--evaluate=none")
    assert main(["fit", f"--ckpt_path={tmp_path / 'changed.ckpt'}", *options]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert said in line and len(line) < 600


def test_what_cannot_be_built_is_refused(folder: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    encoder = ("mtl_lightning", "config", "model", "encoder", "init_args")
    for value in ([10**15], [10**30], ["x"], {"a": 1}, -1):
        put(*encoder, "hidden", value=value)(changed := copy.deepcopy(whole))
        torch.save(changed, tmp_path / "changed.ckpt")
        with pytest.raises(UserError) as refused:
            mtl_lightning.load(tmp_path / "changed.ckpt")
        assert "\n" not in str(refused.value).strip() or "Parser" in str(refused.value)


def test_a_number_that_no_model_can_have_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert tiny.fit("large", f"--model.encoder.hidden=[{10**15}]") == 2
    assert "PerceptronEncoder cannot be built as the configuration says" in capsys.readouterr().err


def test_a_checkpoint_in_parts_is_said(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "last.ckpt").mkdir(parents=True)
    (tmp_path / "checkpoints" / "last.ckpt" / ".metadata").touch()
    for folder in (tmp_path, tmp_path / "checkpoints" / "last.ckpt"):
        with pytest.raises(UserError, match="is a checkpoint in parts"):
            find_checkpoint(str(folder), "run", last=True)
