"""Tokenizers that learn their tokens from the training data."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import tiny
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

import mtl_lightning
from mtl_lightning.data import FileSource
from mtl_lightning.data.labels import counted_inputs
from mtl_lightning.encoders.characters import SPECIAL, character_tokenizer
from mtl_lightning.encoders.learnt_tokenizer import learn_tokens, take_tokens, unlearnt_tokenizer
from mtl_lightning.encoders.transformer import TransformerEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.column_statistics import CountedColumn

TEXTS = ["name=pallas 86;price=2000 dollars", "the pallas 86 costs 2000 dollars", "the hymenaios costs 2000 dollars"]


def learnt(texts: Iterable[Any], number: int = 80) -> PreTrainedTokenizerFast:
    tokenizer = unlearnt_tokenizer()
    values = list(texts)
    learn_tokens(tokenizer, number, [{"text": [CountedColumn(values, [2] * len(values))]}])
    return tokenizer


WHOLE = learnt(TEXTS)


@given(st.text(alphabet=sorted(set("".join(TEXTS)))))
def test_what_is_decoded_is_the_text(text: str) -> None:
    assert WHOLE.decode(WHOLE(text)["input_ids"], skip_special_tokens=True) == text


def test_words_have_the_same_tokens_wherever_they_stand() -> None:
    def tokens(text: str) -> list[int]:
        return list(WHOLE(text, add_special_tokens=False)["input_ids"])

    assert len(tokens("pallas")) == 1 and tokens("2000") == [*tokens("20"), *tokens("00")] and len(tokens("2000")) == 4
    assert tokens("=pallas 2000") == tokens("=") + tokens("pallas") + tokens(" ") + tokens("2000")
    assert tokens("dollars;") == tokens("dollars") + tokens(";")


def test_the_same_data_give_the_same_tokens() -> None:
    assert learnt(TEXTS).get_vocab() == WHOLE.get_vocab() != learnt(TEXTS[:2]).get_vocab()


def test_what_was_read_before_is_read_anew() -> None:
    tokenizer = unlearnt_tokenizer()
    assert set(tokenizer("the 2000", add_special_tokens=False)["input_ids"]) == {tokenizer.unk_token_id}
    learn_tokens(tokenizer, 80, [{"text": [CountedColumn(TEXTS, [2, 2, 2])]}])
    assert tokenizer("the 2000") == WHOLE("the 2000")


@pytest.mark.parametrize("other", [character_tokenizer("printable"), learnt(TEXTS, number=100)])
def test_tokens_of_another_kind_or_too_many_are_not_taken(other: PreTrainedTokenizerFast) -> None:
    tokenizer = unlearnt_tokenizer()
    assert len(other) > 50 and not take_tokens(
        tokenizer, 50 if len(other) < 100 else 104, other.backend_tokenizer.to_str()
    )
    assert len(tokenizer) == len(SPECIAL)


def test_words_in_lists_and_chats_are_learnt_of_a_data_set() -> None:
    rows = [{"words": ["some", "jazz"], "chat": [{"role": "user", "content": "jazz"}]}] * 3
    for inputs in ({"tokens": "words"}, {"messages": "chat"}):
        source = FileSource({"train": "a.jsonl"}, inputs, {})
        counted = list(counted_inputs(source, Dataset.from_list(rows), "a"))
        tokenizer = unlearnt_tokenizer()
        learn_tokens(tokenizer, 60, counted)
        assert "jazz" in tokenizer.get_vocab()


def test_there_are_no_more_than_were_asked_for() -> None:
    everything = "".join(map(chr, range(0x4E00, 0x5200)))
    tokenizer = learnt([everything, "aa" * 1000])
    assert len(tokenizer) <= 80 and max(tokenizer(everything)["input_ids"]) < 80
    assert "[UNK]" in tokenizer.convert_ids_to_tokens(tokenizer(everything)["input_ids"])
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL)) == [0, 1, 2, 3, 4]


def test_words_and_messages_are_read_too() -> None:
    apart = learnt([["some", "jazz"], [{"role": "user", "content": "jazz"}, {"role": "assistant", "content": "some"}]])
    assert {"jazz", "some", "user"} <= apart.get_vocab().keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tokenizer": "learnt:many"}, "`tokenizer: learnt:many` must say how many tokens"),
        ({"tokenizer": "learnt:49"}, "50 or more"),
        ({"tokenizer": "learnt:80", "model": "a-folder"}, "a-folder has learnt other tokens"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TransformerEncoder(**{"config": tiny.BERT, **arguments})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterable[Path]:
    folder = tmp_path_factory.mktemp("learnt")
    source = {"inputs": {"text": "t"}, "labels": {"cls": "x"}, "files": dict.fromkeys(("train", "val"), "rows.jsonl")}
    tiny.write_rows(folder / "rows.jsonl", [{"t": text, "x": text.split()[0]} for text in TEXTS * 4])
    config = {
        **tiny.CONFIG,
        "model": {
            "encoder": {
                "class_path": "TransformerEncoder",
                "init_args": {"config": tiny.BERT, "tokenizer": "learnt:80"},
            },
            "tasks": {"cls": "SequenceClassification"},
            "optimizer": tiny.CONFIG["model"]["optimizer"],
        },
        "data": {**tiny.CONFIG["data"], "datasets": {"d": {"class_path": "FileSource", "init_args": source}}},
    }
    with tiny.whole_run(folder, config):
        yield folder


def test_a_checkpoint_has_them(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    model = mtl_lightning.load("whole/checkpoints/last.ckpt")
    assert isinstance(model.encoder, TransformerEncoder) and model.encoder.is_complete
    assert model.encoder.processor.tokenizer.get_vocab() == WHOLE.get_vocab()
    assert model.encoder.backbone.config.vocab_size == 80
    assert {row["cls"]["label"] for row in model.predict({"text": TEXTS})} <= {text.split()[0] for text in TEXTS}


def test_who_goes_on_keeps_them(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    tiny.interrupted()
    tiny.check_same_states()


def test_who_starts_from_a_trained_model_takes_its_tokens(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    tiny.write_rows(
        trained / "other.jsonl", [{"t": f"quite another {label}", "x": label} for label in ("the", "name=pallas")]
    )
    other = "--data.datasets.d.init_args.files={train: other.jsonl, val: other.jsonl}"
    options = ("--init_from=whole", "--trainer.max_epochs=1")
    assert tiny.fit("warm", other, *options) == 0
    assert mtl_lightning.load("warm/checkpoints/last.ckpt").encoder.processor.tokenizer.get_vocab() == WHOLE.get_vocab()
