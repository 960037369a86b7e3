"""Runs with an inner loop: what trains, what is kept, and what is refused."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import yaml

from mtl_lightning.__main__ import main

CONFIG: dict[str, Any] = {
    **tiny.CONFIG,
    "model": {
        "encoder": {"class_path": "PerceptronEncoder", "init_args": {"in_features": 2, "hidden": [4]}},
        "tasks": {
            "kind": {"class_path": "FewShotClassification", "init_args": {"ways": 2}},
            "size": {"class_path": "Regression", "init_args": {"mean": 0.0, "std": 1.0, "dropout": 0.0}},
        },
        "inner_loop": {"class_path": "MAML", "init_args": {"lr": 0.1, "steps": 2}},
        "optimizer": {"class_path": "AdamW", "init_args": {"lr": 0.01}},
    },
    "data": {
        "datasets": {
            name: {
                "class_path": "FileSource",
                "init_args": {
                    "files": {"train": "train.jsonl", "val": "val.jsonl"},
                    "inputs": {"features": "f"},
                    "labels": {task: task},
                },
            }
            for name, task in (("kinds", "kind"), ("sizes", "size"))
        },
        "episodes": {
            "kinds": {"ways": 2, "shots": 1, "queries": 2, "evaluated": 5, "per_epoch": 6},
            "sizes": {"shots": 3, "queries": 3, "within": "group", "evaluated": 5, "per_epoch": 6},
        },
        "batch_size": 2,
        "num_workers": 0,
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, draw = tmp_path_factory.mktemp("episodes"), random.Random(1)
    for split, kinds in (("train", "abcd"), ("val", "ef")):
        rows = [
            {"f": [draw.gauss(ord(kind) % 3, 1), draw.gauss(0, 1)], "kind": kind, "group": i % 3, "size": draw.random()}
            for i, kind in enumerate(kinds * (6 if split == "train" else 12))
        ]
        tiny.write_rows(folder / f"{split}.jsonl", rows)
    return folder


@pytest.fixture(autouse=True)
def inside(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in data.iterdir():
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    configure()


def configure(**changes: Any) -> None:
    """Writes the configuration, with changes by dotted key; null removes one."""
    config = copy.deepcopy(CONFIG)
    for key, value in changes.items():
        *path, last = key.split(".")
        place = config
        for name in path:
            place = place[name]
        if value is None:
            del place[last]
        else:
            place[last] = value
    Path("config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def parameters(run: str) -> dict[str, torch.Tensor]:
    return torch.load(f"{run}/checkpoints/last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("loop", ["MAML", "FOMAML", "ANIL", "MetaSGD", "Reptile"])
def test_a_run_that_goes_on_is_the_same_to_the_bit(loop: str) -> None:
    option = f"--model.inner_loop={loop}"
    assert tiny.fit("whole", option) == 0
    tiny.interrupted(option)
    names = tiny.check_same_states()
    assert any(name.startswith("inner_loop.rates.") for name in names) == (loop == "MetaSGD")


def test_a_run_that_goes_on_in_mid_epoch_reads_the_episodes_that_are_left() -> None:
    option = "--trainer.check_val_every_n_epoch=2"
    assert tiny.fit("whole", option) == 0
    assert tiny.fit("part", option, "--trainer.max_steps=4") == 0  # of two epochs of three
    assert tiny.fit("part", option, "--ckpt_path=part") == 0
    tiny.check_same_states()


def test_episodes_that_adapt_at_once_train_as_they_do_one_by_one() -> None:
    assert tiny.fit("one") == 0
    assert tiny.fit("once", "--model.inner_loop.vectorized=true") == 0
    one, once = parameters("one"), parameters("once")
    for name, value in ((name, value) for name, value in one.items() if isinstance(value, torch.Tensor)):
        torch.testing.assert_close(once[name], value, rtol=1e-4, atol=1e-6)
    assert tiny.logged("one") >= {"val/kind/accuracy_interval", "val/size/loss_interval", "train/loss/kind"}


def test_a_weighting_compares_the_tasks_gradients_through_the_inner_loop() -> None:
    assert tiny.fit("plain", "--trainer.max_epochs=1") == 0
    assert tiny.fit("pcgrad", "--trainer.max_epochs=1", "--model.weighting=PCGrad") == 0
    assert any(name.startswith("train/gradient/") for name in tiny.logged("pcgrad"))
    assert parameters("plain").keys() == parameters("pcgrad").keys()


@pytest.mark.parametrize("loop", ["MAML", "Reptile"])
def test_parameters_are_perturbed_for_each_task_around_the_inner_loop(loop: str) -> None:
    """SAMO's probes take a loss without a graph, for which the inner loop needs one."""
    options = ["--trainer.max_epochs=1", f"--model.inner_loop={loop}", "--model.weighting=SAMO"]
    assert tiny.fit("samo", *options, "--model.weighting.rho=0.1") == 0
    assert any(name.startswith("train/gradient/") for name in tiny.logged("samo"))


