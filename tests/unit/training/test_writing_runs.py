"""Whole runs of language models that write beside a classification: training, resuming, evaluation, prediction."""

import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import wandb_log

import mtl_lightning
from mtl_lightning.__main__ import main

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 40,
    "tie_word_embeddings": True,
}


def config() -> dict[str, Any]:
    made = json.loads(json.dumps(tiny.CONFIG))
    options = {"packing": True, "pooling": "last", "chat_template": "plain"}
    encoder = {"tokenizer": "characters:ascii", "max_length": 40, "config": LLAMA, **options}
    made["model"]["encoder"] = {"class_path": "TransformerEncoder", "init_args": encoder}
    writing = {"own_metrics": ["own_metrics.NotReversed", "own_metrics.same_length"]}
    reverse = {"class_path": "CausalLM", "init_args": {**writing, "generation": {"max_new_tokens": 8}}}
    made["model"]["tasks"] = {"reverse": reverse, "chat": "CausalLM", "kind": "SequenceClassification"}
    made["model"]["weighting"] = "CoBa"
    prompts = {"inputs": {"prompt": "p", "completion": "c"}, "labels": {"reverse": "c", "kind": "k"}}
    made["data"]["datasets"] = {
        "prompts": _files(prompts),
        "chats": _files({"inputs": {"messages": "m"}, "labels": {"chat": "m"}}),
    }
    stopping = {"monitor": "val/reverse/not_reversed", "mode": "min", "patience": 9}
    made["trainer"]["callbacks"] = [
        {"class_path": "EarlyStopping", "init_args": stopping},
        {"class_path": "WrittenTexts", "init_args": {"number": 2}},
    ]
    made["trainer"]["max_epochs"] = 3
    return made


def _files(columns: dict[str, Any]) -> dict[str, Any]:
    files = {"train": "train.jsonl", "val": "val.jsonl"}
    return {"class_path": "FileSource", "init_args": {"files": files, **columns}}


def example(draw: random.Random) -> dict[str, Any]:
    word = "".join(draw.choices("abc", k=draw.randint(2, 8)))
    asked, answer = {"role": "user", "content": word}, {"role": "assistant", "content": word[::-1]}
    completion = draw.choice([None, word[::-1], word[::-1], [word[::-1], "any", word]])
    return {"p": word, "c": completion, "k": "long" if len(word) > 4 else "short", "m": [asked, answer]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("writing")
    draw = random.Random(0)
    for split, size in (("train", 20), ("val", 9)):
        tiny.write_rows(made / f"{split}.jsonl", [example(draw) for _ in range(size)])
    with tiny.whole_run(made, config(), "--wandb=offline"):
        yield made


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_all_tasks_are_evaluated_and_weighted() -> None:
    with open("whole/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = {name for row in rows for name, value in row.items() if value}
    assert {"val/reverse/perplexity", "val/chat/token_accuracy", "val/kind/accuracy", "val/joint/prompts"} <= names
    assert {"val/reverse/not_reversed", "val/reverse/same_length"} <= names
    weights = {row["train/weight/chat"] for row in rows if row.get("train/weight/chat")}
    assert len(weights) > 1, "CoBa weighs by the losses of two validations"


def test_the_log_shows_what_is_written() -> None:
    examples = [json.loads(line) for line in Path("val.jsonl").read_text().splitlines()]
    labelled = [(row["p"], row["c"]) for row in examples if row["c"]][:2]
    files = sorted(Path("whole/texts").iterdir(), key=lambda path: int(path.stem))
    assert len(files) == 3, "one a validation"
    rows = [json.loads(line) for line in files[-1].read_text().splitlines()]
    assert [row["task"] for row in rows] == ["reverse", "reverse", "chat", "chat"]
    for row, (prompt, right) in zip(rows, labelled, strict=False):
        references = right if isinstance(right, list) else [right]
        assert row["prompt"].replace(" ", "") == prompt
        assert [each.replace(" ", "") for each in row["references"]] == references
    assert rows[2]["prompt"].replace(" ", "").startswith("User:")

    (log,) = Path("whole/wandb").glob("offline-run-*")
    tables = [item for item in wandb_log.history(log) if "texts/reverse._type" in item]
    assert [item["trainer/global_step"] for item in tables] == [int(path.stem) for path in files]
    table = json.loads((log / "files" / tables[-1]["texts/reverse.path"]).read_text())
    assert table["columns"] == ["prompt", "written", "references"]
    assert table["data"] == [[row["prompt"], row["written"], "\n".join(row["references"])] for row in rows[:2]]


def test_a_resumed_run_is_bitwise_an_uninterrupted_one() -> None:
    tiny.interrupted()
    tiny.check_same_states()


def test_prompts_are_enough_to_predict_from_the_checkpoint_alone() -> None:
    Path("prompts.jsonl").write_text('{"p": "abc"}\n{"p": "ca", "c": ["ac", "any"]}\n{"p": ""}\n')
    assert main(["predict", "--ckpt_path=whole", "--input=prompts.jsonl", "--output=predicted.jsonl"]) == 0
    first, second, bad = (json.loads(line) for line in Path("predicted.jsonl").read_text().splitlines())
    assert set(first["predictions"]) == {"reverse", "chat", "kind"}
    assert isinstance(first["predictions"]["reverse"]["text"], str)
    assert bad["predictions"] is None and "the text is empty" in bad["reason"]
    model = mtl_lightning.load("whole/checkpoints/best.ckpt")
    alone = model.predict({"prompt": ["abc", "ca"]}, tasks=["kind"])
    answered = model.predict({"prompt": ["abc", "ca"], "completion": ["cba", "ac"]}, tasks=["kind"])
    for line, one, other in zip((first, second), alone, answered, strict=True):
        assert line["predictions"]["kind"]["label"] == one["kind"]["label"] == other["kind"]["label"]
        assert one["kind"]["probability"] == pytest.approx(other["kind"]["probability"], abs=1e-6)
