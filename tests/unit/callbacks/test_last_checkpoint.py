"""The checkpoint to go on from: when it is written, whole or not at all, and what is refused."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import WandbLogger

from mtl_lightning.callbacks import Exposure, Interrupted, LastCheckpoint, last_checkpoint
from mtl_lightning.callbacks.weight_sizes import weight_sizes
from mtl_lightning.checkpoints.contents import wandb_id_in
from mtl_lightning.checkpoints.io import AtomicCheckpointIO
from mtl_lightning.data import DataSource, MultiTaskDataModule
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.stopping import NUMBERS
from mtl_lightning.tasks import Regression
from mtl_lightning.training.module import MultiTaskModule

WHOLE = {"mtl_lightning": {"tasks": {}, "assets": {"files": {}, "init_args": {}}}, "state_dict": {}}
QUIET = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)


class Points(DataSource):
    def __init__(self, size: int = 20) -> None:
        super().__init__({"features": "x"}, {"y": "y"})
        self.size = size

    def load(self) -> dict[str, Dataset]:
        rows = [{"x": [i / 10, 1.0], "y": i / 20} for i in range(self.size)]
        return {"train": Dataset.from_list(rows), "val": Dataset.from_list(rows[:5])}


class Send(Callback):
    """Sends this process a signal at a batch, or several."""

    def __init__(self, step: int, *numbers: int) -> None:
        self.step, self.numbers = step, numbers

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        for number in self.numbers if trainer.global_step == self.step else ():
            os.kill(os.getpid(), number)


class Steps(Callback):
    """The steps at which the checkpoint was written."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self.steps.append(checkpoint["global_step"])


def fit(folder: Path, *callbacks: Callback, checkpoint: Path | None = None, data: Any = None, **settings: Any) -> Any:
    torch.manual_seed(0)
    module = MultiTaskModule(PerceptronEncoder(2, [3]), {"y": Regression(mean=0.0, std=1.0, main_metric="mae")})
    data = data or MultiTaskDataModule({"points": Points()}, batch_size=4, num_workers=0)
    options = {"max_epochs": 2, "accelerator": "cpu", "default_root_dir": folder, "log_every_n_steps": 1, **QUIET}
    trainer = Trainer(**{**options, "callbacks": list(callbacks), **settings})
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return trainer


def saved(folder: Path) -> dict[str, Any]:
    return AtomicCheckpointIO().load_checkpoint(folder / "checkpoints" / "last.ckpt")


# -- when --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("every", "expected"), [(None, [5, 10]), (2, [2, 4, 5, 6, 8, 10]), (5, [5, 10])])
def test_it_is_written_after_epochs_and_every_few_steps(tmp_path: Path, every: int, expected: list[int]) -> None:
    steps = Steps()
    fit(tmp_path, LastCheckpoint(every_n_steps=every), steps)
    assert steps.steps == expected
    assert saved(tmp_path)["global_step"] == 10