def test_rates_that_are_learnt_move() -> None:
    assert tiny.fit("run", "--model.inner_loop=MetaSGD", "--trainer.max_epochs=1") == 0
    rates = {name: value for name, value in parameters("run").items() if name.startswith("inner_loop.")}
    assert rates.keys() >= {"inner_loop.rates.encoder/layers/0/weight", "inner_loop.rates.heads/kind/head/weight"}
    assert all((value != 0.01).any() for value in rates.values())


def test_an_evaluation_of_a_checkpoint_is_that_of_the_run() -> None:
    assert tiny.fit("run", "--evaluate=val", "--json=run.json") == 0
    assert main(["validate", "--ckpt_path", "run/checkpoints/best.ckpt", "--json=again.json", "--wandb=off"]) == 0
    ours, again = (json.loads(Path(name).read_text()) for name in ("run.json", "again.json"))
    assert ours == again
    assert set(ours["kind"]) == {"accuracy", "loss", "accuracy_interval", "loss_interval"}


def test_batch_normalisation_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    images = {"class_path": "torch_norm.Normed", "init_args": {"in_features": 2}}
    Path("torch_norm.py").write_text(
        "from torch import nn\n"
        "from mtl_lightning.encoders import PerceptronEncoder\n"
        "class Normed(PerceptronEncoder):\n"
        "    def __init__(self, in_features: int) -> None:\n"
        "        super().__init__(in_features, [4])\n"
        "        self.layers.append(nn.BatchNorm1d(4))\n"
    )
    configure(**{"model.encoder": images})
    assert tiny.fit("run", "--trainer.max_epochs=1") == 0
    assert caplog.text.count("has batch normalisation") == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.inner_loop": None}, "model.tasks.kind: FewShotClassification learns the classes of an episode by"),
        ({"data.episodes": {}}, "data.episodes.kinds: task 'kind' that it labels has the classes of an episode"),
        ({"data.episodes.nobody": {"shots": 1, "queries": 1}}, "data.episodes names the unknown data set 'nobody'"),
        ({"data.episodes.kinds.ways": 3}, "data.episodes.kinds.ways must be 2, as of the task 'kind'"),
        ({"data.episodes.kinds.shots": 0}, "`shots` must be at least 1, found 0"),
        ({"data.episodes.kinds.shots": 5}, "needs 2 classes (`ways`) with 5 + 2 (`shots` + `queries`) examples each"),
        ({"data.episodes.sizes.within": "user"}, "data.episodes.sizes.within: the data has no column 'user'"),
        ({"data.episodes.sizes.ways": 2}, "data.episodes.sizes.ways: the data set labels no few-shot task"),
        ({"model.inner_loop.init_args.parameters": "lora*"}, "'lora*' matches no parameter that trains"),
        ({"model.compile_encoder": True}, "model.inner_loop does not go with model.compile_encoder"),
        (
            {"model.gradient_of": "features", "model.weighting": "PCGrad"},
            "does not go with model.gradient_of: features",
        ),
        ({"data.datasets.kinds.init_args.files": {"val": "val.jsonl"}}, "data.datasets.kinds has no split 'train'"),
    ],
)
def test_what_cannot_work_is_refused_in_a_line(
    changes: dict[str, Any], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    configure(**changes)
    assert tiny.fit("run") == 2
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert message in said[0]


def test_an_inner_loop_without_episodes_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    configure(**{"data.episodes": None, "data.datasets.kinds": None, "model.tasks.kind": None})
    assert tiny.fit("run") == 2
    assert "model.inner_loop adapts to episodes, but `data.episodes` names no data set" in capfd.readouterr().err
