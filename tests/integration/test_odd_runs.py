"""Runs that are small or lopsided: one task, tasks out of alphabetical order, steps without labels, schedulers."""

import json
from pathlib import Path

import pytest
import torch
import yaml

import mtl_lightning
from mtl_lightning.__main__ import main

CONFIG = """\
model:
  encoder: {class_path: PerceptronEncoder, init_args: {in_features: 3, hidden: [4]}}
  tasks: {zeta: Regression, alpha: SequenceClassification}
data:
  datasets:
    d:
      class_path: FileSource
      init_args:
        files: {train: d.jsonl, val: d.jsonl}
        inputs: {features: f}
        labels: {zeta: y, alpha: x}
  batch_size: 4
trainer:
  max_epochs: 2
  accelerator: cpu
  log_every_n_steps: 1
  enable_progress_bar: false
  enable_model_summary: false
  default_root_dir: run
wandb: "off"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = yaml.safe_load(CONFIG)
    rows = [{"f": [i, 1, 2], "x": "pq"[i % 2], "y": i} for i in range(20)]

    def write(rows=rows, **changes):
        (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        for key, value in changes.items():
            section, name = key.split("__")
            config[section][name] = value
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        return config

    return write


def test_tasks_out_of_alphabetical_order_come_back_from_a_checkpoint(folder, tmp_path):
    folder()
    assert main(["fit", "--config", "config.yaml", "--json=fit.json"]) == 0
    assert main(["validate", "--ckpt_path=run", "--json=again.json"]) == 0
    assert json.loads(Path("again.json").read_text()) == json.loads(Path("fit.json").read_text())
    assert list(mtl_lightning.load("run/checkpoints/best.ckpt").tasks) == ["zeta", "alpha"]


def test_one_task(folder):
    config = folder(model__tasks={"zeta": "Regression"})
    config["data"]["datasets"]["d"]["init_args"]["labels"] = {"zeta": "y"}
    Path("config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    assert main(["fit", "--config", "config.yaml", "--json=fit.json"]) == 0
    assert set(json.loads(Path("fit.json").read_text())) == {"zeta", "average"}


def test_steps_without_any_label(folder):
    rows = [{"f": [i, 1, 2], "x": "pq"[i % 2] if i < 2 else None, "y": i if i < 2 else None} for i in range(20)]
    folder(rows)
    assert main(["fit", "--config", "config.yaml"]) == 0
    checkpoint = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 10


def test_a_second_run_does_not_overwrite_the_first(folder, capsys):
    folder()
    assert main(["fit", "--config", "config.yaml"]) == 0
    before = Path("run/checkpoints/best.ckpt").read_bytes()
    assert main(["fit", "--config", "config.yaml"]) == 2
    assert "run holds the checkpoints of a run" in capsys.readouterr().err
    assert Path("run/checkpoints/best.ckpt").read_bytes() == before


def test_without_a_validation_the_last_checkpoint_stands_in(folder, capsys):
    folder()
    assert main(["fit", "--config", "config.yaml", "--trainer.max_steps=2"]) == 0
    assert main(["validate", "--ckpt_path=run"]) == 0
    assert "using last.ckpt" in capsys.readouterr().err


@pytest.mark.parametrize(
    "scheduler",
    [
        {"class_path": "torch.optim.lr_scheduler.OneCycleLR", "init_args": {"max_lr": 0.01}},
        {"class_path": "ReduceLROnPlateau", "init_args": {"mode": "max"}},  # Lightning has a class of this name, too
        {"class_path": "StepLR", "init_args": {"step_size": 2}},
    ],
    ids=lambda scheduler: scheduler["class_path"].split(".")[-1],
)
def test_schedulers_of_torch(folder, scheduler):
    folder(model__lr_scheduler=scheduler, model__optimizer={"class_path": "SGD", "init_args": {"lr": 0.01}})
    assert main(["fit", "--config", "config.yaml"]) == 0


MISTAKES = {
    "plateau": (["--model.lr_scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau"], "set `mode: max`"),
    "name of two classes": (["--model.lr_scheduler=ReduceLROnPlateau", "--model.lr_scheduler.mod=max"], "mean 'mode'"),
    "learning rate": (
        ["--model.optimizer=AdamW", "--model.optimizer.lr=-1"],
        "model.optimizer: Invalid learning rate: -1",
    ),
    "warm-up": (["--model.lr_scheduler=WarmupDecay", "--model.lr_scheduler.warmup=2"], "warmup must be a fraction"),
    "workers": (["--data.num_workers=-1"], "data.num_workers must be from 0 to "),
    "too many workers": (["--data.num_workers=100000"], "data.num_workers must be from 0 to "),
    "monitor": (["--checkpoint.monitor=val/foo"], "val/foo"),
    "overfit": (["--trainer.overfit_batches=2"], "trainer.overfit_batches"),
    "not logged in": (["--wandb=online"], "run `wandb login`"),
}


@pytest.mark.parametrize(("flags", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_that_show_late_are_one_line_too(folder, capsys, monkeypatch, flags, expected):
    monkeypatch.setenv("NETRC", "nowhere")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    folder()
    assert main(["fit", "--config", "config.yaml", *flags]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert expected in line


def test_validate_without_a_checkpoint_is_refused(folder, capsys):
    folder()
    assert main(["validate", "--config", "config.yaml"]) == 2
    assert "validate needs `--ckpt_path`" in capsys.readouterr().err
