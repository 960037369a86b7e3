"""Folders that transformers loads: equal to what they were made of, with a card, and published or not in one line."""

import csv
import math
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
import yaml
from exporting import TASKS, checkpoint, encoder, export
from tiny import BERT
from transformers import AutoModel, AutoModelForTokenClassification, AutoTokenizer, pipeline

from mtl_lightning.errors import UserError
from mtl_lightning.export.huggingface import publishing
from mtl_lightning.export.huggingface.checking import check_equal
from mtl_lightning.export.huggingface.heads import head_of
from mtl_lightning.export.huggingface.inputs import check_inputs
from mtl_lightning.export.huggingface.models import model_of
from mtl_lightning.training.module import MultiTaskModule

TEXTS = ["so good", "not my taste at all, I fear", "x", "one two three four five six seven eight"]
WORDS = ["Ada", "Byron,", "of", "London"]
METRICS = {"val/mood/accuracy": 0.75, "val/mood/loss": 0.5, "val/stars/pearson": math.nan, "train/loss/mood": 1.0}
METRICS |= {"val/tags/f1": 0.5, "val/average": 0.6}


@pytest.fixture(scope="module")
def path(tmp_path_factory: Any) -> Path:
    return tmp_path_factory.mktemp("huggingface") / "model.ckpt"


@pytest.fixture(scope="module")
def model(path: Path) -> MultiTaskModule:
    return checkpoint(path, {}, METRICS)


def write(path: Path, folder: Path, *options: str) -> str:
    """Exports; returns the model card."""
    export("--ckpt_path", str(path), "--format=huggingface", "--output", str(folder), *options)
    assert not [each for each in folder.rglob("*") if each.suffix in (".bin", ".pt", ".ckpt", ".pkl")]
    return (folder / "README.md").read_text()


# -- equal ---------------------------------------------------------------------------------------------------------
def test_a_text_classification_pipeline_gives_our_scores(model: MultiTaskModule, path: Path, tmp_path: Path) -> None:
    write(path, tmp_path / "out", "--tasks=mood")
    classifier = pipeline("text-classification", str(tmp_path / "out"), trust_remote_code=True)
    for found, expected in zip(classifier(TEXTS, truncation=True), model.predict({"text": TEXTS}), strict=True):
        assert found["label"] == expected["mood"]["label"]
        assert found["score"] == pytest.approx(expected["mood"]["probability"], abs=1e-6)


@pytest.mark.parametrize("pooling", ["cls", "last"])
def test_what_is_pooled_otherwise_is_equal_and_another_model_is_not(tmp_path: Path, pooling: str) -> None:
    ours = checkpoint(tmp_path / "a.ckpt", {"encoder": encoder(pooling=pooling)})
    encoder_: Any = ours.encoder
    written = model_of(encoder_, {name: head_of(name, task) for name, task in ours.tasks.items()})
    check_equal(ours, written)
    written.config.pooling = "mean"
    with pytest.raises(UserError, match=r"task '\w+': MultiTaskModel differs from the checkpoint by"):
        check_equal(ours, written)


