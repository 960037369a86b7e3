"""Checkpoints written in the background equal those written at once, and fail before the next batch."""

import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from launch import assert_same
from lightning.pytorch import Callback
from test_last_checkpoint import Send, fit, saved

from mtl_lightning.callbacks import Interrupted, LastCheckpoint
from mtl_lightning.checkpoints import AtomicCheckpointIO, BackgroundCheckpointIO
from mtl_lightning.cli.ending import Ending
from mtl_lightning.writing import CannotWriteError


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Nothing is written until this is set."""
    going_on, save = threading.Event(), torch.save
    monkeypatch.setattr(torch, "save", lambda *args: (going_on.wait(60), save(*args)))
    return going_on


def test_later_steps_do_not_change_what_is_written(tmp_path: Path, slow: threading.Event) -> None:
    weights = torch.arange(6.0).view(2, 3)
    state = {"state_dict": {"a": weights, "tied": weights, "t": weights.t()[1:]}, "list": [1], "empty": torch.empty(0)}
    io = BackgroundCheckpointIO()
    io.save_checkpoint(state, tmp_path / "a.ckpt")
    removed: list[bool] = []
    io.after(lambda: removed.append((tmp_path / "a.ckpt").is_file()))
    io.check()
    weights.zero_()
    state["list"].append(2)  # type: ignore[union-attr]
    assert not (tmp_path / "a.ckpt").exists() and not removed
    slow.set()
    io.wait()
    found = torch.load(tmp_path / "a.ckpt")
    assert found["list"] == [1] and removed == [True] and found["empty"].shape == (0,)
    assert torch.equal(found["state_dict"]["t"], torch.arange(6.0).view(2, 3).t()[1:])
    assert found["state_dict"]["a"].data_ptr() == found["state_dict"]["tied"].data_ptr()
    io.save_checkpoint(state, tmp_path / "a.ckpt")
    io.teardown()
    assert torch.load(tmp_path / "a.ckpt")["state_dict"]["a"].sum() == 0


def test_a_run_saves_the_same_bitwise(tmp_path: Path) -> None:
    def run(name: str, **settings: Any) -> dict[str, Any]:
        fit(tmp_path / name, LastCheckpoint(every_n_steps=3), **settings)
        return saved(tmp_path / name)

    background, at_once = run("background", plugins=[BackgroundCheckpointIO()]), run("at once")
    for part in ("state_dict", "optimizer_states", "loops", "mtl_lightning"):
        assert_same(background[part], at_once[part], where=part)


def test_a_failure_ends_the_run_at_the_next_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Waits(Callback):
        def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
            steps.append(trainer.global_step)
            if io._writing is not None:
                io._writing.exception()  # waits until it has failed

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    steps: list[int] = []
    io = BackgroundCheckpointIO()
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CannotWriteError, match=r"last\.ckpt: No space left on device; free some space"):
        fit(tmp_path, Waits(), LastCheckpoint(every_n_steps=2), plugins=[io])
    assert steps == [1, 2, 3]
    assert AtomicCheckpointIO in type(io).__mro__ and io._writer is None


def test_a_job_is_requeued_when_its_checkpoint_is_in_its_place(
    tmp_path: Path, slow: threading.Event, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    class Waited(BackgroundCheckpointIO):
        def wait(self) -> None:
            if self._writing is not None:
                slow.set()  # nothing is written before somebody waits for it
            super().wait()

    def scontrol(*arguments: str) -> str:
        asked.append((arguments[0], saved(tmp_path)["global_step"]))
        return "BatchFlag=1 Requeue=1 JobState=RUNNING"

    asked: list[tuple[str, int]] = []
    monkeypatch.setattr("mtl_lightning.cluster.requeue._scontrol", scontrol)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    ending = Ending()
    ending.run_in(tmp_path, requeues=True)
    with pytest.raises(Interrupted) as stopped:
        fit(tmp_path, Send(3, signal.SIGUSR1), LastCheckpoint(), plugins=[Waited()])
    ending.of_stop(stopped.value)
    ending.requeue()
    assert asked == [("show", 3), ("requeue", 3)]
    said = capsys.readouterr().err
    assert said.index("Stopped after step 3; resume with") < said.index("job 7 is requeued (time limit)")
