"""What a callback or scheduler monitors: a misspelt name is refused at once, and a score is used when it is new."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from lightning.pytorch import Callback

from mtl_lightning.training.monitors import check_monitor

EARLY = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.mode=max"]
PLATEAU = ["--model.lr_scheduler=lightning.pytorch.cli.ReduceLROnPlateau", "--model.lr_scheduler.patience=0"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)


class Own(Callback):
    """A callback that this project does not know."""


MISSPELT = {
    "early stopping": ([*EARLY, "--trainer.callbacks.monitor=val/cls/acc"], "EarlyStopping.monitor", "cls/accuracy"),
    "another project's name": ([*EARLY, "--trainer.callbacks.monitor=val_loss"], "EarlyStopping.monitor", "reg/loss"),
    "checkpoints": (["--checkpoint.monitor=val/cls/acc"], "flag --checkpoint.monitor", "cls/accuracy"),
    "file names": (["--checkpoint.filename={val/avg:.2f}"], "flag --checkpoint.filename", "average"),
    "plateau": ([*PLATEAU, "--model.lr_scheduler.monitor=val/reg/los"], "--model.lr_scheduler.monitor", "reg/loss"),
}


@pytest.mark.parametrize(("options", "key", "nearest"), MISSPELT.values(), ids=MISSPELT)
def test_a_misspelt_monitor_is_one_line_before_training(
    options: list[str], key: str, nearest: str, capsys: Any
) -> None:
    assert tiny.fit("run", *options) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert f"{key}: nothing is logged as" in line
    assert f"did you mean 'val/{nearest}'?" in line
    assert not Path("run/checkpoints").exists()


def test_a_monitor_without_validation_is_refused(capsys: Any) -> None:
    assert tiny.fit("run", *EARLY, "--trainer.callbacks.monitor=val/average", "--trainer.limit_val_batches=0") == 2
    assert "val/average is never measured, since trainer.limit_val_batches is 0" in capsys.readouterr().err


@pytest.mark.parametrize("monitor", ["val/average", "val/reg/loss", "train/loss"])
def test_what_a_run_logs_can_be_monitored(monitor: str) -> None:
    assert tiny.fit("run", *EARLY, f"--trainer.callbacks.monitor={monitor}", "--evaluate=none") == 0


def test_what_only_the_sharing_knows_is_not_compared_with_other_names(caplog: Any) -> None:
    trainer = SimpleNamespace(datamodule=None, callbacks=[])
    module: Any = SimpleNamespace(tasks={}, trained_tasks=["a"], trainer=trainer)
    check_monitor("key", "train/term/z_loss", module, set())
    assert not caplog.records
    check_monitor("key", "train/los/a", module, set())
    assert "did you mean 'train/loss/a'" in caplog.text


def test_fewer_than_two_tasks_that_can_be_right_are_right_together_nowhere(capsys: Any) -> None:
    assert tiny.fit("run", "--checkpoint.monitor=val/joint/d") == 2
    assert "nothing is logged as 'val/joint/d'" in capsys.readouterr().err


def test_a_callback_of_a_users_own_may_log_more(caplog: Any) -> None:
    monitor = ["--checkpoint.monitor=val/mine", f"--trainer.callbacks+={__name__}.Own", "--evaluate=none"]
    assert tiny.fit("run", *monitor) == 0
    assert "nothing is logged as 'val/mine'" in caplog.text


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], 3),
        (["--trainer.val_check_interval=0.5"], 6),
        (["--trainer.check_val_every_n_epoch=null", "--trainer.val_check_interval=5"], 2),
        (["--trainer.check_val_every_n_epoch=2"], 1),
    ],
    ids=["every epoch", "twice an epoch", "every five steps", "every other epoch"],
)
def test_a_plateau_is_looked_for_at_each_validation(options: list[str], expected: int) -> None:
    monitor = [*PLATEAU, "--model.lr_scheduler.monitor=val/reg/loss", "--trainer.max_epochs=3", "--evaluate=none"]
    assert tiny.fit("run", *monitor, *options) == 0
    checkpoint = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["lr_schedulers"][0]["last_epoch"] == expected
