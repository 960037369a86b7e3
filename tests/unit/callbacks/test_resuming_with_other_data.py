"""A checkpoint resumes with other data or batches only where what it has seen stays known."""

import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback
from test_last_checkpoint import Points, Send, fit

from mtl_lightning.callbacks import Interrupted, LastCheckpoint
from mtl_lightning.checkpoints.io import AtomicCheckpointIO
from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.data.cuts import LENT, NUMBER, refuse_other_data
from mtl_lightning.data.position import Position
from mtl_lightning.data.stretches import Stretch
from mtl_lightning.errors import UserError


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(Interrupted):
        fit(folder, Send(3, signal.SIGTERM), LastCheckpoint())
    return folder / "checkpoints" / "last.ckpt"


CHANGES = {
    "data.seed was 0; it is 1": {"seed": 1},
    "the number of training examples was {'points': 20}; it is {'points': 19}": {"datasets": {"points": Points(19)}},
}


@pytest.mark.parametrize(("message", "change"), CHANGES.items(), ids=["seed", "data"])
def test_other_batches_in_mid_epoch_are_refused(tmp_path: Path, stopped: Path, message: str, change: Any) -> None:
    data = MultiTaskDataModule(**{"datasets": {"points": Points()}, "batch_size": 4, "num_workers": 0, **change})
    with pytest.raises(UserError) as refused:
        fit(tmp_path, LastCheckpoint(), checkpoint=stopped, data=data)
    assert f"saved in the middle of epoch 0, after 3 batches, and {message} now: set it back" in str(refused.value)


def cut(**changes: Any) -> dict[str, Any]:
    return {"num_replicas": 1, "batch_sizes": {"points": 4}, "start": 0, "stop": None, **changes}


DAMAGES = {
    "another data set": [cut(batch_sizes={"other": 4})],
    "no data set": [cut(batch_sizes={})],
    "no processes": [cut(num_replicas=0)],
    "more processes than examples": [cut(num_replicas=10**9)],
    "a start to come": [cut(start=4)],
    "a past without an end": [cut(), cut()],
    "a past that goes back": [cut(start=3, stop=1), cut()],
    "a past longer than an epoch": [cut(stop=6), cut()],
    "an end": [cut(stop=3)],
}


@pytest.mark.parametrize("stretches", DAMAGES.values(), ids=DAMAGES)
def test_an_epoch_that_cannot_be_is_refused(tmp_path: Path, stopped: Path, stretches: list[dict[str, Any]]) -> None:
    checkpoint = AtomicCheckpointIO().load_checkpoint(stopped)
    checkpoint["MultiTaskDataModule"]["stretches"] = stretches
    AtomicCheckpointIO().save_checkpoint(checkpoint, tmp_path / "damaged.ckpt")
    with pytest.raises(UserError, match="saved in an epoch that these data cannot have; is it damaged"):
        fit(tmp_path, LastCheckpoint(), checkpoint=tmp_path / "damaged.ckpt")


@pytest.mark.parametrize(("name", "replicas"), [(NUMBER, 1), (NUMBER, 2), (LENT, 1), (LENT, 2)])
def test_batches_may_be_others_only_where_they_are_cut_in_another_way(name: str, replicas: int) -> None:
    """Of other lengths of the same examples, which `data.max_tokens` cuts into more batches, say."""
    last, now = Stretch(replicas, {"points": 4}), Stretch(1, {"points": 4})
    call = partial(refuse_other_data, {name: {"points": 5}}, {name: {"points": 6}}, Position(0, 3), [last], now)
    if (name, replicas) == (NUMBER, 1):
        with pytest.raises(UserError, match=f"{name} was {{'points': 5}}; it is {{'points': 6}} now: set it back"):
            call()
    else:
        call()


class Rows(Callback):
    """What was read, by epoch."""

    def __init__(self) -> None:
        self.of_epoch: dict[int, list[int]] = {}

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.of_epoch.setdefault(trainer.current_epoch, []).extend(batch["points"].examples)


def test_other_batches_in_mid_epoch_show_what_was_not_seen(
    tmp_path: Path, stopped: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = MultiTaskDataModule({"points": Points()}, batch_size=5, num_workers=0)
    record = Rows()
    trainer = fit(tmp_path, record, LastCheckpoint(), checkpoint=stopped, data=data)
    assert "saved after 3 of 5 batches of epoch 0, 4 examples a batch on 1 process; now 5 examples" in caplog.text
    assert "continues at batch 2 of 4 with the examples that it has not seen" in caplog.text
    rest, whole = record.of_epoch[0], record.of_epoch[1]
    assert len(rest) == len(set(rest)) == 8 and sorted(whole) == list(range(20))
    assert trainer.global_step == 3 + 2 + 4


def test_other_batches_after_an_epoch_are_no_matter(tmp_path: Path) -> None:
    fit(tmp_path, LastCheckpoint(), max_epochs=1)
    data = MultiTaskDataModule({"points": Points()}, batch_size=10, num_workers=0)
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert fit(tmp_path, LastCheckpoint(), checkpoint=last, data=data).global_step == 5 + 2