def test_under_accumulation_only_whole_steps_are_saved(tmp_path: Path) -> None:
    steps = Steps()
    fit(tmp_path, LastCheckpoint(every_n_steps=1), steps, accumulate_grad_batches=2)
    assert steps.steps == [1, 2, 3, 4, 5, 6]
    assert saved(tmp_path)["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["ready"] == 0


def test_a_run_that_only_tries_writes_none(tmp_path: Path) -> None:
    fit(tmp_path, LastCheckpoint(every_n_steps=1), fast_dev_run=2)
    assert not list(tmp_path.rglob("*.ckpt"))


class ChangesTheEnd(Callback):
    """As one that averages weights does."""

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        with torch.no_grad():
            next(pl_module.parameters()).add_(1.0)


@pytest.mark.parametrize("changing", [False, True])
@pytest.mark.parametrize("max_steps", [-1, 7], ids=["whole epochs", "the last one cut short"])
def test_what_callbacks_make_of_the_weights_at_the_end_is_saved_beside(
    tmp_path: Path, changing: bool, max_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []

    def sizes(weights: dict[str, Any]) -> dict[str, str]:
        measured.append(len(weights))
        return weight_sizes(weights)

    monkeypatch.setattr(last_checkpoint, "weight_sizes", sizes)
    trainer = fit(tmp_path, LastCheckpoint(every_n_steps=1), *[ChangesTheEnd()] * changing, max_steps=max_steps)
    assert len(measured) == 3  # after two epochs and at the end, not after each step
    trained = saved(tmp_path)["state_dict"]
    final = tmp_path / "checkpoints" / "final.ckpt"
    assert final.exists() == changing
    if changing:
        changed, name = torch.load(final)["state_dict"], next(trainer.lightning_module.named_parameters())[0]
        assert torch.equal(changed[name], trained[name] + 1.0)


def test_nothing_to_save_every_zero_steps() -> None:
    with pytest.raises(UserError, match="`every_n_steps` must be at least 1, found 0"):
        LastCheckpoint(every_n_steps=0)


def test_it_holds_the_id_of_the_run_in_weights_and_biases(tmp_path: Path) -> None:
    class Known(WandbLogger):
        def __init__(self) -> None:
            self._experiment, self._id, self._save_dir = None, "abc", None

        log_metrics = log_graph = log_hyperparams = save = finalize = after_save_checkpoint = lambda *a, **k: None

    fit(tmp_path, LastCheckpoint(), logger=[Known()], max_epochs=1)
    assert wandb_id_in(tmp_path / "checkpoints" / "last.ckpt") == "abc"
    fit(tmp_path, LastCheckpoint(), max_epochs=1)
    assert wandb_id_in(tmp_path / "checkpoints" / "last.ckpt") is None


def test_all_is_saved_before_other_callbacks_hear_of_the_next_batch(tmp_path: Path) -> None:
    heard = []

    class Hears(Callback):
        def on_train_batch_start(self, trainer: Any, *args: Any) -> None:
            heard.append(trainer.global_step)

    with pytest.raises(Interrupted):
        fit(tmp_path, Hears(), Send(3, signal.SIGUSR2), LastCheckpoint())
    assert heard == [0, 1, 2]


# -- signals -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_stops_after_the_step_with_a_checkpoint(tmp_path: Path, number: int, capsys: Any) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as stopped:
        fit(tmp_path, Send(3, number), LastCheckpoint())
    assert stopped.value.code == 128 + number
    assert saved(tmp_path)["global_step"] == 3
    assert f"Stopped after step 3; resume with --ckpt_path {tmp_path}" in capsys.readouterr().err
    assert signal.getsignal(number) == before
    assert fit(tmp_path, LastCheckpoint(), checkpoint=tmp_path / "checkpoints" / "last.ckpt").global_step == 10


def test_before_the_first_step_there_is_nothing_to_save(tmp_path: Path, capsys: Any) -> None:
    class AtOnce(Callback):
        def on_train_epoch_start(self, *args: Any) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        fit(tmp_path, AtOnce(), LastCheckpoint())
    assert "Stopped after step 0, before there was anything to save" in capsys.readouterr().err


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_another_ctrl_c_stops_at_once(tmp_path: Path, first: int) -> None:
    with pytest.raises(Interrupted) as stopped:
        fit(tmp_path, Send(3, first, signal.SIGINT), LastCheckpoint())
    assert stopped.value.code == 128 + first
    assert not list(tmp_path.rglob("*.ckpt"))


def test_what_is_sent_twice_is_one_request(tmp_path: Path) -> None:
    """``timeout`` sends SIGTERM to its command, and then to the group that this is in."""
    with pytest.raises(Interrupted) as stopped:
        fit(tmp_path, Send(3, signal.SIGTERM, signal.SIGTERM, signal.SIGHUP), LastCheckpoint())
    assert stopped.value.code == 128 + signal.SIGTERM
    assert saved(tmp_path)["global_step"] == 3


def test_what_comes_in_the_last_validation_stops_after_the_end_of_training(tmp_path: Path, capsys: Any) -> None:
    class InTheLastValidation(Callback):
        def on_validation_end(self, trainer: Any, *args: Any) -> None:
            if trainer.global_step == 10:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted) as stopped:
        fit(tmp_path, InTheLastValidation(), LastCheckpoint())
    assert stopped.value.code == 128 + signal.SIGTERM
    assert saved(tmp_path)["global_step"] == 10
    assert "Stopped after step 10; resume with" in capsys.readouterr().err


def test_after_training_signals_are_those_of_before(tmp_path: Path) -> None:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    fit(tmp_path, LastCheckpoint())
    assert {number: signal.getsignal(number) for number in NUMBERS} == before


# -- whole or not at all -----------------------------------------------------------------------------------------------
def test_an_interrupted_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(WHOLE, path)

    def half(checkpoint: Any, file: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        AtomicCheckpointIO().save_checkpoint({"mtl_lightning": 2}, path)
    assert AtomicCheckpointIO().load_checkpoint(path) == WHOLE
    assert [each.name for each in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_checkpoint_is_written_beside_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A move within a folder is one operation of the file system; from another folder it may be a copy."""
    seen = []
    monkeypatch.setattr(torch, "save", lambda checkpoint, file: seen.append(Path(file.name)))
    AtomicCheckpointIO().save_checkpoint({}, tmp_path / "new" / "last.ckpt")
    assert [each.parent for each in seen] == [tmp_path / "new"] and seen[0].name != "last.ckpt"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"text\n"])
def test_a_broken_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.ckpt").write_bytes(content)
    (tmp_path / "best.ckpt").touch()
    said = r"broken\.ckpt is not a readable checkpoint \(.*\); is it complete\? Others of this run: .*/best\.ckpt$"
    with pytest.raises(UserError, match=said):
        fit(tmp_path, checkpoint=tmp_path / "broken.ckpt")


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2]])
def test_a_foreign_checkpoint_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "foreign.ckpt")
    with pytest.raises(UserError, match=r"foreign\.ckpt was not written by mtl_lightning"):
        fit(tmp_path, checkpoint=tmp_path / "foreign.ckpt")


# -- what is counted ---------------------------------------------------------------------------------------------------
def test_how_often_a_data_set_was_seen_is_logged(tmp_path: Path) -> None:
    trainer = fit(tmp_path, LastCheckpoint())
    assert float(trainer.callback_metrics["train/epochs/points"]) == 2.0
    (exposure,) = [each for each in trainer.callbacks if isinstance(each, Exposure)]
    assert exposure.state_dict() == {"seen": {"points": 40}}
    last = tmp_path / "checkpoints" / "last.ckpt"
    goes_on = fit(tmp_path, LastCheckpoint(), checkpoint=last, max_epochs=3)
    assert float(goes_on.callback_metrics["train/epochs/points"]) == 3.0
