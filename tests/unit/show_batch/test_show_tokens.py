"""What text processors and tasks show of answers, trees and examples of several texts."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from mtl_lightning.data.collation import stack
from mtl_lightning.encoders import Tokens
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.encoders.text import TextProcessor
from mtl_lightning.show_batch.viewing import _beside
from mtl_lightning.tasks import CausalLM, DependencyParsing, MultipleChoice, SpanQuestionAnswering, Task

PROMPTS = {"prompt": ["who?", "a"], "completion": ["me", None]}


def encoded(processor: TextProcessor, columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    values = processor.encode(columns)
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def gloss(processor: TextProcessor, task: Task, columns: Mapping[str, Any], labels: Sequence[Any]) -> list[str]:
    """Each example as its tokens, with the labels beside them behind slashes."""
    examples = encoded(processor, columns)
    targets = stack([task.fit(task.encode(v), e) for v, e in zip(labels, examples, strict=True)], task.missing)
    inputs = processor.collate(examples)
    found = []
    for number, target in enumerate(targets):
        (shown,) = processor.shown(inputs, number)
        assert isinstance(shown, Tokens)
        words = task.in_words(target)
        assert isinstance(words, list)
        pairs = zip(shown.pieces, _beside(words, shown.pieces), strict=True)
        found.append(" ".join(piece.text + (f"/{label}" if label else "") for piece, label in pairs))
    return found


@pytest.mark.parametrize(
    ("limit", "rows"),
    [
        (20, ["[CLS] w h o ? m/^ e/^ [SEP]/^", "[CLS] a [PAD] [PAD] [PAD] [PAD] [PAD] [PAD]"]),
        (6, ["[CLS] w h o ? m/^", "[CLS] a [PAD] [PAD] [PAD] [PAD]"]),
    ],
    ids=["whole", "cut"],
)
def test_the_tokens_of_an_answer_are_those_that_are_learnt(limit: int, rows: list[str]) -> None:
    processor = TextProcessor(character_tokenizer(), limit)
    assert gloss(processor, CausalLM(), PROMPTS, PROMPTS["completion"]) == rows


def test_the_rest_of_an_answer_is_cut_off() -> None:
    processor = TextProcessor(character_tokenizer(), 6)
    assert processor.cut_off({"prompt": "who?", "completion": "me"}) == "e"


def test_a_word_has_its_relation_and_the_number_of_its_head() -> None:
    task = DependencyParsing(labels=["root", "nsubj", "det"])
    label = ([2, 3, 0], ["det", "nsubj", "root"])
    rows = gloss(TextProcessor(character_tokenizer(), 20), task, {"tokens": [["the", "cat", "sat"]]}, [label])
    assert rows == ["[CLS] t/det→2 h e c/nsubj→3 a t s/root→0 a t [SEP]"]


def test_each_text_of_an_example_is_shown() -> None:
    processor = TextProcessor(character_tokenizer(), 20)
    inputs = processor.collate(encoded(processor, {"text": ["q", "r"], "choices": [["a", "bc"], ["d"]]}))
    shown = [[_text(each) for each in processor.shown(inputs, number)] for number in range(2)]
    assert shown == [["[CLS] q [SEP] a [SEP] [PAD]", "[CLS] q [SEP] b c [SEP]"], ["[CLS] r [SEP] d [SEP] [PAD]"]]
    assert [each.name for each in processor.shown(inputs, 0)] == ["choice 1", "choice 2"]
    assert [MultipleChoice(first=first).in_words(torch.tensor(1)) for first in (0, 1, "A")] == [
        "1 (choice 2)",
        "2",
        "B (choice 2)",
    ]


def test_an_answer_is_said_itself() -> None:
    processor, task = TextProcessor(character_tokenizer(), 20), SpanQuestionAnswering()
    columns = {"text": ["who?", "when?"], "context": ["Ada met Bob", "never"]}
    examples = encoded(processor, columns)
    labels = [{"text": ["Bob", "Ada"], "answer_start": [8, 0]}, {"text": [], "answer_start": []}]
    targets = stack([task.fit(task.encode(v), e) for v, e in zip(labels, examples, strict=True)], task.missing)
    inputs = processor.collate(examples)
    words = [task.in_words_of(target, {"context": inputs["context"][i]}) for i, target in enumerate(targets)]
    assert words == ["'Bob' (characters 8 to 11), 'Ada' (characters 0 to 3)", "no answer"]
    assert [shown.name for shown in processor.shown(inputs, 0)] == ["window 1"]


def _text(shown: Any) -> str:
    return " ".join(piece.text for piece in shown.pieces)


@pytest.mark.parametrize("target", [torch.tensor([-100, -100]), torch.full((2, 2), -100)], ids=["flat", "pairs"])
def test_what_is_missing_has_no_words(target: Tensor) -> None:
    task = CausalLM() if target.dim() == 1 else DependencyParsing(labels=["a", "b"])
    assert task.in_words(target) == [None, None]
