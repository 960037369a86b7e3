"""`model.predict` on raw inputs, as the command `predict` does it."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import nn

import mtl_lightning
from mtl_lightning.__main__ import main
from mtl_lightning.cli.lightning_cli import CLI
from mtl_lightning.encoders import PerceptronEncoder, TransformerEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import SeparateEncoders, TopKRouting
from mtl_lightning.tasks import Regression, SequenceClassification, SpanQuestionAnswering, TokenClassification
from mtl_lightning.training.module import MultiTaskModule

BERT = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
}


@pytest.fixture(scope="module")
def speaker() -> MultiTaskModule:
    torch.manual_seed(0)
    tasks = {
        "mood": SequenceClassification(labels=["bad", "good"]),
        "slots": TokenClassification("bio", labels=["O", "B-x", "I-x"]),
    }
    model = MultiTaskModule(TransformerEncoder(config=BERT, tokenizer="characters:ascii", max_length=32), tasks)
    model.build()
    return model


def test_it_predicts_what_the_command_predicts(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)
    assert tiny.fit(tmp_path / "run") == 0
    rows = [json.loads(line) for line in Path("val.jsonl").read_text().splitlines()]
    assert main(["predict", "--ckpt_path=run", "--input=val.jsonl", "--output=predicted.jsonl"]) == 0
    expected = [json.loads(line)["predictions"] for line in Path("predicted.jsonl").read_text().splitlines()]
    some = ["predict", "--ckpt_path=run", "--input=val.jsonl", "--output=some.jsonl"]
    assert main([*some, "--tasks=reg"]) == 0
    of_one = [json.loads(line)["predictions"] for line in Path("some.jsonl").read_text().splitlines()]
    assert of_one == [{"reg": row["reg"]} for row in expected]
    capsys.readouterr()
    with monkeypatch.context() as patched:
        patched.setattr(CLI, "instantiate_classes", None)  # it is said before a model is made
        assert main([*some, "--tasks=reg,clss"]) == 2
        assert main([*some, "--tasks="]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("--tasks: unknown task 'clss'; did you mean 'cls'?")
    assert second.endswith("--tasks: no task is named; choose from cls, reg")
    model = mtl_lightning.load("run/checkpoints/best.ckpt")
    found = model.predict({"features": [row["f"] for row in rows]}, batch_size=5)
    assert [row["cls"]["label"] for row in found] == [row["cls"]["label"] for row in expected]
    assert [row["reg"]["value"] for row in found] == pytest.approx([row["reg"]["value"] for row in expected])


def test_predictions_of_words_say_where_they_stand(speaker: MultiTaskModule) -> None:
    text, cut = speaker.predict({"tokens": ["play  some jazz", "a " * 40]})
    assert text["slots"]["words"] == ["play", "some", "jazz"]
    assert text["slots"]["offsets"][2] == [11, 15]
    assert len(cut["slots"]["labels"]) == 40
    assert cut["slots"]["labels"][-1] is None


def test_inputs_that_suffice_for_no_task_are_refused() -> None:
    model = MultiTaskModule(
        TransformerEncoder(config=BERT, tokenizer="characters:ascii", max_length=32),
        {"answer": SpanQuestionAnswering(), "slots": TokenClassification("bio", labels=["O", "B-x", "I-x"])},
    )
    model.build()
    assert set(model.predict({"text": ["who?"], "context": ["Ada"]})[0]) == {"answer"}
    with pytest.raises(UserError, match="'answer' reads more than these inputs have; give the input `text` and `cont"):
        model.predict({"text": ["who?"]})


def test_dropout_is_off_and_every_module_is_left_in_its_mode(speaker: MultiTaskModule) -> None:
    speaker.train()
    speaker.encoder.backbone.embeddings.eval()
    modes = [module.training for module in speaker.modules()]
    random = torch.get_rng_state()
    first, again = (speaker.predict({"text": ["good morning"]}) for _ in range(2))
    assert first == again
    assert [module.training for module in speaker.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)


def test_a_text_model_without_words_predicts_the_tasks_that_need_none(speaker: MultiTaskModule) -> None:
    assert [list(row) for row in speaker.predict({"text": ["good morning"]})] == [["mood"]]


def test_what_is_not_asked_for_is_not_computed(speaker: MultiTaskModule) -> None:
    calls: list[str] = []
    hooks = [head.register_forward_hook(lambda *_, n=name: calls.append(n)) for name, head in speaker.heads.items()]
    every = speaker.predict({"tokens": ["play some jazz"]})
    only = speaker.predict({"tokens": ["play some jazz"]}, tasks=["slots"])
    for hook in hooks:
        hook.remove()
    assert calls == ["mood", "slots", "slots"]
    assert only == [{"slots": every[0]["slots"]}]


@pytest.mark.parametrize("sharing", [SeparateEncoders, partial(TopKRouting, num_experts="tasks", expert_stages=1)])
def test_what_only_other_tasks_read_is_not_computed(sharing: Any) -> None:
    tasks = {"reg": Regression(0.0, 1.0), "mood": SequenceClassification(labels=["bad", "good"])}
    model = MultiTaskModule(PerceptronEncoder(3, [4, 4]), tasks, sharing=sharing)
    model.build()
    columns, ran = {"features": [[1.0, 2.0, 3.0], [0.0, 1.0, 2.0]]}, set()
    every = model.predict(columns)
    leaves = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    for name, part in leaves.items():
        part.register_forward_hook(lambda *_, name=name: ran.add(name))
    assert model.predict(columns, tasks=["reg"]) == [{"reg": row["reg"]} for row in every]
    own = {id(parameter) for parameter in model.sharing.own_parameters("mood")}
    others = {name for name, part in leaves.items() if "mood" in name or id(part.weight) in own}
    if sharing is not SeparateEncoders:
        others.add("sharing.experts.copied.0.0.layers.0")
    assert others < set(leaves) and not ran & others and {"heads.reg" in name for name in ran} == {True, False}


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (["mod"], "`tasks`: unknown task 'mod'; did you mean 'mood'?"),
        ([], "`tasks`: no task is named; choose from mood, slots"),
        (["mood", "slots"], "task 'slots' labels words, which these inputs do not have; give the input `tokens`"),
    ],
)
def test_tasks_that_cannot_be_predicted_are_refused(speaker: MultiTaskModule, tasks: list[str], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        speaker.predict({"text": ["good morning"]}, tasks=tasks)


def test_nothing_in_nothing_out(speaker: MultiTaskModule) -> None:
    assert speaker.predict({"text": []}) == []


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": "good morning"}, "input 'text': expected a list, one value for each example, found 'good morning'"),
        ({"text": ["a"], "text_pair": ["b", "c"]}, "expected as many values of each input, found 1 of 'text', 2 of"),
        ({"text": ["a", " "]}, "the text is empty"),
        ({"sentence": ["a"]}, "the encoder reads text or text_pair or tokens or .*, found sentence"),
        ({}, "the encoder reads text or text_pair or tokens or .*, found nothing"),
    ],
)
def test_what_is_no_input_is_refused(speaker: MultiTaskModule, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        speaker.predict(columns)


@pytest.mark.parametrize("columns", [{"text": ["a"]}, {"features": [[1.0]]}, {"features": [None]}])
def test_a_model_of_numbers_says_what_it_reads(columns: dict[str, Any]) -> None:
    model = MultiTaskModule(PerceptronEncoder(3, [4]), {"reg": Regression(0.0, 1.0)})
    with pytest.raises(UserError, match="no heads yet"):
        model.predict(columns)
    model.build()
    with pytest.raises(UserError, match="features"):
        model.predict(columns)
