"""Whole runs of tasks that read several texts an example: training, resuming, evaluation, prediction, refusals."""

import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

import mtl_lightning
from mtl_lightning.__main__ import main
from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.tasks import MultipleChoice, Regression, SequenceClassification
from mtl_lightning.training.composition import forward_cost
from mtl_lightning.training.module import MultiTaskModule


def config() -> dict[str, Any]:
    made = json.loads(json.dumps(tiny.CONFIG))
    encoder = {"tokenizer": "characters:ascii", "max_length": 12, "config": tiny.BERT}
    made["model"]["encoder"] = {"class_path": "TransformerEncoder", "init_args": encoder}
    made["model"]["tasks"] = {
        "answer": {"class_path": "MultipleChoice", "init_args": {"first": "A"}},
        "order": {"class_path": "Ranking", "init_args": {"objective": "ranknet", "metrics": ["ndcg_at_2", "mrr"]}},
        "kind": "SequenceClassification",
        "alike": "SimilarityRegression",
    }
    made["model"]["weighting"] = "UPGrad"
    asked = {"inputs": {"text": "question", "choices": "answers"}}
    asked["labels"] = {"answer": "right", "order": "relevance", "kind": "kind"}
    made["data"]["datasets"] = {
        "asked": _files("asked", "jsonl", asked),
        "pairs": _files("pairs", "csv", {"inputs": {"texts": ["a", "b"]}, "labels": {"alike": "score"}}),
    }
    return made


def _files(name: str, ending: str, columns: dict[str, Any]) -> dict[str, Any]:
    files = {"train": f"{name}.{ending}", "val": f"{name}_val.{ending}"}
    return {"class_path": "FileSource", "init_args": {"files": files, **columns}}


def question(draw: random.Random) -> dict[str, Any]:
    answers = ["".join(draw.choices("abc", k=draw.randint(1, 9))) for _ in range(draw.randint(2, 4))]
    relevances = [float(each.count("a")) for each in answers]
    right = max(range(len(answers)), key=lambda place: relevances[place])
    return {
        "question": draw.choice(["how?", "why"]),
        "answers": answers,
        "right": None if draw.random() < 0.2 else "ABCD"[right],
        "relevance": None if draw.random() < 0.2 else relevances,
        "kind": "many" if len(answers) > 2 else "few",
    }


