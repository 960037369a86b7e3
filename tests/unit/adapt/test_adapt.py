"""``adapt``: new tasks and new labels from a few examples, in every way, and what is refused."""

import json
import random
import statistics
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from closeness import close
from tiny import BERT

import mtl_lightning
from mtl_lightning.__main__ import main
from mtl_lightning.adapt import curve, examples
from mtl_lightning.checkpoints.io import AtomicCheckpointIO
from mtl_lightning.training.from_checkpoint import made
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.trust.imports import Imports

PERCEPTRON = {"class_path": "PerceptronEncoder", "init_args": {"in_features": 4, "hidden": [16]}}
KINDS = {"class_path": "SequenceClassification", "init_args": {"labels": ["p", "q"], "main_metric": "f1"}}
SIZE = {"class_path": "Regression", "init_args": {"mean": 0.0, "std": 1.0}}
POINTS = {
    "class_path": "FileSource",
    "init_args": {
        "files": {"train": "old.jsonl"},
        "inputs": {"features": "point"},
        "labels": {"kind": "kind", "size": "size"},
    },
}


def trained(path: Path, datasets: dict[str, Any] | None = None, **model: Any) -> MultiTaskModule:
    """A checkpoint of a model of random weights, as ``fit`` writes it."""
    config = {"encoder": PERCEPTRON, "tasks": {"kind": KINDS, "size": SIZE}, **model}
    module = made(MultiTaskModule, deepcopy(config), path, Imports(str(path), {}, (), ""))
    torch.manual_seed(1)
    module.build()
    module.keep_config({"model": config, "data": {"datasets": datasets or {"points": POINTS}}, "seed_everything": 3})
    AtomicCheckpointIO().save_checkpoint(module.contents(), path)
    return module.eval()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a few examples of three labels, and further ones."""
    monkeypatch.chdir(tmp_path)
    draw = random.Random(0)
    centres = {label: [draw.uniform(-4, 4) for _ in range(4)] for label in "abc"}
    for name, number in (("few", 6), ("more", 20)):
        rows = [
            {"point": [draw.gauss(mean, 0.3) for mean in centres[label]], "label": label, "much": i / 7}
            for label in "abc"
            for i in range(number)
        ]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def adapt(*flags: str) -> int:
    common = ["--ckpt_path", "old.ckpt", "--data", "few.jsonl", "--output", "new.ckpt"]
    return main(["adapt", *common, *flags])


def points(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{name}.jsonl").read_text().splitlines()]


def share_right(task: str) -> float:
    rows = points("more")
    found = mtl_lightning.load("new.ckpt").predict({"features": [row["point"] for row in rows]}, tasks=[task])
    return sum(each[task]["label"] == row["label"] for each, row in zip(found, rows, strict=True)) / len(rows)


def test_a_new_task_is_learnt_beside_the_others(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = trained(files / "old.ckpt")
    assert adapt("--task", "letter", "--label", "label", "--test", "more.jsonl", "--draws", "2", "--steps", "20") == 0
    assert share_right("letter") > 0.9
    new, columns = mtl_lightning.load("new.ckpt"), {"features": [row["point"] for row in points("few")]}
    assert list(new.tasks) == ["kind", "size", "letter"]
    assert new.predict(columns, tasks=["kind", "size"]) == old.predict(columns)
    report = json.loads(Path("new.json").read_text())
    assert [point["shots"] for point in report["curve"]] == [1, 2, 5] and report["chosen"]["parts"] == 18
    assert report["curve"][-1]["mean"] > 0.9 and len(report["curve"][0]["scores"]) == 2
    assert Path("new.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "18 examples of 3 labels" in said and "which predicts kind, size as well" in said


def test_the_means_of_the_classes_are_a_linear_head(files: Path) -> None:
    trained(files / "old.ckpt")
    assert adapt("--task", "letter", "--label", "label", "--by", "prototypes", "--shots", "none") == 0
    model, rows = mtl_lightning.load("new.ckpt"), points("few")
    features = model.encoder({"features": torch.tensor([row["point"] for row in rows])}).pooled.detach()
    means = torch.stack([features[6 * i : 6 * i + 6].mean(0) for i in range(3)])
    nearest = torch.cdist(features, means).argmin(-1)
    found = model.predict({"features": [row["point"] for row in rows]}, tasks=["letter"])
    assert [each["letter"]["label"] for each in found] == ["abc"[place] for place in nearest]
    assert json.loads(Path("new.json").read_text())["curve"] == []


def test_a_task_learns_new_labels_in_its_place(files: Path) -> None:
    trained(files / "old.ckpt")
    assert adapt("--task", "kind", "--label", "label", "--shots", "none", "--steps", "20") == 0
    model = mtl_lightning.load("new.ckpt")
    assert list(model.tasks) == ["size", "kind"] and model.tasks["kind"].main_metric == "f1"
    assert share_right("kind") > 0.9
    assert adapt("--task", "size", "--label", "much", "--shots", "2", "--draws", "2", "--steps", "5") == 0
    assert list(mtl_lightning.load("new.ckpt").tasks) == ["kind", "size"]


@pytest.mark.parametrize("way", ["lora", "inner_loop"])
def test_the_encoder_learns_too(files: Path, way: str) -> None:
    loop = {"class_path": "MAML", "init_args": {"lr": 0.5, "steps": 3}}
    old = trained(files / "old.ckpt", inner_loop=loop)
    steps = ["--steps", "10", "--lr", "0.05"] if way == "lora" else ["--steps", "8"]
    assert adapt("--task", "letter", "--label", "label", "--shots", "1", "--draws", "2", "--by", way, *steps) == 0
    new = mtl_lightning.load("new.ckpt")
    assert list(new.tasks) == ["letter"] and type(new.sharing).__name__ == "HardSharing"
    assert share_right("letter") > 0.6
    changed = [not torch.equal(a, b) for a, b in zip(old.encoder.parameters(), new.encoder.parameters(), strict=True)]
    assert any(changed)
    assert len(json.loads(Path("new.json").read_text())["curve"]) == 1


def test_means_are_taken_where_a_prototypical_task_takes_them(files: Path) -> None:
    task = {"class_path": "PrototypicalClassification", "init_args": {"embedding": 5}}
    old = trained(files / "old.ckpt", tasks={"any": task})
    assert adapt("--task", "letter", "--label", "label", "--by", "prototypes", "--shots", "none") == 0
    model, rows = mtl_lightning.load("new.ckpt"), points("few")
    assert list(model.tasks) == ["letter"]
    embedded = old.tasks["any"](old.encoder({"features": torch.tensor([row["point"] for row in rows])})).detach()
    means = torch.stack([embedded[6 * i : 6 * i + 6].mean(0) for i in range(3)])
    logits = model({"features": torch.tensor([row["point"] for row in rows])})["letter"].detach()
    distances = -torch.cdist(embedded, means).square()
    centred = distances - distances.mean(-1, keepdim=True)
    scale = json.loads(Path("new.json").read_text())["chosen"]["scale"]
    between = torch.cdist(embedded, embedded).square().sum() / (18 * 17)
    torch.testing.assert_close(logits - logits.mean(-1, keepdim=True), centred * scale / between, rtol=1e-4, atol=1e-4)


def test_features_of_a_task_are_read_where_each_has_its_own(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(files / "old.ckpt", sharing={"class_path": "LoRA", "init_args": {"rank": 2}})
    flags = ["--task", "letter", "--label", "label", "--shots", "none", "--steps", "5"]
    assert adapt(*flags) == 2
    assert "--like: under LoRA each task reads features of its own" in capsys.readouterr().err
    assert adapt(*flags, "--like", "kind") == 0
    assert list(mtl_lightning.load("new.ckpt").tasks) == ["kind", "letter"]


def test_labels_of_words_are_learnt_from_the_column_of_words(files: Path) -> None:
    tokens = {"class_path": "FileSource", "init_args": {"files": "x", "inputs": {"tokens": "words"}, "labels": {}}}
    text = {"class_path": "HubSource", "init_args": {"path": "x", "inputs": {"text": "review"}, "labels": {}}}
    config = {"class_path": "TransformerEncoder", "init_args": {"tokenizer": "characters:printable", "config": BERT}}
    trained(files / "old.ckpt", {"text": text, "words": tokens}, encoder=config)
    words = [["play", "jazz"], ["in", "rome"], ["play", "rock"], ["in", "oslo"]]
    rows = [
        {"review": "-", "words": each, "tags": ["verb" if each[0] == "play" else "place", "noun"]} for each in words
    ]
    Path("few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = ["--task", "tags", "--kind", "TokenClassification", "--steps", "10", "--shots", "2", "--draws", "2"]
    assert adapt(*flags) == 0
    found = mtl_lightning.load("new.ckpt").predict({"tokens": words}, tasks=["tags"])
    assert [len(each["tags"]["labels"]) for each in found] == [2, 2, 2, 2]


@pytest.mark.parametrize("label", ["label", "much"])
def test_examples_without_a_label_are_left_alone(files: Path, label: str) -> None:
    trained(files / "old.ckpt")
    rows = [{**row, label: None if place % 6 == 0 else row[label]} for place, row in enumerate(points("few"))]
    Path("few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    kind = ["--kind", "Regression"] if label == "much" else []
    flags = ["--label", label, *kind, "--shots", "2", "--draws", "2", "--steps", "5"]
    assert adapt("--task", "new", *flags) == 0
    report = json.loads(Path("new.json").read_text())
    assert report["examples"] == 15 and len(report["curve"][0]["scores"]) == 2


def test_rows_that_a_model_skips_are_said(files: Path, caplog: pytest.LogCaptureFixture) -> None:
    lenient = {**POINTS, "init_args": {**POINTS["init_args"], "on_bad_row": "skip"}}  # type: ignore[dict-item]
    trained(files / "old.ckpt", {"points": lenient})
    with open("few.jsonl", "a") as file:
        file.write('{"point": [1], "label": "a"}\n')
    assert adapt("--task", "letter", "--label", "label", "--shots", "none", "--steps", "2") == 0
    assert "skipped 1 of 19 rows" in caplog.text


def test_files_are_where_the_table_is(files: Path) -> None:
    trained(files / "old.ckpt")
    (files / "far").mkdir()
    rows = points("few")
    for place, row in enumerate(rows):
        np.save(files / "far" / f"{place}.npy", np.array(row["point"], np.float32))
    lines = [json.dumps({**row, "point": f"{place}.npy"}) for place, row in enumerate(rows)]
    (files / "far" / "few.jsonl").write_text("\n".join(lines))
    assert adapt("--task", "letter", "--label", "label", "--data", "far/few.jsonl", "--shots", "none") == 0
    assert share_right("letter") > 0.9


@pytest.mark.parametrize("output", ["few.ckpt", "old.ckpt"])
def test_nothing_that_is_read_is_written_over(files: Path, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    trained(files / "old.ckpt")
    Path("few.jsonl").rename("few.json")  # beside few.ckpt, the report would be called so
    before = Path("old.ckpt").read_bytes(), Path("few.json").read_bytes()
    assert adapt("--task", "letter", "--label", "label", "--data", "few.json", "--output", output) == 2
    assert "which is read from; give another name" in capsys.readouterr().err
    assert (Path("old.ckpt").read_bytes(), Path("few.json").read_bytes()) == before


def test_features_are_read_some_at_a_time(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(files / "old.ckpt")
    flags = ["--task", "letter", "--label", "label", "--test", "more.jsonl", "--shots", "2", "--draws", "2"]
    found = []
    for number in (7, 256):
        monkeypatch.setattr(examples, "_AT_ONCE", number)
        assert adapt(*flags, "--by", "prototypes") == 0
        found.append(json.loads(Path("new.json").read_text()))
    assert close(*found)


def test_the_same_seed_gives_the_same_model(files: Path) -> None:
    trained(files / "old.ckpt")
    states: list[Any] = []
    for _ in range(2):
        assert adapt("--task", "letter", "--label", "label", "--shots", "1", "--draws", "2", "--steps", "5") == 0
        states.append((mtl_lightning.load("new.ckpt").state_dict(), Path("new.json").read_text()))
    assert states[0][1] == states[1][1]
    assert all(
        torch.equal(value, states[1][0][name])
        for name, value in states[0][0].items()
        if isinstance(value, torch.Tensor)
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--task", "letter"], "--label: few.jsonl has no column 'letter'"),
        (["--task", "letter", "--label", "label", "--data", "none.jsonl"], "no file none.jsonl"),
        (["--task", "letter", "--label", "label", "--by", "magic"], "--by: unknown way 'magic'"),
        (["--task", "letter", "--label", "label", "--by", "inner_loop"], "trained without `model.inner_loop`"),
        (["--task", "letter", "--label", "label", "--kind", "Regresion"], "did you mean 'Regression'?"),
        (["--task", "much", "--kind", "Regression", "--by", "prototypes"], "only a SequenceClassification has classes"),
        (["--task", "letter", "--label", "label", "--shots", "0"], "--shots: give numbers from 1 on"),
        (["--task", "letter", "--label", "label", "--shots", "6"], "one must be left to be judged by"),
        (["--task", "letter", "--label", "label", "--draws", "1"], "--draws must be at least 2"),
        (["--task", "letter", "--label", "label", "--output", "folder"], "a local file that ends in .ckpt"),
        (["--task", "letter", "--label", "label", "--like", "nothing"], "--like"),
        (["--task", "letter", "--label", "label", "--data", "other.jsonl"], "the model reads 'point'"),
    ],
)
def test_mistakes_are_said_in_one_line(
    files: Path, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(files / "old.ckpt")
    Path("other.jsonl").write_text('{"place": [1, 2, 3, 4], "label": "a"}\n')
    assert adapt(*flags) == 2
    captured = capsys.readouterr()
    assert said in captured.err.splitlines()[-1] and captured.err.count("error: ") == 1
    assert not Path("new.ckpt").exists()


def test_an_inner_loop_of_classes_by_episode_learns_what_they_are(files: Path) -> None:
    few_shot = {"class_path": "FewShotClassification", "init_args": {"ways": 2}}
    loop = {"class_path": "ANIL", "init_args": {"lr": 0.5, "steps": 5}}
    old = trained(files / "old.ckpt", tasks={"kind": few_shot, "size": SIZE}, inner_loop=loop)
    assert set(old.predict({"features": [[0.0] * 4]}, tasks=["size"])[0]) == {"size"}
    assert adapt("--task", "kind", "--label", "label", "--shots", "none", "--by", "inner_loop", "--steps", "30") == 0
    assert share_right("kind") > 0.9


def test_an_interval_ends_where_the_metric_does(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(files / "old.ckpt")
    scores = iter([1.0, 0.9, 1.0, 0.0, 0.1, 0.0])
    monkeypatch.setattr(curve, "score_of", lambda *_: next(scores))
    assert adapt("--task", "letter", "--label", "label", "--shots", "1,2", "--draws", "3") == 0
    high, low = json.loads(Path("new.json").read_text())["curve"]
    assert (high["high"], low["low"]) == (1.0, 0.0)
    assert high["low"] == pytest.approx(29 / 30 - 4.3027 * statistics.stdev(high["scores"]) / 3**0.5, abs=1e-4)


def test_one_example_of_each_label_is_enough(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(files / "old.ckpt")
    Path("few.jsonl").write_text("".join(json.dumps(points("few")[i]) + "\n" for i in (0, 6, 12)))
    assert adapt("--task", "letter", "--label", "label") == 0
    assert "no label has an example to leave out" in capsys.readouterr().out
    assert json.loads(Path("new.json").read_text())["curve"] == []
