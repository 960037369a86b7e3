"""What a language model writes: its loss, where it computes logits, and what it refuses."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from tiny import LLAMA
from torch.nn.functional import cross_entropy

from mtl_lightning.data.encoding import Encoding
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.data.sources.files import FileSource
from mtl_lightning.encoders import PerceptronEncoder, TransformerEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import CausalLM, SequenceClassification, TokenClassification, causal_lm
from mtl_lightning.training.module import MultiTaskModule

BERT = {**LLAMA, "model_type": "bert"}
PROMPTS, COMPLETIONS = ["ab", "c", "defg"], ["xyz", "y", None]
USER, ASSISTANT = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def encoder(tie: bool = False, **settings: Any) -> TransformerEncoder:
    config = {**LLAMA, "tie_word_embeddings": tie}
    return TransformerEncoder(**{"config": config, "tokenizer": "characters:ascii", "max_length": 32, **settings})


def made(of: TransformerEncoder) -> tuple[CausalLM, Any, torch.Tensor, dict[str, torch.Tensor]]:
    """A task, what it reads, its targets, and the batch."""
    task = CausalLM()
    task.meet(of)
    task.build(of.features)
    encoded = of.processor.encode({"prompt": PROMPTS, "completion": COMPLETIONS})
    rows = [dict(zip(encoded, row, strict=True)) for row in zip(*encoded.values(), strict=True)]
    batch = of.processor.collate(rows)
    targets = [task.fit(task.encode(c), row) for c, row in zip(COMPLETIONS, rows, strict=True)]
    longest = max(map(len, targets))
    padded = torch.tensor([[*each, *[-100] * (longest - len(each))] for each in targets])
    return task, of(batch)._replace(given=batch), padded, batch


@pytest.mark.parametrize("tie", [True, False], ids=["tied", "apart"])
def test_the_loss_is_that_of_the_whole_language_model(tie: bool) -> None:
    of = encoder(tie).double()
    task, features, targets, batch = made(of)
    found = task.loss(task(features), targets)
    model: Any = of.generator(of.output_embedding())
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    labels = torch.full_like(batch["input_ids"], -100)
    for row, completion in enumerate(COMPLETIONS):
        start = int(batch["prompt_length"][row])
        stop = start + len(completion) + 1 if completion else start
        labels[row, start:stop] = batch["input_ids"][row, start:stop]
    expected = cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(found, expected)
    parameters = list(of.parameters())
    for one, other in zip(*(torch.autograd.grad(loss, parameters) for loss in (found, expected)), strict=True):
        torch.testing.assert_close(one, other)


def test_logits_of_trained_positions_alone_and_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    of = encoder()
    task, features, targets, _ = made(of)
    seen: list[int] = []
    of.output_embedding().register_forward_hook(lambda module, args, logits: seen.append(len(logits)))
    whole = task.loss(task(features), targets)
    assert seen == [4 + 2 + 1], "two completions with their ends, and the position behind the prompt that has none"
    first = torch.autograd.grad(whole, list(of.parameters()), retain_graph=True)
    monkeypatch.setattr(causal_lm, "_POSITIONS", 3)
    parts = task.loss(task(features), targets)
    assert seen[1:] == [3, 3, 1]
    torch.testing.assert_close(parts, whole)
    for one, other in zip(first, torch.autograd.grad(parts, list(of.parameters())), strict=True):
        torch.testing.assert_close(one, other)


def test_metrics_are_of_tokens() -> None:
    task, features, targets, _ = made(encoder())
    metrics, scored = task.metrics(), task(features)
    task.update(metrics, scored, targets)
    found = metrics.compute()
    assert found["perplexity"].item() == pytest.approx(math.exp(task.loss(scored, targets).item()), rel=1e-5)
    present = targets != -100
    assert found["token_accuracy"].item() == pytest.approx((scored.best == targets)[present].double().mean().item())
    right = task.correct(scored, targets)
    assert right.isnan().tolist() == [False, False, True]


def test_with_lora_the_output_is_frozen() -> None:
    of = encoder(lora={"r": 2, "target_modules": ["q_proj"]})
    task, features, targets, _ = made(of)
    assert not of.output_embedding().weight.requires_grad
    trained = {name: p for name, p in of.named_parameters() if p.requires_grad}
    assert all("lora" in name for name in trained)
    gradients = torch.autograd.grad(task.loss(task(features), targets), list(trained.values()))
    assert any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (lambda: PerceptronEncoder(in_features=3), r"model.tasks.w: PerceptronEncoder is no language model; choose Tr"),
        (
            lambda: TransformerEncoder(config=BERT, tokenizer="characters:ascii"),
            r"model.tasks.w: BertModel reads texts as a whole and generates none",
        ),
    ],
)
def test_an_encoder_that_writes_nothing_is_refused(of: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        MultiTaskModule(of(), {"w": CausalLM()})


# -- bad input ---------------------------------------------------------------------------------------------------------
class Rows(DataSource):
    """Rows in memory."""

    def load(self) -> dict[str, Dataset]:
        raise NotImplementedError

    def describe(self, split: str, row: int, line: int | None = None, word: int | None = None) -> str:
        return f"a.jsonl, line {row + 1}"


def encoding(inputs: dict[str, Any], label: str, on_bad_row: Any = "error") -> Encoding:
    task, of = CausalLM(), encoder(chat_template="plain")
    task.meet(of)
    return Encoding("d", Rows(inputs, {"w": label}, on_bad_row=on_bad_row), of.processor, {"w": task})


BAD = {
    "no reference": (
        "c",
        [{"p": "a", "c": ["b"]}, {"p": "a", "c": []}],
        "column 'c' .*the list is empty; give a text or a message",
    ),
    "empty reference": ("c", [{"p": "a", "c": ["b"]}, {"p": "a", "c": ["b", " "]}], "reference 2: expected a text to"),
    "empty completion": ("c", [{"p": "a", "c": "b"}, {"p": "a", "c": ""}], "column 'c' .*expected a text to write, fo"),
    "long prompt": ("c", [{"p": "a", "c": "b"}, {"p": "a" * 40, "c": "b"}], "columns 'p', 'c': the prompt has 41 tok"),
    "no assistant": ("m", [{"m": [USER, ASSISTANT]}, {"m": [USER]}], "'m' .*has no message whose role is 'assistant'"),
    "no answer": ("m", [{"m": [USER, ASSISTANT]}, {"m": [USER, {**ASSISTANT, "content": ""}]}], "the assistant is emp"),
    "no role": (
        "m",
        [{"m": [USER, ASSISTANT]}, {"m": [{"content": "a"}, ASSISTANT]}],
        "message 1: expected `role` and",
    ),
}


def test_what_is_no_message_is_named_in_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"m": [ASSISTANT, each]}) + "\n" for each in (USER, "b")))
    source = FileSource({"train": str(tmp_path / "a.jsonl")}, {"messages": "m"}, {"w": "m"})
    refuse = Encoding("d", source, encoder(chat_template="plain").processor, {"w": CausalLM()})
    with pytest.raises(
        UserError, match=r"a\.jsonl, line 2, column 'm': message 2: expected `role` and `content`, found"
    ):
        refuse(source.load()["train"], "train")


@pytest.mark.parametrize(("label", "rows", "message"), BAD.values(), ids=BAD)
def test_a_bad_row_is_named_or_skipped(label: str, rows: list[dict[str, Any]], message: str) -> None:
    inputs = {"messages": "m"} if label == "m" else {"prompt": "p", "completion": "c"}
    table = Dataset.from_list(rows)
    with pytest.raises(UserError, match=rf"data set 'd', a\.jsonl, line 2, .*{message}.*skip"):
        encoding(inputs, label)(table, "train")
    skipping = encoding(inputs, label, "skip")
    encoded = skipping(table, "train")
    assert encoded["row"][:].tolist() == [0]
    assert [bad.where for bad in skipping.skipped(table, encoded, "train")] == ["a.jsonl, line 2"]


def test_a_null_completion_is_no_label() -> None:
    table = Dataset.from_list([{"p": "a", "c": "b"}, {"p": "a", "c": None}])
    encoded = encoding({"prompt": "p", "completion": "c"}, "c")(table, "train")
    assert encoded["counts/w"][:].tolist() == [2, 0]


def test_of_several_references_the_first_is_learnt() -> None:
    of, task = encoder(chat_template="plain"), CausalLM()
    task.meet(of)
    rows = [{"p": "a", "c": ["bc", "d", "bc"]}, {"p": "a", "c": ["bc"]}, {"p": "aa", "c": None}]
    made = Encoding("d", Rows({"prompt": "p", "completion": "c"}, {"w": "c"}), of.processor, {"w": task})
    encoded = made(Dataset.from_list(rows), "train")
    assert encoded["counts/w"][:].tolist() == [3, 3, 0]
    assert encoded["inputs/input_ids"][0].tolist() == encoded["inputs/input_ids"][1].tolist()
    first, alone, missing = (row.tolist() for row in encoded["targets/w"])
    answer, (d,) = alone[:3], of.processor.tokenizer("d", add_special_tokens=False)["input_ids"]
    assert first == [*answer, -100, *answer[:2], -100, d, -100, *answer[:2]]
    assert (alone, missing) == ([*answer, -100, *answer[:2]], [-100])
    assert task.in_words(torch.tensor(first))[:4] == ["", "", "", None]
    assert not any(word is not None for word in task.in_words(torch.tensor(first))[3:])


def test_references_change_neither_loss_nor_metrics_of_tokens() -> None:
    task, features, targets, _ = made(encoder())
    several = torch.nn.functional.pad(targets, (0, 3), value=-100)
    several[1, 3:] = 9
    scored = task(features)
    assert torch.equal(task.loss(scored, several), task.loss(scored, targets))
    assert torch.equal(task.correct(scored, several).nan_to_num(9), task.correct(scored, targets).nan_to_num(9))
    found = []
    for each in (several, targets):
        task.update(metrics := task.metrics(), scored, each)
        found.append(metrics.compute())
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"text": "t"}, "task 'w' reads completion or messages, so the data set must map a column to the input `compl"),
        ({"messages": "m", "prompt": "p"}, "give `prompt` and `completion`, or `messages` alone; found messages, prom"),
    ],
)
def test_inputs_that_do_not_do(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"data\.datasets\.d\.inputs: .*{message}"):
        encoding(inputs, "c")


def test_words_are_not_labelled_where_an_answer_is_to_be_written() -> None:
    tasks = {"write": CausalLM(generation={"max_new_tokens": 1}), "tags": TokenClassification(labels=["x", "y"])}
    model = MultiTaskModule(encoder(), {**tasks, "kind": SequenceClassification(["x", "y"])})
    model.build()
    assert set(model.predict({"prompt": ["ab"]})[0]) == {"write", "kind"}
    assert set(model.predict({"tokens": [["ab", "c"]]})[0]) == {"tags", "kind"}
    with pytest.raises(UserError, match="task 'tags' labels words, which these inputs do not have; give the input `t"):
        model.predict({"prompt": ["ab"]}, tasks=["tags"])
