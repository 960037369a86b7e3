"""A run is resumed by its folder alone, with the configuration that it had."""

from pathlib import Path

import pytest
import tiny
import torch
import yaml

from mtl_lightning.__main__ import main


@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)
    assert tiny.fit("run", "--evaluate=none", "--model.weighting=FAMO") == 0


@pytest.mark.parametrize("checkpoint", ["run", "run/checkpoints/last.ckpt"])
def test_a_folder_or_file_suffices_to_resume(checkpoint):
    assert main(["fit", f"--ckpt_path={checkpoint}", "--trainer.max_epochs=3"]) == 0
    saved = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    assert saved["epoch"] == 3
    config = yaml.safe_load(Path("run/config.yaml").read_text())
    assert config["model"]["weighting"]["class_path"].endswith("FAMO") and config["trainer"]["max_epochs"] == 3


def test_a_wrong_flag_is_said_of_the_flag(capsys):
    assert main(["fit", "--ckpt_path=run", "--trainer.max_epoch=3"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_a_folder_without_a_run_is_one_line(capsys):
    assert main(["fit", "--ckpt_path=nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: ckpt_path: no file or folder nowhere")


def test_further_tasks_are_refused_with_the_way_to_have_them(capsys):
    options = ["--model.tasks.tags=MultiLabelClassification", "--data.datasets.d.labels={tags: z}"]
    assert main(["fit", "--ckpt_path=run", "--trainer.max_epochs=3", *options]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: the checkpoint's tasks are cls, reg; the config's are cls, reg, tags")
    assert "--init_from" in said
