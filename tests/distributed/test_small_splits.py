"""Two processes of which one has nothing to read: evaluation, and prediction, where every input is a line."""

import json

import launch
import pytest
from forked import Forked

import mtl_lightning
from mtl_lightning.cli.trainer import Trainer
from mtl_lightning.data import FileSource, MultiTaskDataModule

CONFIG = """\
model:
  encoder:
    class_path: TransformerEncoder
    init_args:
      tokenizer: characters:ascii
      max_length: 16
      config: {model_type: bert, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 8}
  tasks:
    kind: SequenceClassification   # of two labels: its AUROC keeps all scores
    score: Regression
    flags: MultiLabelClassification
data:
  datasets:
    d:
      class_path: FileSource
      init_args:
        files: {train: train.jsonl, val: one.jsonl}
        inputs: {text: text}
        labels: {kind: kind, score: score, flags: flags}
  batch_size: 4
trainer:
  max_epochs: 1
  accelerator: cpu
  enable_progress_bar: false
  enable_model_summary: false
wandb: "off"
"""
ROWS = [{"text": f"text {i}", "kind": "pq"[i % 2], "score": i / 3, "flags": ["u", "v"][: i % 3]} for i in range(9)]
QUIET = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


TWO = ("--trainer.devices=2", "--trainer.strategy=ddp")


def checked(started):
    ended = started.finish()
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]
    return ended


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    (folder / "config.yaml").write_text(CONFIG)
    for name, rows in (("train", ROWS), ("one", ROWS[4:5])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fit = ("fit", "--config=config.yaml", "--trainer.default_root_dir=run", "--json=val.json", *TWO)
    for started in launch.start(2, *fit, cwd=folder):
        checked(started)
    return folder


@pytest.fixture
def one(folder):
    """The same model and data on one process."""
    labels = {name: name for name in ("kind", "score", "flags")}
    source = FileSource({"val": "one.jsonl"}, {"text": "text"}, labels, root=str(folder))
    model = mtl_lightning.load(folder / "run" / "checkpoints" / "best.ckpt")
    return model, MultiTaskDataModule({"d": source}), Trainer(accelerator="cpu", **QUIET)


def test_a_single_example_is_evaluated(folder, one):
    model, data, trainer = one
    trainer.validate(model, data)
    found = json.loads((folder / "val.json").read_text())
    expected = model.results["val"].to_json()
    assert set(found) == set(expected) == {"kind", "score", "flags", "joint", "average"}
    for task in ("kind", "score", "flags"):
        assert found[task] == pytest.approx(expected[task], abs=1e-6), task


def test_standard_input_is_answered_in_its_order(folder, one):
    """Steps of two rows a process, the last of one row; what is refused stands before, between and after them."""
    texts = ["", "one", "two", "", "three", "four", " ", "five", ""]
    content = "".join(f"{text}\n" for text in texts)
    predict = ("predict", "--ckpt_path=run", "--data.eval_batch_size=2", *TWO)
    ended = checked(Forked(*predict, cwd=folder, input=content))
    (folder / "in.txt").write_text(content)
    model, data, trainer = one
    trainer.predict(model, data, input=str(folder / "in.txt"), output=str(folder / "out.jsonl"))
    expected = (folder / "out.jsonl").read_text().splitlines()
    for text, *lines in zip(texts, ended.stdout.splitlines(), expected, strict=True):
        found, wanted = map(json.loads, lines)
        assert (found["text"], found.get("reason")) == (text, wanted.get("reason"))
        if text.strip():
            assert set(found["predictions"]) == {"kind", "score", "flags"}
            for task, predicted in wanted["predictions"].items():
                for key, value in predicted.items():
                    close = value if key.startswith("label") else pytest.approx(value, abs=1e-6)
                    assert found["predictions"][task][key] == close, (task, key)
        else:
            assert found["predictions"] is None
