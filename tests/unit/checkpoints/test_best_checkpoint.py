"""'Best' is what `--checkpoint.monitor` says, of the whole run, whatever its file is called and wherever it is."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from lightning.pytorch import Callback

from mtl_lightning.__main__ import main
from mtl_lightning.checkpoints import find_checkpoint
from mtl_lightning.errors import UserError

LONG = ("--trainer.max_epochs=5", "--model.optimizer.lr=0.3")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: Any) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path, chance=True)
    return tmp_path


def measured(folder: str, monitor: str = "val/average") -> list[float]:
    """The scores of all validations of a run, in the order of its parts."""
    logs = [*sorted(Path(folder).glob("metrics.*.csv")), Path(folder, "metrics.csv")]
    rows = [row for log in logs for row in csv.DictReader(log.read_text().splitlines())]
    return [float(row[monitor]) for row in rows if row.get(monitor)]


def evaluated(folder: str) -> dict[str, Any]:
    assert main(["validate", f"--ckpt_path={folder}", "--json=again.json"]) == 0
    found: dict[str, Any] = json.loads(Path("again.json").read_text())
    return found


WAYS = {
    "another callback": ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.save_top_k=-1"],
    "the two best": ["--checkpoint.save_top_k=2"],
    "scores in names": ["--checkpoint.save_top_k=-1", "--checkpoint.filename=e{epoch}-{val/average:.1f}"],
    "rounded scores in names": ["--checkpoint.filename=score{val/average:.0f}"],
    "elsewhere": ["--checkpoint.dirpath=elsewhere"],
    "parameters alone": ["--checkpoint.save_weights_only=true", "--checkpoint.save_last=true"],
}


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_table_json_and_folder_mean_the_same_checkpoint(options: list[str], capsys: Any) -> None:
    assert tiny.fit("run", *LONG, *options, "--json=fit.json") == 0
    found = json.loads(Path("fit.json").read_text())
    assert found["average"] == pytest.approx(max(measured("run")), rel=1e-6)
    assert evaluated("run") == found
    named = capsys.readouterr().out.split("--ckpt_path ")[1].split()[0]
    assert Path(named).resolve() == find_checkpoint("run", "run", last=False).resolve()


def test_the_lowest_loss_can_be_the_best() -> None:
    monitor = ["--checkpoint.monitor=val/reg/loss", "--checkpoint.mode=min"]
    assert tiny.fit("run", *LONG, *monitor, "--json=fit.json") == 0
    assert evaluated("run")["reg"]["loss"] == pytest.approx(min(measured("run", "val/reg/loss")), rel=1e-6)


def test_a_save_that_falls_due_between_validations_waits_for_a_score(capsys: Any) -> None:
    assert tiny.fit("run", *LONG, "--checkpoint.every_n_train_steps=3", "--checkpoint.save_top_k=-1") == 0
    saved = {torch.load(path, weights_only=True)["global_step"] for path in Path("run/checkpoints").glob("best*.ckpt")}
    assert saved == {4, 8, 12, 16, 20}  # of four steps an epoch, each has one that falls due
    record = json.loads(Path("run/checkpoints/best.json").read_text())
    assert record["score"] == pytest.approx(max(measured("run")), rel=1e-6)


@pytest.mark.parametrize("where", ["the same folder", "renamed", "another folder"])
def test_after_a_resume_it_is_the_best_of_the_whole_run(where: str) -> None:
    assert tiny.fit("run", *LONG, "--trainer.max_epochs=3", "--evaluate=none") == 0
    best = max(measured("run"))
    source, target = ("run", "run") if where == "the same folder" else ("run", "later")
    if where == "renamed":
        source = str(shutil.move("run", "later"))
    assert tiny.fit(target, *LONG, f"--ckpt_path={source}", "--json=fit.json") == 0
    assert max(measured(target)[-2:]) < best, "the rest of the run was to be worse"
    assert evaluated(target) == json.loads(Path("fit.json").read_text())
    assert json.loads(Path("fit.json").read_text())["average"] == pytest.approx(best, rel=1e-6)


def test_a_best_checkpoint_that_is_gone_is_said(caplog: Any) -> None:
    assert tiny.fit("run", "--trainer.max_epochs=1", "--evaluate=none") == 0
    Path("run/checkpoints/best.ckpt").unlink()
    with pytest.raises(
        UserError, match=r"was run/checkpoints/best.ckpt, which is gone; name another: run/checkpoints/last.ckpt"
    ):
        find_checkpoint("run", "run", last=False)
    assert tiny.fit("run", "--ckpt_path=run", "--json=fit.json") == 0
    assert "best.ckpt, is gone: a new one will be chosen" in caplog.text


class RemovesTheBest(Callback):
    """Somebody who tidies up too early."""

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        Path("run/checkpoints/best.ckpt").unlink()


def test_a_best_checkpoint_that_goes_during_training_loses_no_result(caplog: Any, capsys: Any) -> None:
    assert tiny.fit("run", f"--trainer.callbacks+={__name__}.RemovesTheBest", "--json=fit.json") == 0
    assert "The best checkpoint, run/checkpoints/best.ckpt, is gone: the last model is evaluated" in caplog.text
    printed = capsys.readouterr().out
    assert "Model at the end of training on the validation split" in printed and "Test it" not in printed
    assert json.loads(Path("fit.json").read_text())["average"] is not None


def test_a_checkpoint_of_version_0_1_brings_its_best_along() -> None:
    assert tiny.fit("run", *LONG, "--trainer.max_epochs=3", "--evaluate=none") == 0
    path = Path("run/checkpoints/last.ckpt")
    checkpoint = torch.load(path, weights_only=True)
    (key,) = [key for key in checkpoint["callbacks"] if key.startswith("BestCheckpoint")]
    state = checkpoint["callbacks"].pop(key)
    del state["deferred"]
    lightning = {"monitor": "val/average", "mode": "max", "every_n_train_steps": 0, "every_n_epochs": 1}
    checkpoint["callbacks"][f"ModelCheckpoint{lightning | {'train_time_interval': None}!r}"] = state
    torch.save(checkpoint, path)
    Path("run/checkpoints/best.json").unlink()
    assert tiny.fit("run", *LONG, "--ckpt_path=run", "--json=fit.json") == 0
    best = json.loads(Path("fit.json").read_text())["average"]
    assert best == pytest.approx(state["best_model_score"].item(), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "title"),
    [
        (["--checkpoint.save_top_k=0"], "Model at the end of training"),
        (["--trainer.enable_checkpointing=false"], "Model at the end of training"),
        (["--trainer.max_steps=2"], "Model at the end of training"),
        (["--checkpoint.monitor=null"], "Newest checkpoint"),
    ],
    ids=["none kept", "no checkpoints", "never validated", "nothing monitored"],
)
def test_without_a_best_checkpoint_the_newest_parameters_are_evaluated(
    options: list[str], title: str, capsys: Any, caplog: Any
) -> None:
    assert tiny.fit("run", *options, "--json=fit.json") == 0
    assert title in " ".join(capsys.readouterr().out.split())
    assert ("This run has no best checkpoint: val/average was never measured" in caplog.text) == ("steps" in options[0])
    assert json.loads(Path("fit.json").read_text())["average"] is not None
    if Path("run/checkpoints").exists():
        assert evaluated("run") == json.loads(Path("fit.json").read_text())


def test_no_run_is_resumed_from_parameters_alone(capsys: Any) -> None:
    assert tiny.fit("run", "--checkpoint.save_weights_only=true", "--evaluate=none") == 0
    assert tiny.fit("run", "--ckpt_path=run/checkpoints/best.ckpt") == 2
    assert "holds the parameters alone; resume from last.ckpt, or start with --init_from" in capsys.readouterr().err


def test_nothing_to_evaluate_is_said(caplog: Any) -> None:
    assert tiny.fit("run", "--trainer.limit_val_batches=0", "--json=fit.json") == 0
    assert "trainer.limit_val_batches is 0: nothing is evaluated, and fit.json is not written" in caplog.text


def test_a_callback_that_would_overwrite_it_is_refused(capsys: Any) -> None:
    other = ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.filename=best"]
    assert tiny.fit("run", *other) == 2
    assert "best.ckpt, which is written anyway; give it another `filename`" in capsys.readouterr().err


def test_the_newest_run_of_a_name() -> None:
    for folder in ("runs/run/1", "runs/run/2"):
        assert tiny.fit(folder, "--evaluate=none", "--checkpoint.filename=top") == 0
    assert find_checkpoint("best", "run", last=True) == Path("runs/run/2/checkpoints/top.ckpt")
    assert find_checkpoint("last", "run", last=False) == Path("runs/run/2/checkpoints/last.ckpt")
    with pytest.raises(UserError, match="no run under runs/other has a best checkpoint; `--name`: choose from run"):
        find_checkpoint("best", "other", last=False)
    with pytest.raises(UserError, match=r"folder runs/run has no last.ckpt .*; the newest run in it is runs/run/2"):
        find_checkpoint("runs/run", "other", last=True)