def test_sets_of_labels_and_numbers_in_their_unit(model: MultiTaskModule, path: Path, tmp_path: Path) -> None:
    card = write(path, tmp_path / "topics", "--tasks=topics")
    assert "a label applies above 0.4" in card
    topics = pipeline("text-classification", str(tmp_path / "topics"), trust_remote_code=True)
    write(path, tmp_path / "stars", "--tasks=stars")
    stars = pipeline("text-classification", str(tmp_path / "stars"), trust_remote_code=True)
    for text, expected in zip(TEXTS, model.predict({"text": TEXTS}), strict=True):
        scores = {each["label"]: each["score"] for each in topics(text, top_k=None, truncation=True)}
        assert sorted(expected["topics"]["labels"]) == sorted(label for label, p in scores.items() if p > 0.4)
        for label, probability in zip(*expected["topics"].values(), strict=True):
            assert scores[label] == pytest.approx(probability, abs=1e-6)
        assert stars(text, truncation=True)[0]["score"] == pytest.approx(expected["stars"]["value"], rel=1e-6)


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")  # characters are none
def test_tags_load_without_code_in_a_class_of_transformers(model: MultiTaskModule, path: Path, tmp_path: Path) -> None:
    write(path, tmp_path / "out", "--tasks=tags")
    assert not list((tmp_path / "out").glob("*.py"))
    tagger = pipeline("token-classification", str(tmp_path / "out"), aggregation_strategy="first", ignore_labels=[])
    assert type(tagger.model).__name__ == "BertForTokenClassification"
    (ours,) = model.predict({"tokens": [WORDS]}, tasks=["tags"])
    (entities,) = tagger(WORDS, is_split_into_words=True)
    found = {each["start"]: each for each in entities}
    spans = {len(" ".join([*WORDS[: s["start"]], ""])): s for s in ours["tags"]["spans"]}
    assert spans
    for start, span in spans.items():
        assert found[start]["entity_group"] == span["label"]
    tokens = tagger.tokenizer(WORDS, is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        probabilities = tagger.model(**tokens).logits[0].softmax(-1)
    firsts = [tokens.word_ids().index(word) for word in range(len(WORDS))]
    assert probabilities[firsts].amax(-1).tolist() == pytest.approx(ours["tags"]["probabilities"], abs=1e-6)


def test_a_class_of_transformers_that_does_more_is_not_taken(tmp_path: Path) -> None:
    """ModernBERT's has a layer of its own before the linear one."""
    config = {**BERT, "model_type": "modernbert", "hidden_size": 8, "pad_token_id": 0, "max_position_embeddings": 40}
    ours = checkpoint(tmp_path / "a.ckpt", {"encoder": encoder(config=config), "tasks": {"tags": TASKS["tags"]}})
    write(tmp_path / "a.ckpt", tmp_path / "out")
    found = AutoModelForTokenClassification.from_pretrained(tmp_path / "out", trust_remote_code=True)
    assert type(found).__name__ == "MultiTaskModelForTokenClassification"
    tokens = AutoTokenizer.from_pretrained(tmp_path / "out", trust_remote_code=True)(TEXTS[0], return_tensors="pt")
    with torch.no_grad():
        expected = ours.heads["tags"].head(ours.encoder.backbone(**tokens).last_hidden_state)  # type: ignore[union-attr, operator]
        torch.testing.assert_close(found(**tokens).logits, expected, atol=1e-6, rtol=0)


def test_all_heads_load_by_the_file_beside_them(model: MultiTaskModule, path: Path, tmp_path: Path) -> None:
    write(path, tmp_path / "out")
    loaded = AutoModel.from_pretrained(tmp_path / "out", trust_remote_code=True)
    assert not [name for name in sys.modules[type(loaded).__module__].__dict__ if "mtl" in name]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out", trust_remote_code=True)
    assert tokenizer.model_max_length == 32
    inputs = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        found = loaded(**inputs)
        expected = model({**inputs, "word_starts": torch.arange(inputs["input_ids"].shape[1]).expand(len(TEXTS), -1)})
        assert list(loaded(**inputs, tasks=["stars"])) == ["stars"]
    expected["stars"] = expected["stars"] * 1.5 + 3.0
    assert found.keys() == model.tasks.keys()
    for name, logits in expected.items():
        torch.testing.assert_close(found[name], logits, atol=1e-6, rtol=1e-6)
    assert loaded.config.tasks["mood"]["labels"] == ["bad", "good", "so so"]
    assert "/tmp" not in (tmp_path / "out" / "config.json").read_text()


def test_adapters_become_part_of_the_weights(tmp_path: Path) -> None:
    lora = {"r": 2, "target_modules": ["query", "value"]}
    ours = checkpoint(tmp_path / "lora.ckpt", {"encoder": encoder(lora=lora), "tasks": {"mood": TASKS["mood"]}})
    write(tmp_path / "lora.ckpt", tmp_path / "out")
    classifier = pipeline("text-classification", str(tmp_path / "out"), trust_remote_code=True)
    expected = ours.predict({"text": TEXTS})
    for found, row in zip(classifier(TEXTS, truncation=True), expected, strict=True):
        assert found["score"] == pytest.approx(row["mood"]["probability"], abs=1e-6)


# -- refused -------------------------------------------------------------------------------------------------------
CRF = {**TASKS["tags"], "init_args": {**TASKS["tags"]["init_args"], "decoding": "crf"}}
BLOOM = {"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 40}


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [
        ({"tasks": {"tags": CRF}}, [], "task 'tags', TokenClassification: a CRF, which no model of transformers"),
        ({"sharing": "MMoE"}, [], "under MMoE each task reads features of its own"),
        ({"encoder": encoder(config=BLOOM)}, ["--tasks=tags"], "is read at the last sub-word of a word"),
        (
            {
                "encoder": {"class_path": "PerceptronEncoder", "init_args": {"in_features": 3}},
                "tasks": {"mood": TASKS["mood"]},
            },
            [],
            "PerceptronEncoder is no model of transformers",
        ),
        ({}, ["--push_to_hub=a/b/c"], "--push_to_hub: Repo id must be in the form"),
        ({}, ["--comparison=nowhere"], "--comparison: nowhere has no readable results.csv"),
    ],
    ids=["crf", "experts", "last", "encoder", "name", "comparison"],
)
def test_what_cannot_be_equal_is_refused_in_one_line(
    changes: Any, options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint(tmp_path / "a.ckpt", changes)
    out = str(tmp_path / "out")
    line = export(
        "--ckpt_path", str(tmp_path / "a.ckpt"), "--format=huggingface", "--output", out, *options, capsys=capsys
    )
    assert said in line and not Path(out).exists()


def test_inputs_that_no_tokenizer_makes_are_refused() -> None:
    source = {
        "class_path": "FileSource",
        "init_args": {"inputs": {"text": "q", "choices": ["a", "b"]}, "labels": {"m": "m"}},
    }
    with pytest.raises(ValueError, match="task 'm' reads `choices`"):
        check_inputs({"data": {"datasets": {"d": source}}}, {"m": "pooled"})
    check_inputs(None, {"m": "pooled"})


# -- the card ------------------------------------------------------------------------------------------------------
def test_the_card_says_what_is_known_and_that_the_rest_is_not(
    path: Path, model: MultiTaskModule, tmp_path: Path
) -> None:
    card = write(path, tmp_path / "first", "--license=apache-2.0")
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == "apache-2.0" and head["datasets"] == ["some/tags"]
    found = {m["name"]: m["value"] for r in head["model-index"][0]["results"] for m in r["metrics"]}
    assert found == {"mood: accuracy": 0.75, "tags: f1": 0.5}
    for line in (
        "| mood | accuracy * | validation | 0.7500 |",
        "- Weighting: UPGrad",
        "- Training time: 1.5 min",
        "- Optimizer steps: 1,234",
        "- Optimizer: unknown",
        "- Data set `reviews`: FileSource, files reviews.csv",
        "- Seed: 3",
    ):
        assert line in card
    assert "somebody" not in card
    assert "Licence: unknown." in write(path, tmp_path / "second")


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")  # characters are none
def test_the_snippet_of_a_card_runs(
    path: Path, model: MultiTaskModule, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for options in (["--tasks=mood"], ["--tasks=tags"], []):
        card = write(path, tmp_path / "out", *options)
        (snippet,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        exec(compile(snippet, "card", "exec"), {})
    assert "torch.Size([2, 3])" in capsys.readouterr().out


def test_a_comparison_adds_means_and_intervals(path: Path, model: MultiTaskModule, tmp_path: Path) -> None:
    columns = ["role", "status", "contestant", "seed", "split", "task", "metric", "value", "seconds_per_step", "steps"]
    rows = [
        ["compare", "finished", name, seed, "test", "mood", "accuracy", value, "0.5", "100"]
        for name, shift in (("equal", 0.0), ("upgrad", 0.1))
        for seed, value in enumerate((0.7 + shift, 0.6 + shift, 0.8 + shift))
    ]
    with (tmp_path / "results.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows, ["tune", "finished", "equal", 0, "val", "", "", "9", "", ""]])
    card = write(path, tmp_path / "out", f"--comparison={tmp_path}", "--contestant=upgrad")
    assert f"| mood | accuracy | 0.8000 ± {4.302653 * 0.1 / math.sqrt(3):.4f} | 3 |" in card  # t(0.975, 2)
    assert "several times" in card and "on the test split" in card


# -- publishing ----------------------------------------------------------------------------------------------------
class FakeApi:
    """A hub in memory."""

    done: list[Any] = []  # noqa: RUF012
    error: Exception | None = None

    def __init__(self, **about: Any) -> None:
        pass

    def create_repo(self, name: str, private: bool | None, exist_ok: bool) -> Any:
        if self.error is not None:
            raise self.error
        self.done.append(("create", name, private, exist_ok))
        return type("Repo", (str,), {"repo_id": f"{name}"})(f"https://hub/{name}")

    def upload_folder(self, repo_id: str, folder_path: Path, commit_message: str) -> None:
        self.done.append(("upload", repo_id, sorted(path.name for path in Path(folder_path).iterdir())))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[FakeApi]:
    monkeypatch.setattr(publishing, "HfApi", FakeApi)
    monkeypatch.setattr(FakeApi, "done", [])
    return FakeApi


def test_a_folder_is_published(path: Path, model: MultiTaskModule, tmp_path: Path, hub: Any, capsys: Any) -> None:
    card = write(path, tmp_path / "out", "--tasks=tags", "--push_to_hub=me/tagger", "--private")
    assert 'pipeline("token-classification", "me/tagger"' in card
    (created, (_, name, files)) = hub.done
    assert created == ("create", "me/tagger", True, True) and name == "me/tagger"
    assert {"README.md", "model.safetensors", "config.json", "tokenizer.json"} <= set(files)
    assert "Published at https://hub/me/tagger" in capsys.readouterr().out


@pytest.mark.parametrize("error", [OSError("Token is required"), httpx.ConnectError("Name or service not known\nmore")])
def test_without_login_or_network_the_folder_stays(
    path: Path,
    model: MultiTaskModule,
    tmp_path: Path,
    hub: Any,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(hub, "error", error)
    out = tmp_path / "out"
    options = ("--ckpt_path", str(path), "--format=huggingface", "--tasks=tags", "--output", str(out))
    line = export(*options, "--push_to_hub=me/x", capsys=capsys)
    assert f"cannot publish as 'me/x': {str(error).splitlines()[0]}; {out} stays" in line
    assert (out / "model.safetensors").is_file()