def pair(draw: random.Random) -> dict[str, Any]:
    a, b = ("".join(draw.choices("abc", k=draw.randint(1, 9))) for _ in range(2))
    return {"a": a, "b": b, "score": 1 + 4 * (a[0] == b[0])}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("choices")
    draw = random.Random(0)
    for split, size in (("", 24), ("_val", 9)):
        tiny.write_rows(made / f"asked{split}.jsonl", [question(draw) for _ in range(size)])
        with open(made / f"pairs{split}.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, ["a", "b", "score"])
            writer.writeheader()
            writer.writerows(pair(draw) for _ in range(size))
    with tiny.whole_run(made, config()):
        yield made


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def predicted(*options: str) -> list[dict[str, Any]]:
    assert main(["predict", "--ckpt_path=whole", *options, "--output=predicted.jsonl"]) == 0
    return [json.loads(line) for line in Path("predicted.jsonl").read_text().splitlines()]


def test_all_tasks_are_evaluated() -> None:
    names = tiny.logged("whole")
    assert {"val/answer/accuracy", "val/order/ndcg", "val/order/ndcg_at_2", "val/alike/spearman"} <= names
    assert {"val/joint/asked", "train/loss/order", "train/loss/answer", "train/loss/alike"} <= names


def test_a_resumed_run_is_bitwise_an_uninterrupted_one() -> None:
    tiny.interrupted()
    tiny.check_same_states()


def test_choices_are_predicted_from_the_checkpoint_alone() -> None:
    rows = [json.loads(line) for line in Path("asked_val.jsonl").read_text().splitlines()]
    found = predicted("--input=asked_val.jsonl")
    model = mtl_lightning.load("whole/checkpoints/best.ckpt")
    columns = {"text": [row["question"] for row in rows], "choices": [row["answers"] for row in rows]}
    in_python = model.predict(columns, batch_size=3)
    for row, line, other in zip(rows, found, in_python, strict=True):
        assert set(line["predictions"]) == set(other) == {"answer", "order", "kind"}
        answer, order = line["predictions"]["answer"], line["predictions"]["order"]
        assert answer["text"] == row["answers"]["ABCD".index(answer["label"])] == other["answer"]["text"]
        assert answer["probabilities"] == pytest.approx(other["answer"]["probabilities"], abs=1e-5)
        assert len(answer["probabilities"]) == len(row["answers"])
        assert order["texts"] == [row["answers"][place] for place in order["ranking"]]
        assert order["scores"] == pytest.approx(other["order"]["scores"], abs=1e-5)


def test_columns_of_choices_and_bad_rows_are_predicted_too() -> None:
    Path("pairs_in.csv").write_text("a,b\nab,cb\nab,\nc,c\n")
    first, second, third = predicted("--input=pairs_in.csv")
    assert set(first["predictions"]) == set(third["predictions"]) == {"alike", "kind"}
    assert second["predictions"] is None and "column 'b': input 'texts', text 2: the text is empty" in second["reason"]
    model = mtl_lightning.load("whole/checkpoints/best.ckpt")
    in_columns = model.predict({"text": ["why"] * 2, "choices": [("a", "b", None), ("b", "c", "a")]}, tasks=["answer"])
    assert [len(each["answer"]["probabilities"]) for each in in_columns] == [2, 3]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            {"answers": ["a", "b"], "right": "C"},
            "column 'right' (task 'answer'): the label is C, but the 2 choices are",
        ),
        ({"answers": "a b"}, "columns 'question', 'answers': input 'choices': expected a list of texts, found 'a b'"),
    ],
)
def test_what_cannot_be_is_refused_by_file_and_line(line: dict[str, Any], message: str, capsys: Any) -> None:
    good = {"question": "why", "answers": ["a", "b"], "right": "B", "relevance": [0, 1], "kind": "few"}
    rows = [good, {**good, "kind": "many", "right": "A"}, {**good, **line}]
    Path("bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = "{train: bad.jsonl, val: asked_val.jsonl}"
    assert tiny.fit("refused", f"--data.datasets.asked.files={files}") == 2
    (said,) = [text for text in capsys.readouterr().err.splitlines() if "bad.jsonl, line 3" in text]
    assert message in said


def test_other_heads_read_the_mean_and_word_labels_are_refused(capsys: Any) -> None:
    torch.manual_seed(0)
    encoder = TransformerEncoder(config=tiny.BERT, tokenizer="characters:ascii", max_length=12)
    tasks = {"kind": SequenceClassification(["few", "many"]), "mean": Regression(mean=0.0, std=1.0)}
    model = MultiTaskModule(encoder, {**tasks, "answer": MultipleChoice()})
    model.build()
    apart = model.predict({"texts": [["a"], ["bc"]]}, tasks=["mean"])
    both = model.predict({"texts": [["a", "bc"]]}, tasks=["mean"])
    assert both[0]["mean"]["value"] == pytest.approx(sum(each["mean"]["value"] for each in apart) / 2, abs=1e-6)
    assert set(model.predict({"text": ["a"]})[0]) == {"kind", "mean"}
    with pytest.raises(ValueError, match="task 'answer' reads more than these inputs have; give the input `choices`"):
        model.predict({"text": ["a"]}, tasks=["answer"])


def test_the_cost_of_an_example_is_that_of_all_its_texts() -> None:
    encoder = TransformerEncoder(config=tiny.BERT, tokenizer="characters:ascii", max_length=12)
    model = MultiTaskModule(encoder, {"kind": SequenceClassification(["few", "many"]), "answer": MultipleChoice()})
    model.build()
    encoded = encoder.processor.encode({"choices": [["abc", "bca", "cab"]]})
    apart = encoder.processor.collate([{name: values[0] for name, values in encoded.items()}])
    encoded = encoder.processor.encode({"text": ["abc"]})
    alone = encoder.processor.collate([{name: values[0] for name, values in encoded.items()}])
    costs, of_one = forward_cost(model, [apart]), forward_cost(model, [alone])
    assert set(costs.alone) == {"kind", "answer"} and set(of_one.alone) == {"kind"}
    assert costs.alone["kind"] == pytest.approx(3 * of_one.alone["kind"], rel=0.01)


def test_a_task_that_reads_choices_reads_no_others(capsys: Any) -> None:
    chain = '{"answer": {"class_path": "ClassifierChain", "init_args": {"after": "kind"}}}'
    assert tiny.fit("refused", f"--model.chain={chain}") == 2
    message = (
        "model.chain.answer: widens features of whole examples and of words, but 'answer' reads several texts apart"
    )
    assert message in " ".join(capsys.readouterr().err.split())
